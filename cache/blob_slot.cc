#include "cache/blob_slot.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <optional>

#include "absl/strings/str_cat.h"
#include "cache/file_io.h"
#include "cache/unique_fd.h"
#include "protocol/errors.h"
#include "protocol/limits.h"

namespace roost {
namespace {

// Renames without replacing. File systems without RENAME_NOREPLACE (NFS) get the same by a hard
// link; those without hard links too (FAT) a look beforehand. Returns errno, 0 for success.
int renameNoReplace(int folder, const std::string& from, const std::string& to) {
  if (::renameat2(folder, from.c_str(), folder, to.c_str(), RENAME_NOREPLACE) == 0) return 0;
  if (errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP) return errno;
  if (::linkat(folder, from.c_str(), folder, to.c_str(), 0) == 0) {
    ::unlinkat(folder, from.c_str(), 0);
    return 0;
  }
  if (errno != EPERM && errno != EOPNOTSUPP && errno != ENOSYS) return errno;
  struct stat st;
  if (::fstatat(folder, to.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0) return EEXIST;
  return ::renameat(folder, from.c_str(), folder, to.c_str()) == 0 ? 0 : errno;
}

// The stamp of the file that has the final name, if its content is the blob's; nullopt if it is
// something else. Symlinks are followed: the client's shared store keeps the bytes elsewhere.
absl::StatusOr<std::optional<FileStamp>> stampIfSame(const BlobSlot& slot,
                                                     const std::vector<PieceHash>& pieces) {
  const UniqueFd file(
      ::openat(slot.folder.fd(), slot.name().c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file) {
    if (errno == ENOENT || errno == ELOOP) return std::nullopt;  // a dangling symlink
    return errnoStatus(errno, "cannot compare with", slot.path());
  }
  ROOST_ASSIGN_OR_RETURN(const FileStamp stamp, FileStamp::ofFd(file.get(), slot.path()));
  if (stamp.size != slot.blob.size) return std::nullopt;
  std::vector<uint8_t> buffer;
  for (uint64_t piece = 0; piece < pieces.size(); ++piece) {
    buffer.resize(static_cast<size_t>(pieceBytes(stamp.size, piece)));
    const absl::Status read =
        readFully(file.get(), slot.path(), piece * kPieceBytes, absl::MakeSpan(buffer));
    if (absl::IsDataLoss(read)) return std::nullopt;
    ROOST_RETURN_IF_ERROR(read);
    if (pieceHash(buffer) != pieces[piece]) return std::nullopt;
  }
  return stamp;
}

}  // namespace

std::string BlobSlot::temporaryName(const NodeId& node) const {
  return absl::StrCat(name(), ".", node.shortHex(), kTemporarySuffix);
}

absl::StatusOr<std::optional<PublishedBlob>> publishedAlready(
    const BlobSlot& slot, const std::vector<PieceHash>& pieces) {
  ROOST_ASSIGN_OR_RETURN(const std::optional<FileStamp> same, stampIfSame(slot, pieces));
  if (!same) return std::nullopt;
  return PublishedBlob{PublishOutcome::kAlreadyThere, *same};
}

absl::StatusOr<PublishedBlob> publishTemporary(const BlobSlot& slot, const std::string& temporary,
                                               const std::vector<PieceHash>& pieces) {
  const int folder = slot.folder.fd();
  PublishedBlob result;
  int error = renameNoReplace(folder, temporary, slot.name());
  if (error == EEXIST) {
    ROOST_ASSIGN_OR_RETURN(const std::optional<PublishedBlob> same, publishedAlready(slot, pieces));
    if (same) {
      ROOST_RETURN_IF_ERROR(slot.folder.remove(temporary));
      return *same;
    }
    // Clients trust a name in blobs/ blindly: wrong bytes there would be loaded.
    result.outcome = PublishOutcome::kReplacedWrong;
    error = ::renameat(folder, temporary.c_str(), folder, slot.name().c_str()) == 0 ? 0 : errno;
  }
  if (error != 0) return errnoStatus(error, "cannot publish", slot.path());
  ROOST_RETURN_IF_ERROR(slot.folder.sync());
  ROOST_ASSIGN_OR_RETURN(const UniqueFd file, slot.folder.openFile(slot.name(), O_RDONLY));
  ROOST_ASSIGN_OR_RETURN(result.stamp, FileStamp::ofFd(file.get(), slot.path()));
  return result;
}

}  // namespace roost
