#include "cache/file_io.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include "absl/strings/str_cat.h"
#include "protocol/errors.h"

namespace roost {

absl::Status readFully(int fd, const std::string& name, uint64_t offset,
                       absl::Span<uint8_t> buffer) {
  while (!buffer.empty()) {
    const ssize_t got = ::pread(fd, buffer.data(), buffer.size(), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EIO) {
      return absl::DataLossError(sentence("cannot read " + name, errnoText(EIO), "Check the disk"));
    }
    if (got < 0) return errnoStatus(errno, "cannot read", name);
    if (got == 0) {
      return absl::DataLossError(
          sentence("cannot read " + name, absl::StrCat("it ends at byte ", offset), ""));
    }
    offset += static_cast<uint64_t>(got);
    buffer.remove_prefix(static_cast<size_t>(got));
  }
  return absl::OkStatus();
}

absl::Status writeFully(int fd, const std::string& name, uint64_t offset,
                        absl::Span<const uint8_t> bytes) {
  while (!bytes.empty()) {
    const ssize_t put = ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return errnoStatus(errno, "cannot write", name);
    offset += static_cast<uint64_t>(put);
    bytes.remove_prefix(static_cast<size_t>(put));
  }
  return absl::OkStatus();
}

absl::Status copyFully(int from, const std::string& fromName, int to, const std::string& toName,
                       uint64_t offset, uint64_t count) {
  auto in = static_cast<off_t>(offset);
  auto out = in;
  while (count > 0) {
    const ssize_t copied = ::copy_file_range(from, &in, to, &out, count, 0);
    if (copied > 0) {
      count -= static_cast<uint64_t>(copied);
    } else if (copied == 0) {
      return absl::DataLossError(
          sentence("cannot copy " + fromName, absl::StrCat("it ends at byte ", in), ""));
    } else if (errno == EIO) {
      return absl::DataLossError(
          sentence("cannot copy " + fromName, errnoText(EIO), "Check the disk"));
    } else if (errno == EXDEV || errno == EOPNOTSUPP || errno == ENOSYS || errno == EINVAL) {
      std::vector<uint8_t> bytes(count);  // not between these two
      ROOST_RETURN_IF_ERROR(
          readFully(from, fromName, static_cast<uint64_t>(in), absl::MakeSpan(bytes)));
      return writeFully(to, toName, static_cast<uint64_t>(out), bytes);
    } else if (errno != EINTR) {
      return errnoStatus(errno, "cannot copy " + fromName + " to", toName);
    }
  }
  return absl::OkStatus();
}

std::string readUpTo(int fd, uint64_t offset, uint64_t count) {
  std::string bytes(count, '\0');
  const ssize_t got = pread(fd, bytes.data(), count, static_cast<off_t>(offset));
  bytes.resize(got < 0 ? 0 : static_cast<size_t>(got));
  return bytes;
}

absl::StatusOr<std::string> readSmallFile(int fd, const std::string& name, size_t bytesMax) {
  std::string text(bytesMax + 1, '\0');
  size_t length = 0;
  while (length < text.size()) {
    const ssize_t got =
        ::pread(fd, text.data() + length, text.size() - length, static_cast<off_t>(length));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errnoStatus(errno, "cannot read", name);
    if (got == 0) break;
    length += static_cast<size_t>(got);
  }
  if (length > bytesMax) {
    return absl::OutOfRangeError(
        sentence("cannot read " + name, absl::StrCat("it has more than ", bytesMax, " bytes"), ""));
  }
  text.resize(length);
  return text;
}

void dropCached(int fd, uint64_t offset, uint64_t bytes) {
  ::posix_fadvise(fd, static_cast<off_t>(offset), static_cast<off_t>(bytes), POSIX_FADV_DONTNEED);
}

absl::Status syncFd(int fd, const std::string& name) {
  while (::fsync(fd) != 0) {
    if (errno == EINTR) continue;
    if (errno == EINVAL) return absl::OkStatus();
    return errnoStatus(errno, "cannot sync", name);
  }
  return absl::OkStatus();
}

}  // namespace roost
