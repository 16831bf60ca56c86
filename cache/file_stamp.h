// What a file looked like when it was hashed. While its stamp is unchanged, the hash is remembered
// instead of computed again.
//
// Threads: any (values only). Errors: errnoStatus().
#ifndef ROOST_CACHE_FILE_STAMP_H_
#define ROOST_CACHE_FILE_STAMP_H_

#include <sys/stat.h>

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace roost {

// A file that changes within one tick of the file system's clock keeps its times: what was written
// in the last kSettleTime may change again unseen. 2 s is the coarsest clock (FAT, some NFS).
inline constexpr absl::Duration kSettleTime = absl::Seconds(2);

struct FileStamp {
  uint64_t fsid = 0;  // st_dev
  uint64_t inode = 0;
  uint64_t size = 0;  // bytes
  int64_t mtimeNs = 0;
  int64_t ctimeNs = 0;

  static FileStamp of(const struct stat& st);
  // kInternal if the descriptor is not a regular file.
  static absl::StatusOr<FileStamp> ofFd(int fd, const std::string& nameForErrors);
  // Follows symlinks: the stamp is the content's.
  static absl::StatusOr<FileStamp> ofPath(const std::string& path);

  // mtime and ctime lie at least kSettleTime before `hashingBegan`: a hash from then on can be
  // remembered.
  bool settled(absl::Time hashingBegan) const { return settledFrom() <= hashingBegan; }
  // When it will be so. May lie far in the future, if the file system's clock does.
  absl::Time settledFrom() const;

  // The bytes are the same as far as the file system tells; only ctime (chmod, a new hard link) or
  // the device number (another mount, a reboot) may differ. Worth a check in idle time.
  bool sameContent(const FileStamp& other) const {
    return inode == other.inode && size == other.size && mtimeNs == other.mtimeNs;
  }

  friend bool operator==(const FileStamp&, const FileStamp&) = default;
};

}  // namespace roost

#endif  // ROOST_CACHE_FILE_STAMP_H_
