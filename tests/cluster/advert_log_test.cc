#include "cluster/advert_log.h"

#include <gtest/gtest.h>

#include "protocol/limits.h"
#include "tests/cluster/turn_fixture.h"

namespace roost {
namespace {

class AdvertLogTest : public ::testing::Test, public TurnFixture {
 protected:
  void append(const std::vector<AdvertChange>& changes) {
    step([&](Turn& turn) { log.append(turn, changes); });
  }
  // The answer, if it comes at once.
  std::optional<FollowReply> follow(LogPosition from) {
    step([&](Turn& turn) { log.follow(turn, peer, AskId{1}, {from}); });
    return answer();
  }
  std::optional<FollowReply> answer() const {
    const auto responds = all<Respond>();
    if (responds.empty()) return std::nullopt;
    return std::get<FollowReply>(*responds.back().reply);
  }

  const NodeId peer = NodeId::ofNumber(2);
  AdvertLog log{77};
};

TEST_F(AdvertLogTest, AStrangerGetsEverythingAfterAReset) {
  append({advertised({testBlob(1), 10}), advertised({testBlob(2), 20})});
  const auto reply = follow({});
  ASSERT_TRUE(reply);
  EXPECT_TRUE(reply->reset);
  EXPECT_EQ(reply->changes.size(), 2u);
  EXPECT_EQ(reply->next, (LogPosition{77, 2}));
}

TEST_F(AdvertLogTest, APollIsHeldUntilSomethingChanges) {
  append({advertised({testBlob(1), 10})});
  EXPECT_FALSE(follow({77, 1}));
  append({withdrawn(testBlob(1))});
  ASSERT_TRUE(answer());
  EXPECT_FALSE(answer()->reset);
  ASSERT_EQ(answer()->changes.size(), 1u);
  EXPECT_TRUE(std::holds_alternative<AdvertKey>(answer()->changes[0].what));
}

TEST_F(AdvertLogTest, AHeldPollIsAnsweredEmptyInTheEnd) {
  append({advertised({testBlob(1), 10})});
  follow({77, 1});
  now += absl::Seconds(26);
  step([&](Turn& turn) { log.tick(turn); });
  ASSERT_TRUE(answer());
  EXPECT_TRUE(answer()->changes.empty());
  EXPECT_EQ(log.held(), 0u);
}

TEST_F(AdvertLogTest, WhatDoesNotChangeAnythingIsNotTold) {
  append({advertised({testBlob(1), 10})});
  follow({77, 1});
  append({advertised({testBlob(1), 10}), withdrawn(testBlob(9))});
  EXPECT_FALSE(answer());
}

TEST_F(AdvertLogTest, ALongLogComesInPagesWithoutASecondReset) {
  std::vector<AdvertChange> changes;
  for (size_t i = 0; i < kAdvertPageMax + 5; ++i) {
    Sha256 digest{};
    digest[0] = static_cast<uint8_t>(i);
    digest[1] = static_cast<uint8_t>(i >> 8);
    changes.push_back(advertised({BlobId::sha256(digest), i}));
  }
  append(changes);
  const auto first = follow({});
  ASSERT_TRUE(first && first->more);
  EXPECT_EQ(first->changes.size(), kAdvertPageMax);
  const auto second = follow(first->next);
  ASSERT_TRUE(second);
  EXPECT_FALSE(second->reset);
  EXPECT_FALSE(second->more);
  EXPECT_EQ(second->changes.size(), 5u);
}

TEST_F(AdvertLogTest, WhoMissedForgottenWithdrawalsStartsAgain) {
  append({advertised({testBlob(1), 10})});
  std::vector<AdvertChange> changes;
  for (size_t i = 0; i < kTombstonesMax + 1; ++i) {
    GitSha1 digest{};
    digest[0] = static_cast<uint8_t>(i);
    digest[1] = static_cast<uint8_t>(i >> 8);
    digest[2] = static_cast<uint8_t>(i >> 16);
    changes.push_back(advertised({BlobId::gitSha1(digest), i}));
    changes.push_back(withdrawn(BlobId::gitSha1(digest)));
  }
  append(changes);
  const auto reply = follow({77, 1});
  ASSERT_TRUE(reply);
  EXPECT_TRUE(reply->reset);
}

}  // namespace
}  // namespace roost
