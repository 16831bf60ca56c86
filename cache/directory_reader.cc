#include "cache/directory_reader.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "cache/unique_fd.h"
#include "protocol/errors.h"
#include "protocol/limits.h"

namespace roost {

absl::StatusOr<DirectoryReader> DirectoryReader::open(int parent, const std::string& name) {
  UniqueFd directory(
      openat(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK));
  if (!directory) {
    const int error = errno == ELOOP || errno == ENOTDIR ? ENOENT : errno;
    return errnoStatus(error, "cannot read", name);
  }
  Handle handle(fdopendir(directory.get()), closedir);
  if (!handle) return errnoStatus(errno, "cannot read", name);
  directory.release();
  return DirectoryReader(std::move(handle));
}

int DirectoryReader::fd() const {
  return dirfd(handle_.get());
}

std::optional<absl::string_view> DirectoryReader::next() {
  while (const dirent* entry = readdir(handle_.get())) {
    const absl::string_view name(entry->d_name);
    if (name != "." && name != "..") return name;
  }
  return std::nullopt;
}

std::optional<struct stat> DirectoryReader::look(const std::string& name) const {
  struct stat info {};
  if (fstatat(fd(), name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) return std::nullopt;
  return info;
}

bool DirectoryReader::mayRead(const std::string& name, const struct stat& info) const {
  // Asked of the kernel only where the mode leaves doubt.
  return (info.st_mode & S_IROTH) != 0 || faccessat(fd(), name.c_str(), R_OK, AT_EACCESS) == 0;
}

std::optional<std::string> DirectoryReader::readLink(const std::string& name) const {
  char target[kLinkTargetBytesMax + 1];
  const ssize_t length = readlinkat(fd(), name.c_str(), target, sizeof(target));
  if (length < 0 || static_cast<size_t>(length) > kLinkTargetBytesMax) return std::nullopt;
  return std::string(target, static_cast<size_t>(length));
}

}  // namespace roost
