#include "cluster/sources.h"

#include <gtest/gtest.h>

namespace roost {
namespace {

constexpr uint64_t kMiB = 1 << 20;

// Reads of 1 MiB that land one after the other, each asked `ahead` before.
int windowAfter(int reads, absl::Duration each, absl::Duration ahead) {
  Source source{NodeId::ofNumber(2)};
  absl::Time now = absl::FromUnixSeconds(1'000);
  for (int i = 0; i < reads; ++i) {
    now += each;
    source.delivered(kMiB, now - ahead, now);
  }
  return source.window;
}

TEST(Source, AFastLinkFillsItsWindow) {
  EXPECT_EQ(windowAfter(80, absl::Milliseconds(1), absl::Milliseconds(2)), kReadWindow);
}

TEST(Source, AFarOneHasMoreUnderWay) {
  // 8 MiB in 200 ms fill it now; as much again shows whether it could take more.
  EXPECT_EQ(windowAfter(40, absl::Milliseconds(25), absl::Milliseconds(200)), 16);
  EXPECT_EQ(windowAfter(80, absl::Milliseconds(2), absl::Milliseconds(200)), kReadWindowFar);
}

TEST(Source, OfASlowOneNoMoreIsAskedThanComesSoon) {
  // An eighth of 100 Mbit/s: what queues itself is no reason to ask for more.
  EXPECT_EQ(windowAfter(40, absl::Milliseconds(670), absl::Seconds(5)), 2);
}

TEST(Source, ReadsThatLandAtOnceDoNotMakeItInfinitelyFast) {
  Source source{NodeId::ofNumber(2)};
  absl::Time now = absl::FromUnixSeconds(1'000);
  for (int burst = 0; burst < 10; ++burst) {
    now += absl::Seconds(1);
    for (int i = 0; i < 4; ++i) source.delivered(kMiB, now - absl::Seconds(1), now);
  }
  EXPECT_LT(source.rate, 20.0 * kMiB);
  EXPECT_GT(source.rate, 1.0 * kMiB);
}

TEST(Source, AFailureHalvesItsWindow) {
  Source source{NodeId::ofNumber(2)};
  source.window = 6;
  source.failed(absl::FromUnixSeconds(1'000), false);
  EXPECT_EQ(source.window, 3);
}

}  // namespace
}  // namespace roost
