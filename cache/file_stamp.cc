#include "cache/file_stamp.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>

#include "protocol/errors.h"

namespace roost {
namespace {

int64_t nanoseconds(const timespec& time) {
  return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

absl::StatusOr<FileStamp> regularOnly(const struct stat& st, const std::string& name) {
  if (!S_ISREG(st.st_mode)) {
    return absl::InternalError(sentence("cannot use " + name, "it is not a regular file", ""));
  }
  return FileStamp::of(st);
}

}  // namespace

FileStamp FileStamp::of(const struct stat& st) {
  return {.fsid = st.st_dev,
          .inode = st.st_ino,
          .size = static_cast<uint64_t>(st.st_size),
          .mtimeNs = nanoseconds(st.st_mtim),
          .ctimeNs = nanoseconds(st.st_ctim)};
}

absl::StatusOr<FileStamp> FileStamp::ofFd(int fd, const std::string& nameForErrors) {
  struct stat st;
  if (::fstat(fd, &st) != 0) return errnoStatus(errno, "cannot look at", nameForErrors);
  return regularOnly(st, nameForErrors);
}

absl::StatusOr<FileStamp> FileStamp::ofPath(const std::string& path) {
  struct stat st;
  if (::stat(path.c_str(), &st) != 0) return errnoStatus(errno, "cannot look at", path);
  return regularOnly(st, path);
}

absl::Time FileStamp::settledFrom() const {
  return absl::FromUnixNanos(std::max(mtimeNs, ctimeNs)) + kSettleTime;
}

}  // namespace roost
