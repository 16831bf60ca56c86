#include "cache/verify_queue.h"

#include <gtest/gtest.h>

namespace roost {
namespace {

constexpr CopyId kOne{1}, kOther{2};
const absl::Time kNow = absl::FromUnixSeconds(1'000'000);

TEST(VerifyQueue, WhatIsUrgentAndSmallComesFirst) {
  VerifyQueue queue;
  queue.put(CopyId{1}, VerifyUrgency::kRecheck, 1);
  queue.put(CopyId{2}, VerifyUrgency::kUnverified, 300);
  queue.put(CopyId{3}, VerifyUrgency::kUnverified, 200);
  queue.put(CopyId{4}, VerifyUrgency::kUnverified, 400);
  queue.request(CopyId{4});
  for (const uint64_t id : {4, 3, 2, 1}) EXPECT_EQ(queue.next(kNow), CopyId{id});
  EXPECT_FALSE(queue.next(kNow).has_value());
}

TEST(VerifyQueue, ACopyWithATimeWaitsForItAndCountsMeanwhile) {
  VerifyQueue queue;
  queue.put(kOne, VerifyUrgency::kUnverified, 10, kNow + absl::Seconds(2));
  queue.put(kOther, VerifyUrgency::kUnverified, 20);
  EXPECT_EQ(queue.next(kNow), kOther);
  EXPECT_FALSE(queue.next(kNow + absl::Seconds(1)).has_value());
  EXPECT_EQ(queue.bytesLeft(), 30u);
  EXPECT_EQ(queue.next(kNow + absl::Seconds(2)), kOne);
  queue.done(kOne);
  EXPECT_EQ(queue.bytesLeft(), 20u);
}

TEST(VerifyQueue, WhoIsWaitedForDoesNotWait) {
  VerifyQueue queue;
  queue.put(kOne, VerifyUrgency::kUnverified, 10, kNow + absl::Seconds(2));
  queue.request(kOne);
  EXPECT_EQ(queue.next(kNow), kOne);
  EXPECT_FALSE(queue.next(kNow + absl::Seconds(3)).has_value());
}

TEST(VerifyQueue, ATimeOfAClockThatIsAheadIsNotWaitedFor) {
  VerifyQueue queue;
  queue.put(kOne, VerifyUrgency::kUnverified, 10, kNow + absl::Hours(5));
  EXPECT_EQ(queue.next(kNow), kOne);
}

TEST(VerifyQueue, WhatIsRemovedWhileItWaitsIsForgotten) {
  VerifyQueue queue;
  queue.put(kOne, VerifyUrgency::kUnverified, 10, kNow + absl::Seconds(2));
  queue.remove(kOne);
  EXPECT_FALSE(queue.next(kNow + absl::Seconds(3)).has_value());
  EXPECT_EQ(queue.bytesLeft(), 0u);
}

}  // namespace
}  // namespace roost
