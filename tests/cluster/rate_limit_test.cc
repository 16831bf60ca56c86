#include "cluster/rate_limit.h"

#include <gtest/gtest.h>

namespace roost {
namespace {

constexpr uint64_t kMiB = 1 << 20;
const absl::Time kStart = absl::FromUnixSeconds(1'000);

// How much goes in that time, by pieces, when each goes as soon as it may.
uint64_t goneWithin(RateLimit& limit, absl::Time from, absl::Duration time, uint64_t piece) {
  uint64_t gone = 0;
  for (absl::Time now = from; now < from + time; now += absl::Milliseconds(1)) {
    while (limit.left(now) == absl::ZeroDuration()) {
      limit.take(piece, now);
      gone += piece;
    }
  }
  return gone;
}

TEST(RateLimit, WithoutARateEverythingGoes) {
  RateLimit limit;
  limit.take(1'000 * kMiB, kStart);
  EXPECT_EQ(limit.left(kStart), absl::ZeroDuration());
  EXPECT_EQ(limit.takeWithin(kMiB, kStart, absl::ZeroDuration()), absl::ZeroDuration());
}

TEST(RateLimit, TheSumStaysWithinTheRate) {
  for (const uint64_t rate : {kMiB / 10, 8 * kMiB, 1'000 * kMiB}) {
    RateLimit limit(rate);
    const uint64_t gone = goneWithin(limit, kStart, absl::Seconds(20), kMiB);
    EXPECT_LE(gone, rate * 20 + rate / 5 + kMiB) << rate;
    EXPECT_GE(gone, rate * 19) << rate;
  }
}

TEST(RateLimit, WhatIsLargerThanASecondGoesAndIsPaidBack) {
  RateLimit limit(kMiB);
  EXPECT_EQ(limit.left(kStart), absl::ZeroDuration());
  limit.take(4 * kMiB, kStart);
  EXPECT_GT(limit.left(kStart + absl::Seconds(3.9)), absl::ZeroDuration());
  EXPECT_EQ(limit.left(kStart + absl::Seconds(4.1)), absl::ZeroDuration());
}

TEST(RateLimit, WhoWaitsAsToldNeedNotWaitAgain) {
  RateLimit limit(3'333'333);
  limit.take(kMiB, kStart);
  EXPECT_EQ(limit.left(kStart + limit.left(kStart)), absl::ZeroDuration());
}

TEST(RateLimit, AnIdleLimitSavesLittle) {
  RateLimit limit(10 * kMiB);
  limit.take(kMiB, kStart);
  const uint64_t gone = goneWithin(limit, kStart + absl::Hours(1), absl::Milliseconds(2), kMiB);
  EXPECT_LE(gone, 3 * kMiB);
}

TEST(RateLimit, WhatWouldWaitTooLongTakesNothing) {
  RateLimit limit(kMiB);
  EXPECT_EQ(limit.takeWithin(kMiB, kStart, absl::Milliseconds(300)), absl::ZeroDuration());
  EXPECT_EQ(limit.takeWithin(kMiB, kStart, absl::Milliseconds(300)), std::nullopt);
  EXPECT_EQ(limit.takeWithin(kMiB, kStart + absl::Seconds(0.8), absl::Milliseconds(300)),
            absl::Milliseconds(200) + absl::Microseconds(1));
  EXPECT_EQ(limit.takeWithin(kMiB, kStart + absl::Seconds(1), absl::Milliseconds(300)),
            std::nullopt)
      << "the one before is owed";
}

TEST(RateLimit, ARateThatIsRaisedPaysTheDebtSooner) {
  RateLimit limit(kMiB);
  limit.take(100 * kMiB, kStart);
  limit.set(100 * kMiB, kStart);
  EXPECT_LE(limit.left(kStart), absl::Seconds(1.01));
}

TEST(RateLimit, ALimitThatIsTakenAwayOwesNothing) {
  RateLimit limit(kMiB);
  limit.take(100 * kMiB, kStart);
  limit.set(0, kStart);
  EXPECT_EQ(limit.left(kStart), absl::ZeroDuration());
  limit.set(kMiB, kStart + absl::Seconds(1));
  EXPECT_EQ(limit.left(kStart + absl::Seconds(1)), absl::ZeroDuration());
}

TEST(RateLimit, AClockThatGoesBackLosesNothing) {
  RateLimit limit(kMiB);
  limit.take(2 * kMiB, kStart);
  limit.take(0, kStart - absl::Seconds(10));
  EXPECT_LE(limit.left(kStart), absl::Seconds(2.1));
}

}  // namespace
}  // namespace roost
