#include "cache/holder_file.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdlib>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "cache/file_stamp.h"
#include "cache/file_system.h"
#include "protocol/errors.h"

namespace roost {
namespace {

std::string folderOf(const std::string& path) {
  return path.substr(0, path.rfind('/') + 1);
}

absl::Status another(const std::string& why) {
  return absl::FailedPreconditionError(absl::StrCat("the holder's file cannot be used: ", why));
}

// Without symlinks, which the holder has resolved already. -1: there is none, or the kernel is
// older than 5.6.
int openPlain(const std::string& path) {
  open_how how{};
  how.flags = O_PATH | O_NOFOLLOW | O_CLOEXEC;
  how.resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  return static_cast<int>(::syscall(SYS_openat2, AT_FDCWD, path.c_str(), &how, sizeof(how)));
}

absl::Status checkIsMeant(const struct stat& file, dev_t device, const FilePlace& place,
                          const BlobInfo& blob) {
  if (!S_ISREG(file.st_mode)) return another("it is no regular file");
  if (file.st_dev != device) return another("it lies on another file system");
  FileStamp meant;
  meant.inode = place.inode;
  meant.size = blob.size;
  meant.mtimeNs = place.mtimeNs;
  if (!meant.sameContent(FileStamp::of(file))) return another("it is another one");
  return absl::OkStatus();
}

}  // namespace

std::optional<FilePlace> placeOf(const LocalBlob& blob) {
  if (blob.pieces() == nullptr || !blob.checkUnchanged().ok()) return std::nullopt;
  char real[PATH_MAX];
  if (::realpath(blob.path().c_str(), real) == nullptr) return std::nullopt;
  const absl::StatusOr<FileStamp> stamp = FileStamp::ofFd(blob.fd(), blob.path());
  const absl::StatusOr<RealFolder> folder = realFolder(folderOf(real));
  if (!stamp.ok() || !folder.ok()) return std::nullopt;
  std::string fileSystem = fileSystemNameOf(*folder);
  if (fileSystem.empty()) return std::nullopt;
  return FilePlace{std::move(fileSystem), real, stamp->inode, stamp->mtimeNs};
}

absl::StatusOr<std::shared_ptr<const HolderFile>> HolderFile::open(const FilePlace& place,
                                                                   const BlobInfo& blob,
                                                                   std::vector<PieceHash> pieces,
                                                                   const std::string& folder) {
  const bool isPath = !place.path.empty() && place.path.front() == '/' &&
                      place.path.size() < PATH_MAX && place.path.find('\0') == std::string::npos;
  if (!isPath || pieces.size() != pieceCount(blob.size)) return another("it is no place of one");
  ROOST_ASSIGN_OR_RETURN(const RealFolder here, realFolder(folder));
  if (place.fileSystem.empty() || place.fileSystem != fileSystemNameOf(here)) {
    return another("it lies on another file system");
  }
  // First only looked at: opening may do something, if it is not what the peer says.
  const UniqueFd seen(openPlain(place.path));
  struct stat file {};
  if (!seen || ::fstat(seen.get(), &file) != 0) {
    return errnoStatus(errno, "cannot look at", place.path);
  }
  ROOST_RETURN_IF_ERROR(checkIsMeant(file, here.device, place, blob));
  UniqueFd fd(::open(absl::StrCat("/proc/self/fd/", seen.get()).c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return errnoStatus(errno, "cannot open", place.path);
  return std::shared_ptr<const HolderFile>(
      new HolderFile(std::move(fd), place.path, std::move(pieces)));
}

}  // namespace roost
