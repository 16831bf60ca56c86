#include "cache/pip_space.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cache/directory_reader.h"
#include "protocol/blob_id.h"
#include "protocol/errors.h"

namespace roost {
namespace {

struct File {
  std::string path;
  uint64_t bytes = 0;
  absl::Time used;
};

absl::Time usedAt(const struct stat& info) {
  return std::max(absl::TimeFromTimespec(info.st_atim), absl::TimeFromTimespec(info.st_mtim));
}

void addBlobs(const DirectoryReader& folder, const std::string& path, const std::string& repo,
              std::vector<File>& files) {
  auto project = DirectoryReader::open(folder.fd(), repo);
  if (!project.ok()) return;
  auto blobs = DirectoryReader::open(project->fd(), "blobs");
  if (!blobs.ok()) return;
  while (const auto entry = blobs->next()) {
    if (!BlobId::parseHex(*entry).ok()) continue;  // half-done, or a stranger's
    const std::string name(*entry);
    const auto info = blobs->look(name);
    if (!info || !S_ISREG(info->st_mode)) continue;
    files.push_back({absl::StrCat(path, "/", repo, "/blobs/", name),
                     static_cast<uint64_t>(info->st_size), usedAt(*info)});
  }
}

}  // namespace

absl::StatusOr<uint64_t> trimPipFiles(const std::string& folder, uint64_t bytesMax,
                                      absl::Time before) {
  ROOST_ASSIGN_OR_RETURN(DirectoryReader reader, DirectoryReader::open(AT_FDCWD, folder));
  std::vector<std::string> projects;
  while (const auto entry = reader.next()) {
    if (absl::StartsWith(*entry, "models--")) projects.emplace_back(*entry);
  }
  std::vector<File> files;
  for (const std::string& project : projects) addBlobs(reader, folder, project, files);
  uint64_t total = 0;
  for (const File& file : files) total += file.bytes;
  if (total <= bytesMax) return 0;
  std::sort(files.begin(), files.end(),
            [](const File& a, const File& b) { return a.used < b.used; });
  const uint64_t wanted = bytesMax - bytesMax / 10;
  uint64_t freed = 0;
  for (const File& file : files) {
    if (total - freed <= wanted || file.used > before) break;
    if (unlink(file.path.c_str()) == 0) freed += file.bytes;
  }
  return freed;
}

}  // namespace roost
