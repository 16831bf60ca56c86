#include "cluster/compute_leases.h"

#include <gtest/gtest.h>

#include <string>

namespace roost {
namespace {

RepresentationKey key(char digit) {
  return *RepresentationKey::parse(std::string(64, digit));
}
absl::Time at(int seconds) {
  return absl::FromUnixSeconds(1'000'000 + seconds);
}
constexpr absl::Duration kMinute = absl::Minutes(1);
constexpr ComputeVerdict kGranted = ComputeVerdict::kGranted;
constexpr ComputeVerdict kOther = ComputeVerdict::kOther;

TEST(ComputeLeases, TheFirstWhoAsksComputes) {
  ComputeLeases leases;
  EXPECT_EQ(leases.ask(at(0), key('1'), "a", kMinute), kGranted);
  EXPECT_EQ(leases.ask(at(1), key('1'), "b", kMinute), kOther);
  EXPECT_EQ(leases.ask(at(1), key('2'), "b", kMinute), kGranted);
}

TEST(ComputeLeases, TheSameComputationRenewsItsLease) {
  ComputeLeases leases;
  leases.ask(at(0), key('1'), "a", kMinute);
  EXPECT_EQ(leases.ask(at(50), key('1'), "a", kMinute), kGranted);
  EXPECT_EQ(leases.ask(at(100), key('1'), "b", kMinute), kOther);
  EXPECT_EQ(leases.ask(at(111), key('1'), "b", kMinute), kGranted);
}

TEST(ComputeLeases, ALeaseEndsWithItsTime) {
  ComputeLeases leases;
  leases.ask(at(0), key('1'), "a", kMinute);
  EXPECT_EQ(leases.ask(at(59), key('1'), "b", kMinute), kOther);
  EXPECT_EQ(leases.ask(at(60), key('1'), "b", kMinute), kGranted);
  EXPECT_EQ(leases.ask(at(61), key('1'), "a", kMinute), kOther);
}

TEST(ComputeLeases, ALeaseIsAtMostAnHour) {
  ComputeLeases leases;
  leases.ask(at(0), key('1'), "a", absl::InfiniteDuration());
  EXPECT_EQ(leases.ask(at(3600), key('1'), "b", kMinute), kGranted);
}

TEST(ComputeLeases, ItsHolderGivesItBackAndNobodyElse) {
  ComputeLeases leases;
  leases.ask(at(0), key('1'), "a", kMinute);
  leases.release(key('1'), "b");
  EXPECT_EQ(leases.ask(at(1), key('1'), "b", kMinute), kOther);
  leases.release(key('1'), "a");
  EXPECT_EQ(leases.ask(at(2), key('1'), "b", kMinute), kGranted);
}

TEST(ComputeLeases, WhatIsThereIsNotBeingComputed) {
  ComputeLeases leases;
  leases.ask(at(0), key('1'), "a", kMinute);
  leases.done(key('1'));
  EXPECT_EQ(leases.size(), 0U);
}

TEST(ComputeLeases, ARegistrarThatIsFullGrants) {
  ComputeLeases leases(1);
  leases.ask(at(0), key('1'), "a", kMinute);
  EXPECT_EQ(leases.ask(at(0), key('2'), "a", kMinute), kGranted);
  EXPECT_EQ(leases.ask(at(0), key('2'), "b", kMinute), kGranted);
  EXPECT_EQ(leases.size(), 1U);
}

TEST(ComputeLeases, ANewRegistrarKnowsNothingAndGrants) {
  ComputeLeases lost;
  lost.ask(at(0), key('1'), "a", kMinute);
  ComputeLeases next;
  EXPECT_EQ(next.ask(at(1), key('1'), "b", kMinute), kGranted);
}

}  // namespace
}  // namespace roost
