#include "node/freed_memory.h"

#include <malloc.h>

#include "protocol/limits.h"

namespace roost {
namespace {

// In one arena of the allocator: twice what one source has in flight to this node.
constexpr size_t kFreedBytesKept = 16 << 20;
// What is so large that it is mapped for itself; a message with a piece is smaller.
constexpr size_t kMappedBytesMin = 2 * kPieceBytes;

}  // namespace

void keepFreedMemory() {
#ifdef __GLIBC__
  // By itself the allocator adapts both to what was freed last: it would trim at two pieces.
  ::mallopt(M_MMAP_THRESHOLD, static_cast<int>(kMappedBytesMin));
  ::mallopt(M_TRIM_THRESHOLD, static_cast<int>(kFreedBytesKept));
#endif
}

void giveFreedMemoryBack() {
#ifdef __GLIBC__
  ::malloc_trim(0);
#endif
}

}  // namespace roost
