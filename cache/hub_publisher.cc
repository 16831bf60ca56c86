#include "cache/hub_publisher.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "cache/file_io.h"
#include "cache/hub_tree_file.h"
#include "protocol/errors.h"

namespace roost {
namespace {

// A hub's word from the future is a wrong clock, not news.
constexpr absl::Duration kClockErrorMax = absl::Minutes(5);
constexpr size_t kRefFileBytesMax = 4096;  // 40 are expected; a longer one is not ours to judge

absl::Span<const uint8_t> bytesOf(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

// Writes a small file by temporary and rename. The temporary lies in blobs/, where clients overlook
// what they don't know; in refs/ it would be taken for a ref.
absl::Status replaceFile(const SafeDir& blobs, const NodeId& node, const SafeDir& folder,
                         const std::string& name, const std::string& text,
                         std::optional<absl::Time> mtime) {
  const std::string temporary = absl::StrCat("small.", node.shortHex(), kTemporarySuffix);
  ROOST_RETURN_IF_ERROR(blobs.remove(temporary));
  ROOST_ASSIGN_OR_RETURN(const UniqueFd file, blobs.createFile(temporary));
  ROOST_RETURN_IF_ERROR(writeFully(file.get(), blobs.pathOf(temporary), 0, bytesOf(text)));
  if (mtime) {
    const timespec time = absl::ToTimespec(*mtime);
    const timespec times[2] = {time, time};
    if (::futimens(file.get(), times) != 0) {
      return errnoStatus(errno, "cannot set the time of", blobs.pathOf(temporary));
    }
  }
  ROOST_RETURN_IF_ERROR(syncFd(file.get(), blobs.pathOf(temporary)));
  if (::renameat(blobs.fd(), temporary.c_str(), folder.fd(), name.c_str()) != 0) {
    return errnoStatus(errno, "cannot write", folder.pathOf(name));
  }
  return folder.sync();
}

struct LocalRef {
  std::string text;
  absl::Time written;
};

absl::StatusOr<std::optional<LocalRef>> readRef(const SafeDir& folder, const std::string& name) {
  absl::StatusOr<UniqueFd> file = folder.openFile(name, O_RDONLY);
  if (absl::IsNotFound(file.status())) return std::nullopt;
  ROOST_RETURN_IF_ERROR(file.status());
  ROOST_ASSIGN_OR_RETURN(std::string text,
                         readSmallFile(file->get(), folder.pathOf(name), kRefFileBytesMax));
  ROOST_ASSIGN_OR_RETURN(const FileStamp stamp, FileStamp::ofFd(file->get(), folder.pathOf(name)));
  return LocalRef{std::move(text), absl::FromUnixNanos(stamp.mtimeNs)};
}

// The local file is as old as its mtime at least: clients write a ref when the hub answers, and we
// give it the time of the hub's word.
bool isProvablyOlder(const LocalRef& local, const RefState& state) {
  return state.hubTime && *state.hubTime > local.written &&
         *state.hubTime <= absl::Now() + kClockErrorMax;
}

// Of two commits that no hub has spoken of the one that was ordered last counts.
bool isNobodysWord(const LocalRef& local, const RefState& state) {
  return local.written == absl::UnixEpoch() && !state.hubTime;
}

}  // namespace

absl::StatusOr<HubPublisher> HubPublisher::open(const std::string& root, const NodeId& node,
                                                std::shared_ptr<Reservations> reservations) {
  ROOST_ASSIGN_OR_RETURN(SafeDir folder, SafeDir::openRoot(root));
  return HubPublisher(std::move(folder), node, std::move(reservations));
}

absl::StatusOr<SafeDir> HubPublisher::blobsOf(const RepoId& repo) const {
  ROOST_ASSIGN_OR_RETURN(const SafeDir folder, root_.openOrMake(repo.folder()));
  // `hf cache ls` warns of a repo folder without these.
  ROOST_RETURN_IF_ERROR(folder.openOrMake("refs").status());
  ROOST_RETURN_IF_ERROR(folder.openOrMake("snapshots").status());
  return folder.openOrMake("blobs");
}

absl::StatusOr<BlobSlot> HubPublisher::blobSlot(const RepoId& repo, const BlobInfo& blob) const {
  ROOST_ASSIGN_OR_RETURN(SafeDir blobs, blobsOf(repo));
  return BlobSlot{std::move(blobs), blob};
}

absl::StatusOr<LinkedBlob> HubPublisher::linkFrom(const RepoId& repo, const BlobInfo& blob,
                                                  const LinkSource& source) const {
  ROOST_ASSIGN_OR_RETURN(const BlobSlot slot, blobSlot(repo, blob));
  return linkBlob(slot, source, node_, reservations_);
}

absl::StatusOr<PublishedFiles> HubPublisher::publishFiles(const RepoId& repo, const Commit& commit,
                                                          absl::Span<const FileEntry> files) const {
  ROOST_ASSIGN_OR_RETURN(const SafeDir folder, root_.open(repo.folder()));
  return showFiles(folder, commit, files, node_, reservations_);
}

absl::StatusOr<TreeOutcome> HubPublisher::publishTree(const Listing& manifest) const {
  const std::optional<std::string> text = hubTreeText(manifest);
  if (!text) return TreeOutcome::kSkipped;
  ROOST_ASSIGN_OR_RETURN(const SafeDir folder, root_.open(manifest.repo.folder()));
  ROOST_ASSIGN_OR_RETURN(const SafeDir blobs, folder.open("blobs"));
  ROOST_ASSIGN_OR_RETURN(const SafeDir trees, folder.openOrMake("trees"));
  const std::string name = absl::StrCat(manifest.commit.hex(), ".json");
  ROOST_ASSIGN_OR_RETURN(const std::optional<struct stat> there, trees.look(name));
  if (there) return TreeOutcome::kUnchanged;
  ROOST_RETURN_IF_ERROR(replaceFile(blobs, node_, trees, name, *text, std::nullopt));
  return TreeOutcome::kWritten;
}

absl::StatusOr<RefOutcome> HubPublisher::publishRef(const RepoId& repo,
                                                    const RefState& state) const {
  ROOST_ASSIGN_OR_RETURN(const SafeDir folder, root_.open(repo.folder()));
  // A ref to a snapshot that does not exist makes `hf cache ls` drop the whole repo.
  ROOST_RETURN_IF_ERROR(folder.openPath(absl::StrCat("snapshots/", state.commit.hex())).status());
  ROOST_ASSIGN_OR_RETURN(const SafeDir blobs, folder.openOrMake("blobs"));
  ROOST_ASSIGN_OR_RETURN(const SafeDir refs, folder.openOrMake("refs"));
  const std::string& ref = state.ref.text();
  const size_t slash = ref.rfind('/');
  ROOST_ASSIGN_OR_RETURN(
      const SafeDir parent,
      refs.openOrMakePath(slash == std::string::npos ? "" : ref.substr(0, slash)));
  const std::string name = ref.substr(slash + 1);  // npos + 1 is 0

  ROOST_ASSIGN_OR_RETURN(const std::optional<LocalRef> local, readRef(parent, name));
  const bool older = local && (isProvablyOlder(*local, state) || isNobodysWord(*local, state));
  if (local && !older) {
    return local->text == state.commit.hex() ? RefOutcome::kUnchanged : RefOutcome::kLeftAlone;
  }
  // Exactly 40 bytes: a newline makes every Python client fail offline.
  ROOST_RETURN_IF_ERROR(replaceFile(blobs, node_, parent, name, state.commit.hex(),
                                    state.hubTime.value_or(absl::UnixEpoch())));
  return local && local->text == state.commit.hex() ? RefOutcome::kUnchanged : RefOutcome::kWritten;
}

}  // namespace roost
