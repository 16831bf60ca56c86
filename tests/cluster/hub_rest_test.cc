#include "cluster/hub_rest.h"

#include <gtest/gtest.h>

#include <set>

#include "protocol/limits.h"

namespace roost {
namespace {

absl::Time at(double seconds) {
  return absl::FromUnixSeconds(1'000'000) + absl::Seconds(seconds);
}
constexpr absl::Duration kNone = absl::ZeroDuration();

TEST(HubRest, TheHubIsLeftAloneForAsLongAsItSaid) {
  HubRest rest;
  rest.told(absl::Seconds(10), at(0));
  EXPECT_GE(rest.left(at(0)), absl::Seconds(10));
  EXPECT_GT(rest.left(at(9.9)), kNone);
  EXPECT_EQ(rest.left(at(10) + kHubRestJitterMax), kNone);
}

TEST(HubRest, ALaterShorterWordDoesNotEndIt) {
  HubRest rest;
  rest.told(absl::Seconds(10), at(0));
  rest.told(absl::Seconds(1), at(1));
  EXPECT_GT(rest.left(at(9)), kNone);
}

TEST(HubRest, WhatWasHeardCountsButIsNotPassedOn) {
  HubRest rest;
  rest.heard(absl::Seconds(10), at(0));
  EXPECT_GE(rest.left(at(0)), absl::Seconds(10));
  EXPECT_EQ(rest.ownLeft(at(0)), kNone);
}

TEST(HubRest, TheOwnWordIsPassedOnAsItWasSaid) {
  HubRest rest;
  rest.told(absl::Seconds(10), at(0));
  EXPECT_EQ(rest.ownLeft(at(4)), absl::Seconds(6));
}

TEST(HubRest, APauseDoesNotGrowFromNodeToNode) {
  absl::Duration said = absl::Seconds(12);
  for (int node = 0; node < 20; ++node) {
    HubRest rest;
    rest.heard(said, at(0));
    said = rest.saidLeft(at(0));
  }
  EXPECT_EQ(said, absl::Seconds(12));
}

TEST(HubRest, APeerCannotSilenceANodeForMoreThanAMinute) {
  HubRest rest;
  rest.heard(absl::InfiniteDuration(), at(0));
  EXPECT_EQ(rest.left(at(0) + kHubRestHeardMax + kHubRestJitterMax), kNone);
}

TEST(HubRest, NorByRepeatingItself) {
  HubRest rest;
  int silent = 0;
  for (int second = 0; second < 600; ++second) {
    rest.heard(absl::Seconds(30), at(second));
    silent += rest.left(at(second)) > kNone;
  }
  EXPECT_LT(silent, 600 / 2 + 30);
  // And never for longer than a minute on end.
  int onEnd = 0;
  int longest = 0;
  HubRest other;
  for (int second = 0; second < 600; ++second) {
    other.heard(absl::Seconds(30), at(second));
    onEnd = other.left(at(second)) > kNone ? onEnd + 1 : 0;
    longest = std::max(longest, onEnd);
  }
  EXPECT_LE(longest, 63);
}

TEST(HubRest, TheHubItselfIsBelievedForLonger) {
  HubRest rest;
  rest.told(absl::Minutes(5), at(0));
  EXPECT_GT(rest.left(at(299)), kNone);
}

TEST(HubRest, NodesDoNotComeBackInTheSameInstant) {
  std::set<absl::Duration> ends;
  for (int i = 0; i < 20; ++i) {
    HubRest rest;
    rest.told(absl::Seconds(10), at(0));
    ends.insert(rest.left(at(0)));
  }
  EXPECT_GT(ends.size(), 15u);
}

TEST(HubRest, WhoeverTellsOthersHearsOfIt) {
  int told = 0;
  HubRest rest([&] { ++told; });
  rest.told(absl::Seconds(10), at(0));
  rest.told(absl::Seconds(1), at(1));
  rest.heard(absl::Seconds(20), at(1));
  rest.told(kNone, at(1));
  EXPECT_EQ(told, 1);
}

}  // namespace
}  // namespace roost
