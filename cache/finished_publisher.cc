#include "cache/finished_publisher.h"

#include <fcntl.h>

#include <set>

#include "cache/hasher.h"
#include "cache/unique_fd.h"
#include "protocol/errors.h"

namespace roost {

void markLast(absl::Span<std::vector<FinishedFile>* const> directories) {
  std::set<BlobId> later;
  for (auto files = directories.rbegin(); files != directories.rend(); ++files) {
    for (auto file = (*files)->rbegin(); file != (*files)->rend(); ++file) {
      file->last = later.insert(file->entry->blob.id).second;
    }
  }
}

absl::StatusOr<FileStamp> stampOf(const SafeDir& folder, const std::string& name) {
  ROOST_ASSIGN_OR_RETURN(const UniqueFd fd, folder.openFile(name, O_RDONLY));
  return FileStamp::ofFd(fd.get(), folder.pathOf(name));
}

absl::StatusOr<bool> isSame(const SafeDir& there, const std::string& name, const FileEntry& file,
                            const KnownFiles& known) {
  ROOST_ASSIGN_OR_RETURN(const UniqueFd fd, there.openFile(name, O_RDONLY));
  ROOST_ASSIGN_OR_RETURN(const FileStamp stamp, FileStamp::ofFd(fd.get(), there.pathOf(name)));
  if (stamp.size != file.blob.size) return false;
  const auto right = known.right.find(file.path.text());
  if (right != known.right.end() && right->second == stamp) return true;
  ROOST_ASSIGN_OR_RETURN(const FileHashes hashed,
                         hashFile(fd.get(), there.pathOf(name), file.blob, {}));
  return hashed.hashes.id == file.blob.id;
}

}  // namespace roost
