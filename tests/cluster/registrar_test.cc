#include "cluster/registrar.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "cluster/rendezvous.h"
#include "cluster/wants.h"
#include "protocol/limits.h"
#include "tests/cluster/turn_fixture.h"

namespace roost {
namespace {

class RegistrarTest : public ::testing::Test, public TurnFixture {
 protected:
  RegistrarTest() {
    for (uint64_t peer = 2; peer <= 4; ++peer) {
      step([&](Turn& turn) { members.linkUp(turn, LinkUp{testMember(peer), std::nullopt}); });
    }
    now += absl::Minutes(1);  // nobody can hold a lease from before
    uint8_t number = 0;
    while (rendezvousWinner(testBlob(number), members.usableMembers()) != members.self().id) {
      ++number;
    }
    blob = {testBlob(number), 100};
  }
  Grant ask(uint64_t node, uint64_t prefix = 0, uint64_t fence = 0, bool peersHaveIt = false,
            WantPhase phase = WantPhase::kWanted) {
    Want want{blob};
    want.phase = phase;
    want.canUseHub = true;
    want.prefixBytes = prefix;
    want.heldFence = fence;
    want.peersHaveIt = peersHaveIt;
    return registrar.on(now, NodeId::ofNumber(node), want);
  }
  // Asks in turn until one has the lease.
  std::pair<uint64_t, Grant> leaseOf(std::initializer_list<uint64_t> nodes) {
    for (const uint64_t node : nodes) ask(node);
    now += absl::Seconds(1);
    for (const uint64_t node : nodes) ask(node);
    for (const uint64_t node : nodes) {
      if (const Grant grant = ask(node); grant.fence != 0) return {node, grant};
    }
    ADD_FAILURE() << "no lease";
    return {0, {}};
  }

  Members members{testMember(1, 7), {}, random};
  Registrar registrar{members};
  BlobInfo blob{testBlob(0), 0};
};

TEST_F(RegistrarTest, EachIsToldWhatTheOthersHave) {
  Want want{blob};
  want.have = PieceMap::of({true, false, true});
  registrar.on(now, NodeId::ofNumber(2), want);
  const Grant grant = ask(3);
  EXPECT_EQ(grant.have, (std::vector<PieceMap>{want.have, {}}));
}

TEST_F(RegistrarTest, WantersAreNumberedAndMoveUpWhenOneEnds) {
  EXPECT_EQ(ask(2).number, 0u);
  EXPECT_EQ(ask(3).number, 1u);
  EXPECT_EQ(ask(4).number, 2u);
  ask(3, 0, 0, false, WantPhase::kGivenUp);
  const Grant grant = ask(4);
  EXPECT_EQ(grant.number, 1u);
  EXPECT_EQ(grant.wanters, (std::vector<NodeId>{NodeId::ofNumber(2), NodeId::ofNumber(4)}));
}

TEST_F(RegistrarTest, OneWanterHoldsTheLeaseAndTheOthersHearWho) {
  const auto [holder, grant] = leaseOf({2, 3, 4});
  EXPECT_EQ(grant.fence >> 32, 7u);
  for (const uint64_t node : {2, 3, 4}) {
    const Grant word = ask(node);
    EXPECT_EQ(word.leaseholder, NodeId::ofNumber(holder));
    EXPECT_EQ(word.fence != 0, node == holder);
  }
}

TEST_F(RegistrarTest, AfterAnExpiredLeaseTheLongestPrefixIsNextWithAGreaterFence) {
  const auto [holder, grant] = leaseOf({2, 3, 4});
  const uint64_t rich = holder == 2 ? 3 : 2;
  const uint64_t poor = 9 - holder - rich;  // the third of 2, 3 and 4
  now += kLeaseDuration - absl::Milliseconds(1);
  ask(rich, 50);
  ask(poor, 10);
  now += absl::Milliseconds(2);
  EXPECT_EQ(ask(poor, 10).fence, 0u) << "another wanter has more";
  EXPECT_GT(ask(rich, 50).fence, grant.fence);
}

TEST_F(RegistrarTest, NoLeaseWhileAPeerHasIt) {
  ask(2, 0, 0, true);
  ask(3);
  now += absl::Seconds(1);
  ask(2, 0, 0, true);
  EXPECT_EQ(ask(3).fence, 0u);
}

TEST_F(RegistrarTest, AClaimFromTheRegistrarBeforeIsAdopted) {
  const uint64_t fence = (uint64_t{9} << 32) | 5;
  EXPECT_EQ(ask(3, 0, fence).fence, fence);
  EXPECT_EQ(ask(2).leaseholder, NodeId::ofNumber(3));
  now += kLeaseDuration;
  const auto [holder, grant] = leaseOf({2});
  EXPECT_GT(grant.fence, fence);
}

TEST_F(RegistrarTest, AfterAMembershipChangeClaimsAreAwaited) {
  step([&](Turn& turn) { members.linkDown(turn, NodeId::ofNumber(4)); });
  ask(2);
  now += absl::Seconds(1);
  EXPECT_EQ(ask(2).fence, 0u);
  now += absl::Seconds(1);
  EXPECT_NE(ask(2).fence, 0u);
}

TEST_F(RegistrarTest, AfterARegistrarHasHungForALeaseClaimsAreAwaitedForAShortTime) {
  for (const uint64_t peer : {2, 3}) members.heard(NodeId::ofNumber(peer), now);
  now += kHeartbeatPeriodMin * kSuspectedAfterPeriods;
  for (const uint64_t peer : {2, 3}) members.heard(NodeId::ofNumber(peer), now);
  now += absl::Milliseconds(1);
  registrar.tick(now);
  step([&](Turn& turn) { members.tick(turn, false); });
  ASSERT_FALSE(members.usable(NodeId::ofNumber(4)));
  EXPECT_EQ(ask(2).fence, 0u);
  now += absl::Milliseconds(600);
  EXPECT_NE(ask(2).fence, 0u);
}

TEST_F(RegistrarTest, ALeaseholderThatFallsSilentIsNoWanterEither) {
  const auto [holder, grant] = leaseOf({2, 3, 4});
  const uint64_t other = holder == 2 ? 3 : 2;
  now += kLeaseDuration;
  const Grant word = ask(other);
  EXPECT_EQ(std::count(word.wanters.begin(), word.wanters.end(), NodeId::ofNumber(holder)), 0);
}

TEST_F(RegistrarTest, AStrangersBlobIsRedirected) {
  uint8_t number = 0;
  while (rendezvousWinner(testBlob(number), members.usableMembers()) == members.self().id) {
    ++number;
  }
  blob = {testBlob(number), 100};
  EXPECT_TRUE(ask(2).notRegistrar);
  EXPECT_FALSE(ask(1).notRegistrar) << "its own want it serves in need";
}

TEST_F(RegistrarTest, WhoSleptGrantsNothingBeforeOthersHadTimeToClaim) {
  ask(1);
  now += absl::Minutes(1);
  registrar.slept(now);
  EXPECT_EQ(ask(1).fence, 0u);
  now += absl::Milliseconds(1'400);
  EXPECT_EQ(ask(1).fence, 0u);
  now += absl::Milliseconds(200);
  EXPECT_NE(ask(1).fence, 0u);
}

class Wanting : public Wanter {
 public:
  explicit Wanting(const BlobInfo& blob) : blob_(blob) {}
  Want want() const override {
    Want want{blob_};
    want.canUseHub = true;
    return want;
  }
  void granted(Turn&, const Grant& grant, absl::Time) override { mayUseHub |= grant.fence != 0; }
  bool contented() const override { return false; }

  bool mayUseHub = false;

 private:
  const BlobInfo blob_;
};

TEST_F(RegistrarTest, WhoSleptAsksTheRegistrarAgainBeforeItHelpsItself) {
  uint8_t number = 0;
  while (rendezvousWinner(testBlob(number), members.usableMembers()) == members.self().id) {
    ++number;
  }
  Wanting wanting(BlobInfo{testBlob(number), 100});
  Wants wants(members, registrar);
  wants.begin(testBlob(number), &wanting, now);
  step([&](Turn& turn) { wants.flush(turn); });
  ASSERT_EQ(all<Call>().size(), 1u);

  now += absl::Minutes(1);
  wants.slept(now);
  step([&](Turn& turn) { wants.flush(turn); });
  EXPECT_EQ(all<Call>().size(), 1u) << "the registrar";
  EXPECT_FALSE(wanting.mayUseHub);
}

// Two nodes that stand in for the same registrar know nothing of one another, so neither for long.
TEST_F(RegistrarTest, WhoStandsInForARegistrarTriesItAgainAndItsSuccessorAtOnce) {
  const NodeId self = members.self().id;
  const auto next = [&](const BlobId& of, const NodeId& without) {
    std::vector<NodeId> others = members.usableMembers();
    std::erase(others, without);
    return rendezvousWinner(of, others);
  };
  // One whose registrar and its successor are others.
  BlobId id = testBlob(0);
  NodeId first = self;
  for (uint8_t number = 0; first == self || next(id, first) == self; ++number) {
    id = testBlob(number);
    first = rendezvousWinner(id, members.usableMembers());
  }
  Wanting wanting(BlobInfo{id, 100});
  Wants wants(members, registrar);
  wants.begin(id, &wanting, now);
  std::vector<NodeId> called;
  const auto runFor = [&](absl::Duration time) {
    called.clear();
    for (const absl::Time end = now + time; now < end; now += absl::Milliseconds(100)) {
      step([&](Turn& turn) { wants.flush(turn); });
      for (const Call& call : all<Call>()) called.push_back(call.peer);
    }
  };
  runFor(absl::Seconds(8));
  EXPECT_FALSE(called.empty());
  ASSERT_GT(registrar.records(), 0u) << "it says nothing: this node stands in for it";
  runFor(absl::Seconds(10));
  EXPECT_TRUE(called.empty());
  runFor(absl::Seconds(20));
  EXPECT_FALSE(called.empty()) << "it is tried again";
  runFor(absl::Seconds(8));
  ASSERT_TRUE(called.empty()) << "and stood in for once more";

  step([&](Turn& turn) { members.linkDown(turn, first); });
  const NodeId second = rendezvousWinner(id, members.usableMembers());
  ASSERT_NE(first, second);
  ASSERT_NE(second, self);
  wants.membersChanged(now);
  runFor(absl::Seconds(1));
  ASSERT_FALSE(called.empty());
  EXPECT_EQ(called.front(), second);
}

TEST_F(RegistrarTest, WantersThatFallSilentAreForgotten) {
  ask(2);
  now += absl::Seconds(6);
  registrar.tick(now);
  EXPECT_EQ(registrar.records(), 0u);
}

TEST(Rendezvous, WhenAMemberLeavesOnlyItsBlobsMove) {
  std::vector<NodeId> all;
  for (uint64_t i = 1; i <= 8; ++i) all.push_back(NodeId::ofNumber(i));
  std::vector<NodeId> fewer(all.begin(), all.end() - 1);
  int moved = 0;
  for (int i = 0; i < 256; ++i) {
    const BlobId blob = testBlob(static_cast<uint8_t>(i));
    const NodeId before = rendezvousWinner(blob, all);
    const NodeId after = rendezvousWinner(blob, fewer);
    if (before == after) continue;
    EXPECT_EQ(before, all.back());
    ++moved;
  }
  EXPECT_GT(moved, 10);
  EXPECT_LT(moved, 64);
}

}  // namespace
}  // namespace roost
