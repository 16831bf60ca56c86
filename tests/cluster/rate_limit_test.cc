#include "cluster/rate_limit.h"

#include <gtest/gtest.h>

#include <vector>

#include "cluster/swarm_share.h"
#include "cluster/upload_turns.h"

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

// ---- SwarmShare: the part of a limit that libtorrent keeps by itself.

constexpr absl::Duration kAsked = absl::Milliseconds(500);

TEST(SwarmShare, AloneTheSwarmHasAllOfIt) {
  RateLimit limit(8 * kMiB);
  SwarmShare share(&limit);
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(share.rate(kStart + i * kAsked), 8 * kMiB);
    share.took(4 * kMiB, kStart + i * kAsked);
  }
  EXPECT_EQ(limit.taken(), 16 * kMiB);
}

TEST(SwarmShare, TwiceWhatOthersTakeIsLeftToThemUpToHalf) {
  RateLimit limit(8 * kMiB);
  SwarmShare share(&limit);
  share.rate(kStart);
  limit.take(kMiB / 2, kStart);
  share.took(kMiB, kStart);
  EXPECT_EQ(share.rate(kStart + kAsked), 6 * kMiB);
  limit.take(50 * kMiB, kStart + kAsked);
  EXPECT_EQ(share.rate(kStart + 2 * kAsked), 4 * kMiB);
  EXPECT_EQ(share.rate(kStart + 3 * kAsked), 8 * kMiB) << "they have stopped";
}

TEST(SwarmShare, WithoutALimitThereIsNone) {
  SwarmShare none(nullptr);
  none.took(kMiB, kStart);
  EXPECT_EQ(none.rate(kStart), 0u);
  RateLimit limit;
  SwarmShare share(&limit);
  share.took(kMiB, kStart);
  EXPECT_EQ(share.rate(kStart), 0u);
  limit.set(2 * kMiB, kStart);
  EXPECT_EQ(share.rate(kStart + kAsked), 2 * kMiB);
  limit.set(0, kStart);
  EXPECT_EQ(share.rate(kStart + 2 * kAsked), 0u);
}

// Reads that are asked for again 200 ms after "busy", from `readers` of clients and a warm job's;
// the bytes of each within 20 s.
struct Shares {
  uint64_t clients = 0, warm = 0;
};
Shares sharesOf(uint64_t rate, int readers, int warms) {
  RateLimit limit(rate);
  UploadTurns turns(limit);
  struct Asker {
    bool background;
    absl::Time next;
  };
  std::vector<Asker> askers;
  for (int i = 0; i < readers + warms; ++i) {
    askers.push_back({i >= readers, kStart + absl::Milliseconds(7 * i)});
  }
  Shares shares;
  for (absl::Time now = kStart; now < kStart + absl::Seconds(20); now += absl::Milliseconds(1)) {
    for (Asker& asker : askers) {
      if (now < asker.next) continue;
      const auto wait = turns.take(kMiB, asker.background, now);
      asker.next = now + wait.value_or(kBusyPause) + absl::Milliseconds(1);
      if (wait) (asker.background ? shares.warm : shares.clients) += kMiB;
    }
  }
  return shares;
}

TEST(UploadTurns, ClientsGoFirstAndAWarmGoesOn) {
  for (const uint64_t rate : {kMiB, 8 * kMiB, 200 * kMiB}) {
    const Shares shares = sharesOf(rate, 8, 8);
    EXPECT_GE(shares.clients, rate * 20 * 7 / 10) << rate;
    EXPECT_GE(shares.warm, kMiB) << rate;
  }
}

TEST(UploadTurns, AWarmAloneHasAll) {
  for (const uint64_t rate : {kMiB, 8 * kMiB, 200 * kMiB}) {
    EXPECT_GE(sharesOf(rate, 0, 8).warm, rate * 20 * 9 / 10) << rate;
  }
}

TEST(UploadTurns, WithoutALimitNobodyWaits) {
  RateLimit limit;
  UploadTurns turns(limit);
  EXPECT_EQ(turns.take(1'000 * kMiB, true, kStart), absl::ZeroDuration());
  EXPECT_EQ(turns.take(kMiB, true, kStart), absl::ZeroDuration());
}

// The rate that the share allows and the bucket together: never more than the limit, and none of
// the two starves.
TEST(SwarmShare, BothTogetherStayWithinTheLimit) {
  constexpr uint64_t kRate = 8 * kMiB;
  RateLimit limit(kRate);
  SwarmShare share(&limit);
  uint64_t swarm = 0, others = 0, rate = 0;
  constexpr int kSeconds = 20;
  for (int ms = 0; ms < 1'000 * kSeconds; ++ms) {
    const absl::Time now = kStart + absl::Milliseconds(ms);
    if (ms % 500 == 0) rate = share.rate(now);
    share.took(rate / 1'000, now);
    swarm += rate / 1'000;
    if (limit.left(now) > absl::ZeroDuration()) continue;
    limit.take(kMiB, now);
    others += kMiB;
  }
  EXPECT_LE(swarm + others, kRate * (kSeconds + 1));
  EXPECT_GE(swarm, kRate * kSeconds / 3);
  EXPECT_GE(others, kRate * kSeconds / 10);
}

}  // namespace
}  // namespace roost
