// How much memory pieces on their way may take, for all writers of the process together.
//
// Threads: any.
#ifndef ROOST_CACHE_MEMORY_ROOM_H_
#define ROOST_CACHE_MEMORY_ROOM_H_

#include <cstdint>
#include <mutex>

namespace roost {

class MemoryRoom {
 public:
  explicit MemoryRoom(uint64_t bytes) : free_(bytes) {}

  // False if there is not enough: the bytes go elsewhere.
  bool take(uint64_t bytes) {
    const std::lock_guard lock(mutex_);
    if (bytes > free_) return false;
    free_ -= bytes;
    return true;
  }
  void giveBack(uint64_t bytes) {
    const std::lock_guard lock(mutex_);
    free_ += bytes;
  }
  uint64_t free() const {
    const std::lock_guard lock(mutex_);
    return free_;
  }

 private:
  mutable std::mutex mutex_;
  uint64_t free_;
};

}  // namespace roost

#endif  // ROOST_CACHE_MEMORY_ROOM_H_
