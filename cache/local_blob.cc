#include "cache/local_blob.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/statfs.h>
#include <sys/uio.h>

#include <cerrno>
#include <stdexcept>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cache/file_io.h"
#include "protocol/errors.h"
#include "protocol/limits.h"

namespace roost {
namespace {

// tmpfs refuses RWF_NOWAIT, and needs it least.
bool liesInMemory(int fd) {
  struct statfs system {};
  return ::fstatfs(fd, &system) == 0 && system.f_type == TMPFS_MAGIC;
}

}  // namespace

absl::StatusOr<std::shared_ptr<const LocalBlob>> LocalBlob::open(
    const std::string& path, const BlobInfo& blob, const FileStamp& expected,
    std::shared_ptr<const std::vector<PieceHash>> pieces) {
  if (pieces != nullptr && pieces->size() != pieceCount(blob.size)) {
    throw std::logic_error("piece hashes of another blob");
  }
  // O_NONBLOCK: a FIFO in this place must not hang the thread.
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd) return errnoStatus(errno, "cannot open", path);
  std::shared_ptr<const LocalBlob> result(
      new LocalBlob(std::move(fd), path, blob, expected, std::move(pieces)));
  ROOST_RETURN_IF_ERROR(result->checkUnchanged());
  return result;
}

LocalBlob::LocalBlob(UniqueFd fd, std::string path, const BlobInfo& blob, const FileStamp& expected,
                     std::shared_ptr<const std::vector<PieceHash>> pieces)
    : fd_(std::move(fd)),
      inMemory_(liesInMemory(fd_.get())),
      path_(std::move(path)),
      blob_(blob),
      expected_(expected),
      pieces_(std::move(pieces)) {}

absl::StatusOr<bool> LocalBlob::tryRead(uint64_t offset, absl::Span<uint8_t> buffer) const {
  const iovec vec{buffer.data(), buffer.size()};
  const int flags = inMemory_ ? 0 : RWF_NOWAIT;
  const ssize_t got = ::preadv2(fd_.get(), &vec, 1, static_cast<off_t>(offset), flags);
  // Short: the rest is not in memory, or the file was cut; read() finds out which.
  if (got < 0 || static_cast<size_t>(got) < buffer.size()) return false;
  ROOST_RETURN_IF_ERROR(checkRead(offset, buffer));
  return true;
}

absl::Status LocalBlob::read(uint64_t offset, absl::Span<uint8_t> buffer, bool keepCached) const {
  // Read-ahead would bring pages that nobody drops.
  if (!keepCached) ::posix_fadvise(fd_.get(), 0, 0, POSIX_FADV_RANDOM);
  ROOST_RETURN_IF_ERROR(readFully(fd_.get(), path_, offset, buffer));
  if (!keepCached) dropCached(fd_.get(), offset, buffer.size());
  return checkRead(offset, buffer);
}

absl::Status LocalBlob::checkRead(uint64_t offset, absl::Span<const uint8_t> bytes) const {
  const uint64_t piece = offset / kPieceBytes;
  const bool wholePiece =
      offset % kPieceBytes == 0 && bytes.size() == pieceBytes(blob_.size, piece);
  if (pieces_ != nullptr && wholePiece && !bytes.empty() && pieceHash(bytes) != (*pieces_)[piece]) {
    return absl::DataLossError(sentence(absl::StrCat("cannot serve piece ", piece, " of ", path_),
                                        "its content is not what was verified",
                                        "Check the disk, then `roost warm REPO --nodes self`"));
  }
  return offset + bytes.size() == blob_.size ? checkUnchanged() : absl::OkStatus();
}

absl::Status LocalBlob::checkUnchanged() const {
  ROOST_ASSIGN_OR_RETURN(const FileStamp now, FileStamp::ofFd(fd_.get(), path_));
  // ctime alone differs after chmod or a new hard link; the device after a remount.
  if (now.sameContent(expected_) && now.size == blob_.size) return absl::OkStatus();
  return absl::AbortedError(
      sentence("cannot serve " + path_, "the file changed since it was verified", ""));
}

}  // namespace roost
