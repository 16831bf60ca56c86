// When a fetch goes by the swarm, and how it goes on without one.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "cluster/fetches.h"
#include "protocol/limits.h"
#include "tests/cluster/turn_fixture.h"

namespace roost {
namespace {

using ::testing::ElementsAre;
using ::testing::UnorderedElementsAre;

constexpr uint64_t kMiB = 1 << 20;

NodeId node(uint64_t number) {
  return NodeId::ofNumber(number);
}

// Node 1, which wants a blob of 6 pieces that node 2 holds, as 3 and 4 do.
class FetchSwarmTest : public ::testing::Test, public TurnFixture {
 protected:
  FetchSwarmTest() {
    step([&](Turn& turn) { members.tick(turn, false); });
    for (const uint64_t peer : {2, 3, 4, 5}) {
      MemberInfo info = testMember(peer);
      if (peer != 5) info.features |= kFeatureSwarm;
      step([&](Turn& turn) { members.linkUp(turn, LinkUp{info, std::nullopt}); });
      catalog.setPresent(node(peer), true);
    }
    now += absl::Minutes(1);
  }
  void hold(uint64_t holder, Visibility visibility) {
    RepoAdvert shown{repo, commit};
    shown.visibility = visibility;
    step([&](Turn& turn) {
      catalog.apply(turn, node(holder), false,
                    std::vector<AdvertChange>{advertised(blob, false), {2, Advert{shown}}});
    });
    fetches.sourcesChanged();
  }
  void begin() {
    step([&](Turn& turn) {
      ASSERT_TRUE(fetches
                      .want(turn, blob, {repo, commit, *RelativePath::parse("file")},
                            SourceRule::kAny, {node(1), 1})
                      .ok());
    });
    run([&](Turn& turn) { fetches.on(turn, WriterOpened{id, std::vector<uint64_t>()}); });
  }
  void grant(std::vector<uint64_t> wanters) {
    Grant word;
    for (const uint64_t wanter : wanters) word.wanters.push_back(node(wanter));
    run([&](Turn& turn) {
      auto* fetch = const_cast<Fetch*>(fetches.find(blob.id));
      fetch->granted(turn, word, now);
      fetch->granted(turn, word, now);  // twice: everybody has been heard of
    });
  }
  template <typename Body>
  void run(Body body) {
    step(body);
    for (const ReadPiece& read : all<ReadPiece>()) reads.insert({read.source, read.piece});
  }
  void answerReads(ReadOutcome outcome) {
    const auto asked = std::exchange(reads, {});
    for (const auto& [source, piece] : asked) {
      if (outcome == ReadOutcome::kData) direct.insert(piece);
      step([&](Turn& turn) { fetches.on(turn, PieceRead{id, source, piece, outcome}); });
      collect();
    }
  }
  void collect() {
    for (const ReadPiece& read : all<ReadPiece>()) reads.insert({read.source, read.piece});
    for (const SwarmJoin& join : all<SwarmJoin>()) joined = join;
    finishing = finishing || !all<FinishBlob>().empty();
  }
  void tick(absl::Duration later) {
    now += later;
    run([&](Turn& turn) { fetches.tick(turn); });
  }
  // Up to where pieces come by the swarm.
  void join() {
    hold(2, Visibility::kPublic);
    begin();
    grant({3, 1, 4});
    run([&](Turn& turn) { fetches.on(turn, SwarmKnown{id, absl::OkStatus()}); });
    collect();
    ASSERT_TRUE(joined);
    answerReads(ReadOutcome::kData);  // what was asked for before the wanters were known
  }
  // From holders, pieces 1, 4, …: of 3, 1, 4.
  static bool onlyOwnStripe(const std::set<std::pair<NodeId, uint64_t>>& asked) {
    return std::all_of(asked.begin(), asked.end(), [](const auto& read) {
      return (read.first == node(2) || read.first == node(5)) && read.second % 3 == 1;
    });
  }
  void swarmPiece(uint64_t piece) {
    run([&](Turn& turn) { fetches.on(turn, SwarmPiece{id, piece}); });
    collect();
  }

  const FetchId id{1};
  const RepoId repo = *RepoId::make(HubOrigin::huggingFace(), RepoType::kModel, "o/m");
  const Commit commit = *Commit::parse(std::string(40, 'a'));
  const BlobInfo blob{testBlob(1), 60 * kMiB};
  Members members{testMember(1), {}, random};
  Catalog catalog;
  Follower follower{catalog};
  Registrar registrar{members};
  Wants wants{members, registrar};
  Distrust distrust;
  ReadBudgets budgets;
  Fetches fetches{{members, catalog, follower, wants, distrust, budgets, random, true, 3, true}};
  std::set<std::pair<NodeId, uint64_t>> reads;
  std::set<uint64_t> direct;
  std::optional<SwarmJoin> joined;
  bool finishing = false;
};

TEST_F(FetchSwarmTest, WhereManyWantItAHolderIsAskedForTheTree) {
  hold(2, Visibility::kPublic);
  hold(5, Visibility::kPublic);  // has no swarm
  begin();
  grant({3, 1, 4});
  ASSERT_EQ(all<SwarmAsk>().size(), 1u);
  EXPECT_THAT(all<SwarmAsk>()[0].holders, ElementsAre(node(2)));
  answerReads(ReadOutcome::kData);
  EXPECT_TRUE(onlyOwnStripe(reads)) << "most trees are known at once";
  tick(absl::Seconds(3));
  EXPECT_FALSE(onlyOwnStripe(reads)) << "others are computed, which takes a read of the blob";
}

TEST_F(FetchSwarmTest, WhereFewWantItNobodyIsAsked) {
  hold(2, Visibility::kPublic);
  begin();
  grant({3, 1});
  EXPECT_TRUE(all<SwarmAsk>().empty());
}

TEST_F(FetchSwarmTest, WhatIsNotPublicNeverGoesThere) {
  for (const Visibility visibility :
       {Visibility::kUnknown, Visibility::kGated, Visibility::kPrivate}) {
    hold(2, visibility);
    if (fetches.size() == 0) begin();
    grant({3, 1, 4});
    EXPECT_TRUE(all<SwarmAsk>().empty());
  }
}

TEST_F(FetchSwarmTest, TheLastReadsFromWantersEndBeforeItIsJoined) {
  hold(2, Visibility::kPublic);
  begin();
  grant({3, 1, 4});
  tick(absl::Seconds(3));  // nobody told of the tree: wanters are asked
  ASSERT_FALSE(onlyOwnStripe(reads));
  run([&](Turn& turn) { fetches.on(turn, SwarmKnown{id, absl::OkStatus()}); });
  collect();
  EXPECT_FALSE(joined);
  answerReads(ReadOutcome::kData);
  ASSERT_TRUE(joined);
  EXPECT_THAT(joined->peers, UnorderedElementsAre(node(3), node(4))) << "no holder is in it";
  EXPECT_TRUE(onlyOwnStripe(reads)) << "no more are asked for";
}

TEST_F(FetchSwarmTest, WhileTheOthersAreNotSeenItWaitsForThem) {
  hold(2, Visibility::kPublic);
  begin();
  grant({3, 1, 4});
  grant({1});
  run([&](Turn& turn) { fetches.on(turn, SwarmKnown{id, absl::OkStatus()}); });
  collect();
  EXPECT_FALSE(joined);
  answerReads(ReadOutcome::kData);
  answerReads(ReadOutcome::kData);
  EXPECT_FALSE(onlyOwnStripe(reads)) << "it goes on by itself";
  grant({3, 1, 4});
  collect();
  EXPECT_TRUE(joined);
}

TEST_F(FetchSwarmTest, ItsOwnStripeIsTakenFromHoldersAllTheTime) {
  join();
  ASSERT_FALSE(reads.empty());
  while (!reads.empty()) {
    EXPECT_TRUE(onlyOwnStripe(reads));
    answerReads(ReadOutcome::kData);
  }
  for (uint64_t piece = 1; piece < 60; piece += 3) EXPECT_TRUE(direct.contains(piece)) << piece;
}

TEST_F(FetchSwarmTest, WhatAPeerHasIsNotTakenFromAHolder) {
  join();
  std::vector<bool> seen(60, true);
  seen[58] = false;  // of its own stripe
  run([&](Turn& turn) { fetches.on(turn, SwarmSeen{id, seen}); });
  while (!reads.empty()) answerReads(ReadOutcome::kData);
  EXPECT_TRUE(direct.contains(58));
  EXPECT_LT(direct.size(), 12u);
  run([&](Turn& turn) { fetches.on(turn, SwarmSeen{id, std::vector<bool>(60)}); });
  EXPECT_FALSE(reads.empty()) << "the peer is gone";
}

TEST_F(FetchSwarmTest, TheStripeOfAWanterThatIsGoneIsShared) {
  join();
  step([&](Turn& turn) { members.linkDown(turn, node(4)); });
  fetches.sourcesChanged();
  tick(absl::Milliseconds(100));
  while (!reads.empty()) answerReads(ReadOutcome::kData);
  size_t ofOthers = 0;
  for (const uint64_t piece : direct) ofOthers += piece % 3 == 2 ? 1 : 0;
  EXPECT_GE(ofOthers, 8u);
}

TEST_F(FetchSwarmTest, WhoIsNotNumberedTakesAllFromTheSwarm) {
  join();
  grant({3, 4, 5});
  answerReads(ReadOutcome::kData);
  EXPECT_TRUE(reads.empty());
}

TEST_F(FetchSwarmTest, TheSwarmIsToldOfItsPace) {
  join();
  EXPECT_EQ(joined->pace, nullptr);
  step([&](Turn& turn) { fetches.setLimit({node(1), 1}, 1'000'000, turn.now()); });
  tick(absl::Milliseconds(100));
  ASSERT_EQ(all<SwarmPace>().size(), 1u);
  EXPECT_EQ(all<SwarmPace>()[0].pace->rate(), 1'000'000u);
}

TEST_F(FetchSwarmTest, UnderALimitItWaitsLonger) {
  step([&](Turn& turn) { fetches.setLimit({node(1), 1}, 300'000, turn.now()); });
  join();
  tick(absl::Seconds(15));
  EXPECT_TRUE(all<SwarmLeave>().empty()) << "three pieces at once take 10 s";
  tick(absl::Seconds(15));
  EXPECT_EQ(all<SwarmLeave>().size(), 1u);
}

TEST_F(FetchSwarmTest, WhatComesByItCompletesTheBlob) {
  join();
  for (uint64_t piece = 0; piece < 60; ++piece) {
    if (!direct.contains(piece)) swarmPiece(piece);
  }
  EXPECT_TRUE(finishing);
  run([&](Turn& turn) { fetches.on(turn, BlobFinished{id, absl::OkStatus(), {}}); });
  const auto ended = fetches.takeEnded();
  ASSERT_EQ(ended.size(), 1u);
  EXPECT_TRUE(ended[0].status.ok());
  uint64_t bySwarm = 0;
  for (const auto& [source, bytes] : ended[0].received) {
    if (source == kSwarmSource) bySwarm = bytes;
  }
  EXPECT_EQ(bySwarm, (60 - direct.size()) * kMiB);
}

TEST_F(FetchSwarmTest, WhenNothingComesByItTheDirectLaneGoesOn) {
  join();
  tick(absl::Seconds(5));
  EXPECT_TRUE(onlyOwnStripe(reads));
  tick(absl::Seconds(6));
  EXPECT_EQ(all<SwarmLeave>().size(), 1u);
  EXPECT_FALSE(onlyOwnStripe(reads));
  tick(absl::Seconds(1));
  EXPECT_TRUE(all<SwarmAsk>().empty()) << "it is asked for once";
}

TEST_F(FetchSwarmTest, WhenItEndsTheDirectLaneGoesOn) {
  join();
  run([&](Turn& turn) {
    fetches.on(turn, SwarmEnded{id, absl::UnavailableError("libtorrent gave up")});
  });
  EXPECT_FALSE(reads.empty());
}

TEST_F(FetchSwarmTest, WithoutATreeTheDirectLaneGoesOn) {
  hold(2, Visibility::kPublic);
  begin();
  grant({3, 1, 4});
  run([&](Turn& turn) { fetches.on(turn, SwarmKnown{id, absl::NotFoundError("no tree")}); });
  answerReads(ReadOutcome::kData);
  EXPECT_FALSE(reads.empty());
  EXPECT_FALSE(joined);
}

TEST_F(FetchSwarmTest, WhoeverComesLaterIsNamed) {
  join();
  MemberInfo late = testMember(6);
  late.features |= kFeatureSwarm;
  step([&](Turn& turn) { members.linkUp(turn, LinkUp{late, std::nullopt}); });
  grant({3, 1, 4, 5, 6});
  ASSERT_EQ(all<SwarmPeers>().size(), 1u);
  EXPECT_THAT(all<SwarmPeers>()[0].peers, ElementsAre(node(6)));
}

TEST_F(FetchSwarmTest, WhoIsNotInItIsPromisedThisNodesStripeAlone) {
  join();
  step([&](Turn& turn) { fetches.on(turn, PieceAsked{node(3), AskId{9}, blob.id, 58}); });
  EXPECT_TRUE(all<AnswerPiece>().empty());
  step([&](Turn& turn) { fetches.on(turn, PieceAsked{node(3), AskId{10}, blob.id, 57}); });
  ASSERT_EQ(all<AnswerPiece>().size(), 1u);
  EXPECT_EQ(all<AnswerPiece>()[0].outcome, ReadOutcome::kNotMine);
}

TEST_F(FetchSwarmTest, AWrongWholeIsRepeatedFromOneHolderWithoutIt) {
  join();
  for (uint64_t piece = 0; piece < 60; ++piece) {
    if (!direct.contains(piece)) swarmPiece(piece);
  }
  ASSERT_TRUE(finishing);
  while (!reads.empty()) answerReads(ReadOutcome::kData);
  run([&](Turn& turn) {
    fetches.on(turn, BlobFinished{id, absl::DataLossError("wrong"),
                                  std::vector<std::array<uint8_t, 16>>(60)});
  });
  EXPECT_EQ(all<SwarmLeave>().size(), 1u);
  EXPECT_EQ(all<RestartBlob>().size(), 1u);
  EXPECT_FALSE(reads.empty());
  EXPECT_TRUE(fetches.takeEnded().empty());
}

}  // namespace
}  // namespace roost
