#include "cache/safe_dir.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "cache/file_io.h"
#include "protocol/errors.h"

namespace roost {
namespace {

constexpr int kOpenFolder = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

// ELOOP (or ENOTDIR, for O_DIRECTORY) on a no-follow open: something else stands where a folder or
// file belongs.
absl::Status openError(int error, const std::string& path) {
  if (error == ELOOP || error == ENOTDIR) {
    return absl::PermissionDeniedError(sentence("cannot open " + path,
                                                "a symlink or something else stands in its place",
                                                "Remove it if it is not yours"));
  }
  return errnoStatus(error, "cannot open", path);
}

}  // namespace

Ownership Ownership::below(const struct stat& parent, uid_t effectiveUid) {
  Ownership result;
  const bool shared = (parent.st_mode & S_ISGID) != 0 && (parent.st_mode & S_IWGRP) != 0;
  const bool nodeWide = effectiveUid == 0 && parent.st_uid != 0;
  if (nodeWide) {
    result.owner = Owner{parent.st_uid, parent.st_gid};
    result.fileMode = parent.st_mode & 0666;
    result.folderMode = parent.st_mode & 07777;
  }
  if (shared) {
    result.fileMode = 0664;
    result.folderMode = 02775;
  }
  return result;
}

absl::StatusOr<SafeDir> SafeDir::openRoot(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return errnoStatus(errno, "cannot open", path);
  return SafeDir(std::move(fd), path);
}

std::string SafeDir::pathOf(absl::string_view name) const {
  return absl::StrCat(path_, "/", name);
}

absl::StatusOr<SafeDir> SafeDir::open(absl::string_view name) const {
  UniqueFd fd(::openat(this->fd(), std::string(name).c_str(), kOpenFolder));
  if (!fd) return openError(errno, pathOf(name));
  return SafeDir(std::move(fd), pathOf(name));
}

absl::StatusOr<SafeDir> SafeDir::openOrMake(absl::string_view name) const {
  absl::StatusOr<SafeDir> existing = open(name);
  if (!absl::IsNotFound(existing.status())) return existing;
  if (::mkdirat(fd(), std::string(name).c_str(), 0777) != 0) {
    if (errno != EEXIST) return errnoStatus(errno, "cannot make", pathOf(name));
    return open(name);
  }
  ROOST_ASSIGN_OR_RETURN(SafeDir made, open(name));
  ROOST_ASSIGN_OR_RETURN(const Ownership rule, ownership());
  if (rule.owner && ::fchown(made.fd(), rule.owner->uid, rule.owner->gid) != 0) {
    return errnoStatus(errno, "cannot give away", made.path());
  }
  if (rule.folderMode && ::fchmod(made.fd(), *rule.folderMode) != 0) {
    return errnoStatus(errno, "cannot set the mode of", made.path());
  }
  return made;
}

absl::StatusOr<SafeDir> SafeDir::openPath(absl::string_view path) const {
  SafeDir folder = *this;
  for (const auto name : absl::StrSplit(path, '/', absl::SkipEmpty())) {
    ROOST_ASSIGN_OR_RETURN(folder, folder.open(name));
  }
  return folder;
}

absl::StatusOr<SafeDir> SafeDir::openOrMakePath(absl::string_view path) const {
  SafeDir folder = *this;
  for (const auto name : absl::StrSplit(path, '/', absl::SkipEmpty())) {
    ROOST_ASSIGN_OR_RETURN(folder, folder.openOrMake(name));
  }
  return folder;
}

absl::StatusOr<UniqueFd> SafeDir::createFile(absl::string_view name) const {
  UniqueFd file(::openat(fd(), std::string(name).c_str(),
                         O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666));
  if (!file) {
    if (errno == EEXIST) return absl::AlreadyExistsError(pathOf(name) + " exists");
    return errnoStatus(errno, "cannot make", pathOf(name));
  }
  ROOST_RETURN_IF_ERROR(adopt(file.get(), name));
  return file;
}

absl::StatusOr<UniqueFd> SafeDir::openFile(absl::string_view name, int flags) const {
  // O_NONBLOCK: a FIFO in this place must not hang the thread.
  UniqueFd file(
      ::openat(fd(), std::string(name).c_str(), flags | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK));
  if (!file) return openError(errno, pathOf(name));
  struct stat st;
  if (::fstat(file.get(), &st) != 0) return errnoStatus(errno, "cannot look at", pathOf(name));
  if (!S_ISREG(st.st_mode)) return openError(ELOOP, pathOf(name));
  return file;
}

absl::Status SafeDir::createSymlink(const std::string& target, absl::string_view name) const {
  const std::string text(name);
  if (::symlinkat(target.c_str(), fd(), text.c_str()) != 0) {
    if (errno == EEXIST) return absl::AlreadyExistsError(pathOf(name) + " exists");
    if (errno == EPERM || errno == EOPNOTSUPP || errno == ENOSYS) {
      return absl::UnimplementedError(pathOf(name) + ": no symlinks on this file system");
    }
    return errnoStatus(errno, "cannot link", pathOf(name));
  }
  ROOST_ASSIGN_OR_RETURN(const Ownership rule, ownership());
  if (rule.owner &&
      ::fchownat(fd(), text.c_str(), rule.owner->uid, rule.owner->gid, AT_SYMLINK_NOFOLLOW) != 0) {
    return errnoStatus(errno, "cannot give away", pathOf(name));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::optional<struct stat>> SafeDir::look(absl::string_view name) const {
  struct stat st;
  if (::fstatat(fd(), std::string(name).c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0) return st;
  if (errno == ENOENT) return std::nullopt;
  return errnoStatus(errno, "cannot look at", pathOf(name));
}

absl::StatusOr<std::string> SafeDir::readSymlink(absl::string_view name) const {
  std::string target(PATH_MAX, '\0');
  const ssize_t length =
      ::readlinkat(fd(), std::string(name).c_str(), target.data(), target.size());
  if (length < 0) return errnoStatus(errno, "cannot read the link", pathOf(name));
  target.resize(static_cast<size_t>(length));
  return target;
}

absl::StatusOr<std::vector<std::string>> SafeDir::names() const {
  // A descriptor of its own: the position of fd_ is shared with its copies.
  const int own = ::openat(fd(), ".", kOpenFolder);
  DIR* stream = own < 0 ? nullptr : ::fdopendir(own);
  if (stream == nullptr) return errnoStatus(errno, "cannot list", path_);
  std::vector<std::string> names;
  errno = 0;
  while (const dirent* entry = ::readdir(stream)) {
    const absl::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  const int error = errno;
  ::closedir(stream);
  if (error != 0) return errnoStatus(error, "cannot list", path_);
  return names;
}

absl::Status SafeDir::remove(absl::string_view name) const {
  if (::unlinkat(fd(), std::string(name).c_str(), 0) != 0 && errno != ENOENT) {
    return errnoStatus(errno, "cannot remove", pathOf(name));
  }
  return absl::OkStatus();
}

void SafeDir::removeEmpty(absl::string_view name) const {
  (void)::unlinkat(fd(), std::string(name).c_str(), AT_REMOVEDIR);
}

absl::Status SafeDir::sync() const {
  return syncFd(fd(), path_);
}

absl::Status SafeDir::adopt(int file, absl::string_view name) const {
  ROOST_ASSIGN_OR_RETURN(const Ownership rule, ownership());
  if (rule.owner && ::fchown(file, rule.owner->uid, rule.owner->gid) != 0) {
    return errnoStatus(errno, "cannot give away", pathOf(name));
  }
  if (rule.fileMode && ::fchmod(file, *rule.fileMode) != 0) {
    return errnoStatus(errno, "cannot set the mode of", pathOf(name));
  }
  return absl::OkStatus();
}

absl::StatusOr<Ownership> SafeDir::ownership() const {
  struct stat st;
  if (::fstat(fd(), &st) != 0) return errnoStatus(errno, "cannot look at", path_);
  return Ownership::below(st, ::geteuid());
}

}  // namespace roost
