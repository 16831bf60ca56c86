#include "node/freed_memory.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <cstring>
#include <memory>
#include <thread>
#include <vector>

#include "protocol/limits.h"

namespace roost {
namespace {

long pageFaultsOfThisThread() {
  rusage usage{};
  ::getrusage(RUSAGE_THREAD, &usage);
  return usage.ru_minflt;
}

// As pieces on their way: some at once, each new.
void passPieces(int rounds) {
  for (int round = 0; round < rounds; ++round) {
    std::vector<std::unique_ptr<char[]>> pieces;
    for (int i = 0; i < 8; ++i) {
      pieces.push_back(std::make_unique_for_overwrite<char[]>(kPieceBytes + 64));
      std::memset(pieces.back().get(), i, kPieceBytes);
    }
  }
}

TEST(FreedMemory, PiecesThatPassFindThePagesOfThoseBefore) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "a sanitizer has an allocator of its own";
#endif
  keepFreedMemory();
  long faults = 0;
  std::thread([&faults] {
    passPieces(2);
    const long before = pageFaultsOfThisThread();
    passPieces(50);
    faults = pageFaultsOfThisThread() - before;
  }).join();
  EXPECT_LT(faults, 8 * 256);  // those of one round, not of fifty
}

TEST(FreedMemory, IsGivenBackOnceAfterBytesPassed) {
  FreedMemory memory;
  EXPECT_TRUE(memory.isDue(0));  // of the start
  EXPECT_FALSE(memory.isDue(0));
  EXPECT_FALSE(memory.isDue(5));
  EXPECT_FALSE(memory.isDue(9));
  EXPECT_TRUE(memory.isDue(9));
  EXPECT_FALSE(memory.isDue(9));
}

}  // namespace
}  // namespace roost
