#include "cluster/members.h"

#include <gtest/gtest.h>

#include "protocol/limits.h"
#include "tests/cluster/turn_fixture.h"

namespace roost {
namespace {

class MembersTest : public ::testing::Test, public TurnFixture {
 protected:
  void link(const MemberInfo& peer, bool dialled = false) {
    step([&](Turn& turn) {
      members.linkUp(turn,
                     LinkUp{peer, dialled ? std::optional(peer.addresses.front()) : std::nullopt});
    });
  }
  std::vector<NodeId> tickAfter(absl::Duration duration) {
    now += duration;
    std::vector<NodeId> gone;
    step([&](Turn& turn) { gone = members.tick(turn, false); });
    return gone;
  }

  Members members{testMember(5), {Address{"seed", 8376}}, random};
};

TEST_F(MembersTest, ASeedIsDialledAtOnceAndAgainAfterAPause) {
  tickAfter(absl::ZeroDuration());
  ASSERT_EQ(all<Dial>().size(), 1u);
  step([&](Turn& turn) {
    members.dialFailed(turn, {Address{"seed", 8376}, absl::UnavailableError("no"), std::nullopt});
  });
  tickAfter(absl::Milliseconds(10));
  EXPECT_TRUE(all<Dial>().empty());
  tickAfter(absl::Seconds(1));
  EXPECT_EQ(all<Dial>().size(), 1u);
}

TEST_F(MembersTest, MembersOfALinkedPeerAreDialled) {
  link(testMember(1));
  tickAfter(absl::ZeroDuration());
  step([&](Turn& turn) {
    members.membersAnswered(turn, NodeId::ofNumber(1),
                            Reply(MembersReply{{testMember(9), testMember(5), testMember(1)}}));
  });
  tickAfter(absl::Milliseconds(1));
  ASSERT_EQ(all<Dial>().size(), 1u);
  EXPECT_EQ(all<Dial>().front().address, testMember(9).addresses.front());
}

TEST_F(MembersTest, OfTwoLinksTheOneThatTheSmallerIdDialledStays) {
  link(testMember(9), true);  // 5 dialled 9: the smaller one did
  EXPECT_EQ(members.judge(testMember(9), false), LinkVerdict::kDuplicate);
  Members other{testMember(9), {}, random};
  step([&](Turn& turn) { other.linkUp(turn, LinkUp{testMember(5), Address{"n5", 8376}}); });
  EXPECT_EQ(other.judge(testMember(5), false), LinkVerdict::kReplace);
}

TEST_F(MembersTest, ANewerEpochReplacesAnOlderOne) {
  link(testMember(9, 3));
  EXPECT_EQ(members.judge(testMember(9, 4), false), LinkVerdict::kReplace);
  EXPECT_EQ(members.judge(testMember(9, 2), false), LinkVerdict::kStale);
}

TEST_F(MembersTest, TheSameIdAndEpochAtAnotherAddressIsAClone) {
  link(testMember(9));
  MemberInfo clone = testMember(9);
  clone.addresses = {{"elsewhere", 8376}};
  EXPECT_EQ(members.judge(clone, false), LinkVerdict::kClone);
  link(clone);
  EXPECT_EQ(all<Report>().size(), 1u);
  EXPECT_EQ(all<Hangup>().size(), 1u);
}

TEST_F(MembersTest, ASilentPeerIsSuspectedThenGone) {
  link(testMember(9));
  EXPECT_TRUE(members.usable(NodeId::ofNumber(9)));
  tickAfter(kHeartbeatPeriodMin * kSuspectedAfterPeriods + absl::Milliseconds(1));
  EXPECT_FALSE(members.usable(NodeId::ofNumber(9)));
  EXPECT_EQ(members.view(NodeId::ofNumber(9), now)->state, NodeState::kSuspected);
  const auto gone = tickAfter(kHeartbeatPeriodMin * kGoneAfterPeriods);
  EXPECT_EQ(gone, std::vector<NodeId>{NodeId::ofNumber(9)});
  EXPECT_EQ(members.view(NodeId::ofNumber(9), now)->state, NodeState::kGone);
  EXPECT_EQ(all<Hangup>().size(), 1u);
}

TEST_F(MembersTest, AWordClearsASuspicion) {
  link(testMember(9));
  tickAfter(absl::Seconds(4));
  members.heard(NodeId::ofNumber(9), now);
  EXPECT_TRUE(members.usable(NodeId::ofNumber(9)));
}

TEST_F(MembersTest, TheDeadAreNotPassedOn) {
  link(testMember(9));
  link(testMember(8));
  step([&](Turn& turn) { members.linkDown(turn, NodeId::ofNumber(9)); });
  const MembersReply reply = members.onMembersRequest();
  ASSERT_EQ(reply.members.size(), 2u);
  EXPECT_EQ(reply.members[1].id, NodeId::ofNumber(8));
}

TEST_F(MembersTest, UntilItsSeedsAnsweredOrFailedANodeIsAStranger) {
  tickAfter(absl::ZeroDuration());
  EXPECT_FALSE(members.acquainted(now));
  MemberInfo seed = testMember(9);
  seed.addresses = {{"seed", 8376}};
  link(seed, true);
  EXPECT_TRUE(members.acquainted(now));
}

TEST_F(MembersTest, ASeedThatFailsIsNotWaitedFor) {
  tickAfter(absl::ZeroDuration());
  step([&](Turn& turn) {
    members.dialFailed(turn, {Address{"seed", 8376}, absl::UnavailableError("no"), std::nullopt});
  });
  EXPECT_TRUE(members.acquainted(now));
}

TEST_F(MembersTest, ASeedThatDoesNotAnswerIsWaitedForTwoSeconds) {
  tickAfter(absl::ZeroDuration());
  EXPECT_FALSE(members.acquainted(now + absl::Milliseconds(1'999)));
  EXPECT_TRUE(members.acquainted(now + absl::Seconds(2)));
}

TEST_F(MembersTest, NewsOfThisNodeIsToldBeforeTheNextHeartbeat) {
  link(testMember(9));
  step([&](Turn& turn) { members.onHeartbeat(turn, NodeId::ofNumber(9), {}); });
  step([&](Turn& turn) {
    members.heartbeatAnswered(turn, NodeId::ofNumber(9), Reply(HeartbeatReply{}));
  });
  now += absl::Milliseconds(300);
  step([&](Turn& turn) { members.setSummary(turn, {.inRate = 5}); });
  EXPECT_TRUE(all<Call>().empty()) << "a rate is no news";
  step([&](Turn& turn) { members.setSummary(turn, {.blobs = 1}); });
  ASSERT_EQ(all<Call>().size(), 1u);
  EXPECT_EQ(std::get<HeartbeatRequest>(all<Call>().front().request).summary.blobs, 1u);
  step([&](Turn& turn) { members.setSummary(turn, {.blobs = 2}); });
  EXPECT_TRUE(all<Call>().empty()) << "one is under way";
}

}  // namespace
}  // namespace roost
