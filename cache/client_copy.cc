#include "cache/client_copy.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace roost {
namespace {

constexpr absl::string_view kSuffixes[] = {".incomplete", ".part", ".downloadInProgress"};

bool isClients(absl::string_view name, absl::string_view prefix) {
  return absl::StartsWith(name, prefix) &&
         std::any_of(std::begin(kSuffixes), std::end(kSuffixes),
                     [&](absl::string_view suffix) { return absl::EndsWith(name, suffix); });
}

}  // namespace

std::optional<ClientCopy> ClientCopy::find(const SafeDir& blobs, const BlobId& blob,
                                           absl::Time since) {
  const auto names = blobs.names();
  if (!names.ok()) return std::nullopt;
  const std::string prefix = absl::StrCat(blob.hex(), ".");
  std::optional<ClientCopy> newest;
  absl::Time changed = since;
  for (const std::string& name : *names) {
    if (!isClients(name, prefix)) continue;
    auto fd = blobs.openFile(name, O_RDONLY);
    if (!fd.ok()) continue;
    ClientCopy copy(*std::move(fd), blobs.pathOf(name));
    const std::optional<State> state = copy.look();
    if (!state || state->changed < changed) continue;
    changed = state->changed;
    newest.emplace(std::move(copy));
  }
  return newest;
}

std::optional<ClientCopy::State> ClientCopy::look() const {
  struct stat st;
  if (::fstat(fd_.get(), &st) != 0 || !S_ISREG(st.st_mode)) return std::nullopt;
  return State{static_cast<uint64_t>(st.st_size), absl::TimeFromTimespec(st.st_mtim),
               st.st_nlink > 0};
}

bool ClientCopy::isSameFile(const ClientCopy& other) const {
  struct stat mine;
  struct stat theirs;
  return ::fstat(fd_.get(), &mine) == 0 && ::fstat(other.fd_.get(), &theirs) == 0 &&
         mine.st_dev == theirs.st_dev && mine.st_ino == theirs.st_ino;
}

}  // namespace roost
