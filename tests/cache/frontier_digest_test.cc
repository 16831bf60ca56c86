#include "cache/frontier_digest.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <thread>

#include "protocol/limits.h"
#include "tests/cache/temp_folder.h"

namespace roost {
namespace {

class FrontierDigestTest : public ::testing::Test {
 protected:
  absl::Span<const uint8_t> piece(uint64_t index) const {
    return absl::MakeConstSpan(content_).subspan(index * kPieceBytes,
                                                 pieceBytes(content_.size(), index));
  }
  bool offer(uint64_t index) { return digest_.offer(index, piece(index), digest_.attempt()); }
  void catchUp() {
    while (const auto next = digest_.nextEarly()) offer(*next);
  }

  const std::vector<uint8_t> content_ = randomBytes(5 * kPieceBytes + 7, 1);
  const BlobHashes expected_ = hashesOf(content_);
  FrontierDigest digest_{infoOf(content_)};
};

TEST_F(FrontierDigestTest, WhatComesInOrderIsHashedAtOnce) {
  for (uint64_t i = 0; i < 6; ++i) EXPECT_FALSE(offer(i));
  EXPECT_EQ(digest_.frontier(), 6u);
  EXPECT_EQ(digest_.finish().id, expected_.id);
  EXPECT_EQ(digest_.finish().sha256, expected_.sha256) << "the same answer each time";
}

TEST_F(FrontierDigestTest, WhatComesEarlyWaitsToBeReadBack) {
  EXPECT_FALSE(offer(2));
  EXPECT_FALSE(offer(1));
  EXPECT_EQ(digest_.frontier(), 0u);
  EXPECT_EQ(digest_.nextEarly(), std::nullopt);
  EXPECT_TRUE(offer(0)) << "piece 1 follows";
  EXPECT_EQ(digest_.nextEarly(), 1u);
  catchUp();
  EXPECT_EQ(digest_.frontier(), 3u);
  for (uint64_t i = 3; i < 6; ++i) EXPECT_FALSE(offer(i));
  EXPECT_EQ(digest_.finish().id, expected_.id);
}

TEST_F(FrontierDigestTest, APieceCountsOnce) {
  offer(0);
  offer(2);
  EXPECT_FALSE(offer(0));
  EXPECT_FALSE(offer(2));
  offer(1);
  catchUp();
  for (uint64_t i = 0; i < 6; ++i) offer(i);
  EXPECT_EQ(digest_.finish().id, expected_.id);
}

TEST_F(FrontierDigestTest, WhatWasStoredBeforeARestartIsPassedOver) {
  const uint64_t before = digest_.attempt();
  offer(0);
  offer(3);
  digest_.restart();
  EXPECT_EQ(digest_.frontier(), 0u);
  EXPECT_FALSE(digest_.offer(0, piece(1), before)) << "wrong bytes of the attempt before";
  EXPECT_EQ(digest_.frontier(), 0u);
  for (uint64_t i = 0; i < 6; ++i) EXPECT_FALSE(offer(i)) << "piece 3 came early then, not now";
  EXPECT_EQ(digest_.finish().id, expected_.id);
}

// One thread stores and offers, another reads back, in any order: each piece is hashed once.
TEST_F(FrontierDigestTest, ReadingBackGoesBesideWhatArrives) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    FrontierDigest digest(infoOf(content_));
    std::vector<uint64_t> order(6);
    std::iota(order.begin(), order.end(), 0);
    std::shuffle(order.begin(), order.end(), std::mt19937_64(seed));
    std::atomic<bool> done = false;
    std::thread reader([&] {
      while (true) {
        const bool last = done;
        while (const auto next = digest.nextEarly()) digest.offer(*next, piece(*next), 0);
        if (last) return;
      }
    });
    for (const uint64_t index : order) digest.offer(index, piece(index), 0);
    done = true;
    reader.join();
    ASSERT_EQ(digest.frontier(), 6u) << "seed " << seed;
    EXPECT_EQ(digest.finish().id, expected_.id) << "seed " << seed;
  }
}

}  // namespace
}  // namespace roost
