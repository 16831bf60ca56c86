// How much of what goes through roost may stay in the page cache, so that a model larger than the
// memory does not push out what the node's jobs use: an eighth of the memory at once, and as much
// again in ten minutes (a token bucket). What finds room stays, because the model is likely to be
// loaded soon; the rest is dropped once it is on the disk.
//
// Threads: any.
#ifndef ROOST_CACHE_PAGE_CACHE_ROOM_H_
#define ROOST_CACHE_PAGE_CACHE_ROOM_H_

#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <mutex>

#include "absl/time/time.h"
#include "protocol/limits.h"

namespace roost {

class PageCacheRoom {
 public:
  explicit PageCacheRoom(uint64_t bytes) : most_(static_cast<double>(bytes)), free_(most_) {}

  static uint64_t ofThisMachine() {
    const auto pages = static_cast<uint64_t>(std::max(0L, ::sysconf(_SC_PHYS_PAGES)));
    const auto size = static_cast<uint64_t>(std::max(0L, ::sysconf(_SC_PAGESIZE)));
    return pages * size / kPageCacheShare;
  }

  // False: the bytes are not to stay.
  bool take(uint64_t bytes, absl::Time now) {
    const std::lock_guard lock(mutex_);
    if (now > at_ && at_ != absl::InfinitePast()) {
      free_ = std::min(most_, free_ + most_ * absl::FDivDuration(now - at_, kPageCacheRefill));
    }
    at_ = std::max(at_, now);
    if (static_cast<double>(bytes) > free_) return false;
    free_ -= static_cast<double>(bytes);
    return true;
  }

 private:
  std::mutex mutex_;
  const double most_;
  double free_;
  absl::Time at_ = absl::InfinitePast();
};

}  // namespace roost

#endif  // ROOST_CACHE_PAGE_CACHE_ROOM_H_
