#include "cache/directory_mark.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <memory>

#include "absl/hash/hash.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "cache/file_stamp.h"
#include "cache/unique_fd.h"
#include "protocol/errors.h"
#include "protocol/limits.h"

namespace roost {
namespace {

// Coarser than the tick that file times have (4 to 10 ms on Linux).
constexpr absl::Duration kTick = absl::Milliseconds(50);

}  // namespace

absl::StatusOr<DirectoryMark> markOf(int directory, MarkScope scope, const std::string& name) {
  struct stat info {};
  if (fstat(directory, &info) != 0) return errnoStatus(errno, "cannot look at", name);
  const FileStamp stamp = FileStamp::of(info);
  DirectoryMark mark;
  mark.value = absl::HashOf(stamp.fsid, stamp.inode, stamp.mtimeNs, stamp.ctimeNs);
  int64_t newest = std::max(stamp.mtimeNs, stamp.ctimeNs);
  if (scope == MarkScope::kContents) {
    UniqueFd again(openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    std::unique_ptr<DIR, int (*)(DIR*)> entries(again ? fdopendir(again.get()) : nullptr, closedir);
    if (!entries) return errnoStatus(errno, "cannot read", name);
    again.release();
    size_t seen = 0;
    while (const dirent* entry = readdir(entries.get())) {
      if (++seen > kScanFilesMax) break;
      struct stat file {};
      if (fstatat(directory, entry->d_name, &file, AT_SYMLINK_NOFOLLOW) != 0 ||
          !S_ISREG(file.st_mode)) {
        continue;
      }
      const FileStamp content = FileStamp::of(file);
      // Summed, because readdir's order is its own affair.
      mark.value += absl::HashOf(absl::string_view(entry->d_name), content.inode, content.size,
                                 content.mtimeNs, content.ctimeNs);
      newest = std::max({newest, content.mtimeNs, content.ctimeNs});
    }
  }
  const absl::Duration age = absl::Now() - absl::FromUnixNanos(newest);
  // A clock that is far from ours (a file server's) cannot be judged by age.
  mark.settled = absl::AbsDuration(age) > kTick;
  return mark;
}

absl::StatusOr<DirectoryMark> markOf(const std::string& path, MarkScope scope) {
  const UniqueFd directory(
      open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK));
  if (!directory) return errnoStatus(errno, "cannot read", path);
  return markOf(directory.get(), scope, path);
}

}  // namespace roost
