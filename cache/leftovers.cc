#include "cache/leftovers.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <cerrno>
#include <optional>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "cache/blob_slot.h"
#include "cache/piece_journal.h"
#include "cache/unique_fd.h"
#include "protocol/blob_id.h"
#include "protocol/errors.h"
#include "protocol/names.h"

namespace roost {
namespace {

// "<etag>" of "<etag>.<8 hex>.roost-part"; other temporaries (of refs, of trees) have none.
std::optional<BlobId> blobOf(absl::string_view temporary) {
  const absl::StatusOr<BlobId> id = BlobId::parseHex(temporary.substr(0, temporary.find('.')));
  return id.ok() ? std::optional(*id) : std::nullopt;
}

absl::StatusOr<bool> journalExists(const SafeDir& folder, const std::string& journalFolder,
                                   absl::string_view temporary) {
  const std::optional<BlobId> blob = blobOf(temporary);
  if (!blob || journalFolder.empty()) return false;
  const std::string path =
      absl::StrCat(journalFolder, "/", PieceJournal::fileName(*blob, folder.path()));
  struct stat st;
  if (::stat(path.c_str(), &st) == 0) return true;
  if (errno == ENOENT) return false;
  return errnoStatus(errno, "cannot look at", path);
}

bool isLockedByWriter(int fd) {
  return ::flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
}

}  // namespace

absl::StatusOr<int> removeStaleTemporaries(const SafeDir& folder, const NodeId& node,
                                           const std::string& journalFolder, absl::Duration age) {
  const std::string ours = absl::StrCat(".", node.shortHex(), kTemporarySuffix);
  const int64_t newestNs = absl::ToUnixNanos(absl::Now() - age);
  int removed = 0;
  ROOST_ASSIGN_OR_RETURN(const std::vector<std::string> names, folder.names());
  for (const std::string& name : names) {
    if (!absl::EndsWith(name, ours)) continue;
    ROOST_ASSIGN_OR_RETURN(const bool wanted, journalExists(folder, journalFolder, name));
    if (wanted) continue;
    const absl::StatusOr<UniqueFd> fd = folder.openFile(name, O_RDONLY);
    if (!fd.ok()) continue;  // gone meanwhile, or not a file that a writer of ours made
    ROOST_ASSIGN_OR_RETURN(const FileStamp stamp, FileStamp::ofFd(fd->get(), name));
    if (stamp.mtimeNs > newestNs || isLockedByWriter(fd->get())) continue;
    ROOST_RETURN_IF_ERROR(folder.remove(name));
    ++removed;
  }
  return removed;
}

absl::StatusOr<int> removeOrphanJournals(const std::string& journalFolder, const NodeId& node) {
  absl::StatusOr<SafeDir> folder = SafeDir::openRoot(journalFolder);
  if (absl::IsNotFound(folder.status())) return 0;
  ROOST_RETURN_IF_ERROR(folder.status());
  ROOST_ASSIGN_OR_RETURN(const std::vector<std::string> names, folder->names());
  int removed = 0;
  for (const std::string& name : names) {
    if (!absl::EndsWith(name, ".journal")) continue;
    const absl::StatusOr<std::optional<JournalTarget>> target = journalTarget(folder->pathOf(name));
    if (!target.ok()) continue;
    if (*target) {
      const std::string temporary = absl::StrCat((*target)->folder, "/", (*target)->blob.id.hex(),
                                                 ".", node.shortHex(), kTemporarySuffix);
      struct stat st;
      // A folder that cannot be reached now (a dead mount) may come back with the temporary.
      if (::lstat(temporary.c_str(), &st) == 0 || errno != ENOENT) continue;
    }
    ROOST_RETURN_IF_ERROR(folder->remove(name));
    ++removed;
  }
  return removed;
}

void removeLeftovers(const std::string& hubCache, const NodeId& node,
                     const std::string& journalFolder, absl::Duration age) {
  const absl::StatusOr<SafeDir> root = SafeDir::openRoot(hubCache);
  if (!root.ok()) return;
  const absl::StatusOr<std::vector<std::string>> repos = root->names();
  if (!repos.ok()) return;
  for (const std::string& repo : *repos) {
    if (!RepoId::ofFolder(HubOrigin::huggingFace(), repo).ok()) continue;
    for (const absl::string_view part : {"blobs", "refs", "trees"}) {
      const absl::StatusOr<SafeDir> folder = root->openPath(absl::StrCat(repo, "/", part));
      if (folder.ok()) (void)removeStaleTemporaries(*folder, node, journalFolder, age);
    }
  }
}

}  // namespace roost
