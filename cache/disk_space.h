// Room on a file system: what is free, what writers have promised themselves, and whether a folder
// can be written at all.
//
// Threads: any. Blocking (statvfs of a dead mount hangs): call on a work thread.
#ifndef ROOST_CACHE_DISK_SPACE_H_
#define ROOST_CACHE_DISK_SPACE_H_

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "protocol/limits.h"

namespace roost {

// Bytes that this process may still write on the file system of `path` (statvfs f_bavail).
absl::StatusOr<uint64_t> freeBytes(const std::string& path);

// Of the file system altogether.
absl::StatusOr<uint64_t> diskBytes(const std::string& path);

// kPermissionDenied with the fix in words if this process cannot create files in the folder.
// Creates nothing.
absl::Status checkWritable(const std::string& folder);
// The same, but a folder that is not there is made.
absl::Status makeWritable(const std::string& folder);

class Reservations;

// Bytes set aside for one writer. Given back by the destructor.
class Reservation {
 public:
  Reservation() = default;
  Reservation(Reservation&&) noexcept;
  Reservation& operator=(Reservation&&) noexcept;
  ~Reservation();

  // These bytes are on the disk now: statvfs counts them, this needs not.
  void spend(uint64_t bytes);
  uint64_t bytes() const { return bytes_; }

 private:
  friend class Reservations;
  Reservation(std::shared_ptr<Reservations> owner, dev_t device, uint64_t bytes)
      : owner_(std::move(owner)), device_(device), bytes_(bytes) {}
  std::shared_ptr<Reservations> owner_;
  dev_t device_ = 0;
  uint64_t bytes_ = 0;
};

// One for the process, shared by all writers, so that together they do not promise themselves more
// than there is. Counts by device.
class Reservations : public std::enable_shared_from_this<Reservations> {
 public:
  using FreeBytesOf = std::function<absl::StatusOr<uint64_t>(int fd)>;

  // `keptFree` is never given away: the host needs some. `freeBytesOf` is the seam for tests.
  static std::shared_ptr<Reservations> create(uint64_t keptFree = kFreeBytesKept,
                                              FreeBytesOf freeBytesOf = nullptr);

  // Room for `bytes` on the file system of the open file or folder `fd`; kResourceExhausted with
  // needed and free bytes. `name` is for error texts.
  absl::StatusOr<Reservation> reserve(int fd, const std::string& name, uint64_t bytes);

  // What `reserve` would still give on the file system of `path`.
  absl::StatusOr<uint64_t> available(const std::string& path);

 private:
  friend class Reservation;
  Reservations(uint64_t keptFree, FreeBytesOf freeBytesOf);
  struct Promised {
    uint64_t now = 0;   // bytes, not yet on the disk
    uint64_t ever = 0;  // all that were promised, also those that came back
  };
  // What is free is asked without the lock: a mount that hangs must hold nobody else. Whatever is
  // promised meanwhile counts, spent or not: the answer may be from before.
  absl::StatusOr<uint64_t> available(int fd, dev_t device, std::unique_lock<std::mutex>& lock);
  void giveBack(dev_t device, uint64_t bytes);

  const uint64_t keptFree_;
  const FreeBytesOf freeBytesOf_;
  std::mutex mutex_;
  std::map<dev_t, Promised> promised_;  // by device, of which there are few
};

}  // namespace roost

#endif  // ROOST_CACHE_DISK_SPACE_H_
