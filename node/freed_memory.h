// What becomes of memory that is freed. While pieces pass, it stays with the process: given back to
// the kernel after each piece, as the allocator does by itself, its pages would be made again for
// the next one, which is a tenth of a transfer's CPU time. When nothing passes any more it is given
// back, but for what lies at the end of a thread's arena, which malloc_trim() leaves.
//
// Threads: FreedMemory: one.
#ifndef ROOST_NODE_FREED_MEMORY_H_
#define ROOST_NODE_FREED_MEMORY_H_

#include <cstdint>
#include <utility>

namespace roost {

// For the whole process, before its threads are made. At most 16 MiB stay at the end of each of the
// allocator's arenas, of which there is one a thread.
void keepFreedMemory();

// Gives back what was kept. May take milliseconds, in which other threads' allocations wait.
void giveFreedMemoryBack();

// When to do that: once after each time that bytes passed.
class FreedMemory {
 public:
  // Call about once a second with a count of bytes that only grows. True: nothing has passed since
  // the last call, and something had before.
  bool isDue(uint64_t passed) {
    const bool quiet = passed == last_;
    last_ = passed;
    if (!quiet) kept_ = true;
    return quiet && std::exchange(kept_, false);
  }

 private:
  uint64_t last_ = 0;
  bool kept_ = true;  // of the start
};

}  // namespace roost

#endif  // ROOST_NODE_FREED_MEMORY_H_
