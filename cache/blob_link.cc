#include "cache/blob_link.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cache/blob_writer.h"
#include "cache/file_io.h"
#include "protocol/errors.h"
#include "protocol/limits.h"

namespace roost {
namespace {

absl::Status mustBeUnchanged(int file, const LinkSource& source) {
  ROOST_ASSIGN_OR_RETURN(const FileStamp now, FileStamp::ofFd(file, source.path));
  if (now.sameContent(source.stamp)) return absl::OkStatus();
  return absl::AbortedError(
      sentence("cannot link " + source.path, "the file changed since it was verified", ""));
}

absl::StatusOr<FileStamp> stampOf(const BlobSlot& slot) {
  ROOST_ASSIGN_OR_RETURN(const UniqueFd file, slot.folder.openFile(slot.name(), O_RDONLY));
  return FileStamp::ofFd(file.get(), slot.path());
}

// The same owner and group as the folder shows, and permissions that a new file there would have: a
// link must not bring a file in that the folder's users cannot read, or that is not theirs to
// count.
absl::StatusOr<bool> fitsFolder(int file, const BlobSlot& slot) {
  struct stat source, folder;
  if (::fstat(file, &source) != 0 || ::fstat(slot.folder.fd(), &folder) != 0) {
    return errnoStatus(errno, "cannot look at", slot.folder.path());
  }
  const mode_t wanted = Ownership::below(folder, ::geteuid()).fileMode.value_or(S_IRUSR);
  return source.st_uid == folder.st_uid && source.st_gid == folder.st_gid &&
         (source.st_mode & wanted) == wanted;
}

// The very inode that was checked, not whatever has the path now. False: not possible here.
absl::StatusOr<bool> hardLink(int file, const BlobSlot& slot) {
  ROOST_ASSIGN_OR_RETURN(const bool fits, fitsFolder(file, slot));
  if (!fits) return false;
  const std::string byDescriptor = absl::StrCat("/proc/self/fd/", file);
  if (::linkat(AT_FDCWD, byDescriptor.c_str(), slot.folder.fd(), slot.name().c_str(),
               AT_SYMLINK_FOLLOW) != 0) {
    return false;  // another file system, no /proc, too many links, hardened kernel …: copy
  }
  ROOST_RETURN_IF_ERROR(slot.folder.sync());
  return true;
}

// False: the file system cannot share blocks.
absl::StatusOr<bool> reflink(int file, const BlobSlot& slot, const NodeId& node) {
  const std::string temporary = slot.temporaryName(node);
  absl::StatusOr<UniqueFd> clone = slot.folder.createFile(temporary);
  // A temporary from before a restart: the copy goes through the writer, which knows what to do.
  if (absl::IsAlreadyExists(clone.status())) return false;
  ROOST_RETURN_IF_ERROR(clone.status());
  if (::ioctl(clone->get(), FICLONE, file) != 0) {
    ROOST_RETURN_IF_ERROR(slot.folder.remove(temporary));
    return false;
  }
  ROOST_RETURN_IF_ERROR(syncFd(clone->get(), slot.path()));
  ROOST_RETURN_IF_ERROR(publishTemporary(slot, temporary, {}).status());
  return true;
}

std::optional<LinkedBlob> alreadyThere(const BlobSlot& slot) {
  struct stat existing;
  if (::fstatat(slot.folder.fd(), slot.name().c_str(), &existing, 0) != 0 ||
      !S_ISREG(existing.st_mode) || static_cast<uint64_t>(existing.st_size) != slot.blob.size) {
    return std::nullopt;
  }
  return LinkedBlob{LinkOutcome::kAlreadyThere, FileStamp::of(existing)};
}

absl::StatusOr<LinkedBlob> notShared(const BlobSlot& slot, const LinkSource& source) {
  if (const auto there = alreadyThere(slot)) return *there;  // a client was quicker
  return absl::FailedPreconditionError(sentence(
      absl::StrCat("cannot link ", source.path, " to ", slot.path()),
      "they lie on two file systems, or the owner or mode of the one does not suit the other", ""));
}

}  // namespace

absl::StatusOr<PublishedBlob> copyBlob(const BlobSlot& slot, int file, const std::string& name,
                                       const NodeId& node,
                                       const std::shared_ptr<Reservations>& reservations) {
  ROOST_ASSIGN_OR_RETURN(const auto writer,
                         BlobWriter::open(slot, {.node = node, .journalFolder = ""}, reservations));
  std::vector<uint8_t> buffer;
  for (const uint64_t piece : writer->missing()) {
    buffer.resize(static_cast<size_t>(pieceBytes(slot.blob.size, piece)));
    ROOST_RETURN_IF_ERROR(readFully(file, name, piece * kPieceBytes, absl::MakeSpan(buffer)));
    ROOST_RETURN_IF_ERROR(writer->write(piece, buffer));
  }
  ROOST_RETURN_IF_ERROR(writer->finish().status());
  return writer->publish();
}

absl::StatusOr<LinkedBlob> linkBlob(const BlobSlot& slot, const LinkSource& source,
                                    const NodeId& node,
                                    const std::shared_ptr<Reservations>& reservations) {
  if (const auto there = alreadyThere(slot)) return *there;
  struct stat named;
  const UniqueFd file(::open(source.path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file || ::lstat(source.path.c_str(), &named) != 0) {
    return errnoStatus(errno, "cannot open", source.path);
  }
  ROOST_RETURN_IF_ERROR(mustBeUnchanged(file.get(), source));

  // A symlink leads into the clients' shared store, which counts its users by itself.
  if (source.inHubBlobs && S_ISREG(named.st_mode)) {
    ROOST_ASSIGN_OR_RETURN(const bool linked, hardLink(file.get(), slot));
    if (linked) {
      ROOST_ASSIGN_OR_RETURN(const FileStamp stamp, stampOf(slot));
      return LinkedBlob{LinkOutcome::kHardLink, stamp};
    }
  }
  ROOST_ASSIGN_OR_RETURN(const bool cloned, reflink(file.get(), slot, node));
  if (cloned) {
    // Only now it is certain that the clone was made of the verified content.
    if (absl::Status status = mustBeUnchanged(file.get(), source); !status.ok()) {
      ROOST_RETURN_IF_ERROR(slot.folder.remove(slot.name()));
      return status;
    }
    ROOST_ASSIGN_OR_RETURN(const FileStamp stamp, stampOf(slot));
    return LinkedBlob{LinkOutcome::kReflink, stamp};
  }
  if (!source.mayCopy) return notShared(slot, source);
  ROOST_ASSIGN_OR_RETURN(const PublishedBlob copied,
                         copyBlob(slot, file.get(), source.path, node, reservations));
  return LinkedBlob{LinkOutcome::kCopy, copied.stamp};
}

}  // namespace roost
