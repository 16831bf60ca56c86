// Which lane and whom to ask, as a pure function.
#include "cluster/planner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "protocol/limits.h"
#include "tests/cluster/turn_fixture.h"

namespace roost {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr uint64_t kMiB = 1 << 20;

NodeId node(uint64_t number) {
  return NodeId::ofNumber(number);
}

// Node 1, in zone "a", wants a public blob of 512 MiB that nobody has yet.
PlanInput input() {
  return {.blob = {testBlob(1), 512 * kMiB},
          .visibility = Visibility::kPublic,
          .self = node(1),
          .zone = "a"};
}
PlanHolder holder(uint64_t number, const std::string& zone = "a") {
  return {.node = node(number), .zone = zone};
}
std::vector<NodeId> asked(const Plan& plan) {
  std::vector<NodeId> nodes;
  for (const PlannedSource& source : plan.sources) nodes.push_back(source.node);
  return nodes;
}
// Why that node is asked, or passed over.
std::optional<Why> whyOf(const Plan& plan, uint64_t number) {
  for (const auto* list : {&plan.sources, &plan.passed}) {
    for (const PlannedSource& source : *list) {
      if (source.node == node(number)) return source.reason.why;
    }
  }
  return std::nullopt;
}
Why decided(const Plan& plan) {
  return plan.reasons.at(0).why;
}
// Nodes 100, 101, … want it besides node 1.
PlanInput wantedBy(size_t others) {
  PlanInput in = input();
  for (size_t i = 0; i < others; ++i) in.wanters.push_back(node(100 + i));
  return in;
}

// ---- The lane

TEST(Planner, WhatIsHereNeedsNoLane) {
  PlanInput in = input();
  in.here = true;
  in.holders = {holder(2)};
  EXPECT_EQ(planOf(in).lane, Lane::kNone);
  EXPECT_EQ(decided(planOf(in)), Why::kHere);
}

// Without a hub it is made only where somebody says that it is there.
TEST(Planner, AnEmptyBlobComesFromAHolderAsSmallOnesDo) {
  PlanInput in = input();
  in.blob.size = 0;
  in.holders = {holder(2)};
  EXPECT_EQ(planOf(in).lane, Lane::kInline);
  EXPECT_THAT(planOf(in).sources, SizeIs(1));
}

TEST(Planner, ASmallBlobIsReadWholeFromOneHolder) {
  PlanInput in = input();
  in.blob.size = 1 * kMiB;
  in.holders = {holder(2), holder(3)};
  const Plan plan = planOf(in);
  EXPECT_EQ(plan.lane, Lane::kInline);
  EXPECT_EQ(plan.atOnce, 1u);
  EXPECT_THAT(plan.sources, SizeIs(2));
}

TEST(Planner, OfASmallBlobOnlyTheBestHoldersAreAsked) {
  PlanInput in = input();
  in.blob.size = 1;
  in.holders = {holder(2), holder(3)};
  in.holders[0].verified = false;
  const Plan plan = planOf(in);
  EXPECT_THAT(asked(plan), ElementsAre(node(3)));
  EXPECT_EQ(whyOf(plan, 2), Why::kBetterThere);
}

TEST(Planner, ALoneWanterReadsDirectlyFromAllHolders) {
  PlanInput in = input();
  in.holders = {holder(2), holder(3)};
  const Plan plan = planOf(in);
  EXPECT_EQ(plan.lane, Lane::kDirect);
  EXPECT_EQ(plan.atOnce, 2u);
}

TEST(Planner, SeveralWantersShareByStripes) {
  PlanInput in = wantedBy(2);
  in.holders = {holder(2)};
  const Plan plan = planOf(in);
  EXPECT_EQ(plan.lane, Lane::kStripes);
  EXPECT_THAT(asked(plan), ElementsAre(node(2), node(100), node(101)));
  EXPECT_EQ(plan.reasons.at(0), (Reason{Why::kWantedByMany, 3}));
}

TEST(Planner, AWanterThatHoldsItIsNamedOnce) {
  PlanInput in = wantedBy(1);
  in.holders = {holder(100)};
  EXPECT_THAT(asked(planOf(in)), ElementsAre(node(100)));
}

TEST(Planner, WhatNobodyHasComesFromTheHub) {
  const Plan plan = planOf(input());
  EXPECT_EQ(plan.lane, Lane::kHub);
  EXPECT_EQ(decided(plan), Why::kNoHolder);
}

TEST(Planner, OneDownloadsForAll) {
  PlanInput in = wantedBy(3);
  in.leaseholder = node(101);
  const Plan plan = planOf(in);
  EXPECT_EQ(plan.lane, Lane::kHub);
  EXPECT_THAT(asked(plan), ElementsAre(node(101), node(100), node(102)));
  EXPECT_EQ(whyOf(plan, 101), Why::kLeaseholder);
}

TEST(Planner, WithoutAHubAndAHolderThereIsNoWay) {
  PlanInput in = input();
  in.hubAllowed = false;
  EXPECT_EQ(planOf(in).lane, Lane::kNone);
  EXPECT_EQ(decided(planOf(in)), Why::kNoHubHere);
  in.rule = SourceRule::kClusterOnly;
  EXPECT_EQ(decided(planOf(in)), Why::kClusterOnly);
}

TEST(Planner, AnOrderForTheHubAsksNoNode) {
  PlanInput in = input();
  in.holders = {holder(2)};
  in.rule = SourceRule::kHubOnly;
  EXPECT_EQ(planOf(in).lane, Lane::kHub);
  EXPECT_THAT(planOf(in).sources, IsEmpty());
}

TEST(Planner, OfADisputedNameOnlyTheHubDecides) {
  PlanInput in = input();
  in.holders = {holder(2)};
  in.disputed = true;
  EXPECT_EQ(planOf(in).lane, Lane::kHub);
  EXPECT_THAT(planOf(in).sources, IsEmpty());
  EXPECT_EQ(decided(planOf(in)), Why::kDisputed);
}

// ---- Whom to ask

TEST(Planner, HoldersOfTheOwnZoneSpareTheOthers) {
  PlanInput in = input();
  in.holders = {holder(2, "b"), holder(3, "a")};
  const Plan plan = planOf(in);
  EXPECT_THAT(asked(plan), ElementsAre(node(3)));
  EXPECT_EQ(whyOf(plan, 2), Why::kFar);
}

TEST(Planner, WithoutOneInTheOwnZoneTheOthersAreAsked) {
  PlanInput in = input();
  in.holders = {holder(2, "b"), holder(3, "c")};
  EXPECT_THAT(planOf(in).sources, SizeIs(2));
}

TEST(Planner, WithoutAZoneOfItsOwnZonesDoNotCount) {
  PlanInput in = input();
  in.zone = "";
  in.holders = {holder(2, "b"), holder(3, "")};
  EXPECT_THAT(planOf(in).sources, SizeIs(2));
}

TEST(Planner, AHashedCopyElsewhereCountsMoreThanAnUnhashedOneNear) {
  PlanInput in = input();
  in.holders = {holder(2, "a"), holder(3, "b")};
  in.holders[0].verified = false;
  EXPECT_THAT(asked(planOf(in)), ElementsAre(node(3), node(2)));
}

TEST(Planner, ANearHolderThatFailsSparesNobody) {
  PlanInput in = input();
  in.holders = {holder(2, "a"), holder(3, "b")};
  in.holders[0].failing = true;
  EXPECT_THAT(asked(planOf(in)), ElementsAre(node(3), node(2)));
}

TEST(Planner, ADrainingHolderIsAskedOnlyIfItIsTheOnlyOne) {
  PlanInput in = input();
  in.holders = {holder(2), holder(3)};
  in.holders[0].draining = true;
  EXPECT_THAT(asked(planOf(in)), ElementsAre(node(3)));
  EXPECT_EQ(whyOf(planOf(in), 2), Why::kDraining);
  in.holders.pop_back();
  EXPECT_THAT(asked(planOf(in)), ElementsAre(node(2)));
  EXPECT_EQ(whyOf(planOf(in), 2), Why::kDrainingAlone);
}

TEST(Planner, WhoIsAwayOrLiedOrGaveNothingIsPassedOver) {
  PlanInput in = input();
  in.holders = {holder(2), holder(3), holder(4)};
  in.holders[0].reachable = false;
  in.holders[1].distrusted = true;
  in.holders[2].useless = true;
  const Plan plan = planOf(in);
  EXPECT_EQ(plan.lane, Lane::kHub);
  EXPECT_EQ(whyOf(plan, 2), Why::kUnreachable);
  EXPECT_EQ(whyOf(plan, 3), Why::kDistrusted);
  EXPECT_EQ(whyOf(plan, 4), Why::kUseless);
}

TEST(Planner, EightHoldersAreEnough) {
  PlanInput in = input();
  for (uint64_t i = 2; i < 22; ++i) in.holders.push_back(holder(i));
  const Plan plan = planOf(in);
  EXPECT_THAT(plan.sources, SizeIs(kHoldersAtOnce));
  EXPECT_THAT(plan.passed, SizeIs(12));
  EXPECT_EQ(plan.passed.front().reason, (Reason{Why::kEnough, kHoldersAtOnce}));
}

TEST(Planner, AmongEqualsTheDrawDecides) {
  PlanInput in = input();
  for (uint64_t i = 2; i < 22; ++i) {
    in.holders.push_back(holder(i));
    in.holders.back().draw = 100 - i;
  }
  EXPECT_EQ(planOf(in).sources.front().node, node(21));
}

TEST(Planner, AmongEqualsThoseInUseStay) {
  PlanInput in = input();
  for (uint64_t i = 2; i < 22; ++i) in.holders.push_back(holder(i));
  in.holders.back().inUse = true;
  EXPECT_EQ(planOf(in).sources.front().node, node(21));
}

TEST(Planner, AmongEqualsOneThatProvedSlowComesLast) {
  PlanInput in = input();
  in.holders = {holder(2), holder(3), holder(4)};
  in.holders[0].rate = 10e6;
  in.holders[2].rate = 100e6;
  EXPECT_THAT(asked(planOf(in)), ElementsAre(node(3), node(4), node(2)));
}

TEST(Planner, TheOrderOfTheInputDoesNotMatter) {
  PlanInput in = wantedBy(3);
  std::mt19937_64 random(7);
  for (uint64_t i = 2; i < 30; ++i) {
    in.holders.push_back(holder(i, i % 3 == 0 ? "a" : "b"));
    in.holders.back().verified = i % 2 == 0;
    in.holders.back().reachable = i % 7 != 0;
  }
  const std::vector<NodeId> first = asked(planOf(in));
  for (int round = 0; round < 20; ++round) {
    std::shuffle(in.holders.begin(), in.holders.end(), random);
    EXPECT_EQ(asked(planOf(in)), first);
  }
}

// ---- The swarm

// Wide, loose, public, large, and switched on at both ends.
PlanInput swarming() {
  PlanInput in = wantedBy(20);
  in.swarmNodes = kSwarmNodesDefault;
  in.churn = 20;
  in.holders = {holder(2)};
  in.holders[0].swarm = true;
  return in;
}

TEST(Planner, AWideFanOutThatComesAndGoesIsASwarm) {
  EXPECT_EQ(planOf(swarming()).lane, Lane::kSwarm);
  EXPECT_EQ(planOf(swarming()).reasons.at(0), (Reason{Why::kWideAndLoose, 21}));
}

TEST(Planner, MoreWantersThanAreNumberedAreASwarmAlsoWithoutChurn) {
  PlanInput in = swarming();
  in.churn = 0;
  while (in.wanters.size() + 1 < kStripeWantersMax)
    in.wanters.push_back(node(500 + in.wanters.size()));
  EXPECT_EQ(planOf(in).lane, Lane::kSwarm);
}

struct SwarmCase {
  const char* name;
  void (*change)(PlanInput&);
  std::optional<Why> why;  // none: swarms are not spoken of
};
class NoSwarm : public ::testing::TestWithParam<SwarmCase> {};

TEST_P(NoSwarm, IsStripesAndSaysWhy) {
  PlanInput in = swarming();
  GetParam().change(in);
  const Plan plan = planOf(in);
  EXPECT_EQ(plan.lane, Lane::kStripes);
  if (!GetParam().why) {
    EXPECT_THAT(plan.reasons, SizeIs(1));
  } else {
    ASSERT_THAT(plan.reasons, SizeIs(2));
    EXPECT_EQ(plan.reasons[1].why, *GetParam().why);
    EXPECT_THAT(sentenceOf(plan.reasons[1]), HasSubstr("no swarm"));
  }
}

INSTANTIATE_TEST_SUITE_P(
    Planner, NoSwarm,
    ::testing::Values(
        SwarmCase{"Off", [](PlanInput& in) { in.swarmNodes = 0; }, std::nullopt},
        SwarmCase{"OffAtTheHolder", [](PlanInput& in) { in.holders[0].swarm = false; },
                  Why::kNoSwarmHolder},
        SwarmCase{"Private", [](PlanInput& in) { in.visibility = Visibility::kPrivate; },
                  Why::kNotPublic},
        SwarmCase{"Unknown", [](PlanInput& in) { in.visibility = Visibility::kUnknown; },
                  Why::kNotPublic},
        SwarmCase{"Small", [](PlanInput& in) { in.blob.size = kSwarmBlobBytesMin - 1; },
                  Why::kTooSmallForSwarm},
        SwarmCase{"Few",
                  [](PlanInput& in) {
                    in.wanters.erase(in.wanters.begin() + kSwarmNodesDefault - 2, in.wanters.end());
                  },
                  Why::kFewWanters},
        SwarmCase{"Together", [](PlanInput& in) { in.churn = 1; }, Why::kCoordinated}),
    [](const auto& test) { return test.param.name; });

TEST(Planner, ANumberOfNodesThatWasSetIsAllThatCounts) {
  PlanInput in = swarming();
  in.churn = 0;
  in.blob.size = 2 << 20;
  in.swarmNodes = 2;
  EXPECT_EQ(planOf(in).lane, Lane::kStripes);
  in.swarmByOrder = true;
  EXPECT_EQ(planOf(in).lane, Lane::kSwarm);
  in.visibility = Visibility::kPrivate;
  EXPECT_EQ(planOf(in).lane, Lane::kStripes) << "whatever was set";
  in.visibility = Visibility::kPublic;
  in.blob.size = kSwarmBlobBytesMax + 1;
  EXPECT_EQ(planOf(in).reasons.back().why, Why::kTooLargeForSwarm);
}

// ---- Words

TEST(Planner, EveryReasonHasASentence) {
  for (int why = 0; why <= static_cast<int>(Why::kEnough); ++why) {
    const std::string text = sentenceOf({static_cast<Why>(why), 3, "b"});
    EXPECT_FALSE(text.empty()) << why;
    EXPECT_FALSE(text.ends_with('.')) << text;
  }
}

TEST(Planner, SentencesNameTheZone) {
  EXPECT_THAT(sentenceOf({Why::kFar, 0, "b"}), HasSubstr("zone b"));
  EXPECT_THAT(sentenceOf({Why::kFar}), HasSubstr("without a zone"));
}

}  // namespace
}  // namespace roost
