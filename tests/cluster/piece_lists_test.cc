#include "cluster/piece_lists.h"

#include <gtest/gtest.h>

#include <map>
#include <optional>

#include "protocol/limits.h"
#include "tests/cluster/turn_fixture.h"

namespace roost {
namespace {

class PieceListsTest : public ::testing::Test {
 protected:
  PieceLists::List get(const BlobInfo& blob) {
    PieceLists::List got;
    lists_->get(blob, [&](PieceLists::List list) { got = std::move(list); });
    return got;
  }

  const BlobInfo blob_{testBlob(1), 3 * kPieceBytes};
  const std::vector<PieceHash> right_{PieceHash{1}, PieceHash{2}, PieceHash{3}};
  std::vector<NodeId> holders_{NodeId::ofNumber(2), NodeId::ofNumber(3)};
  std::map<NodeId, absl::StatusOr<std::vector<PieceHash>>> answers_;
  std::vector<NodeId> asked_;
  // Of questions to nodes that have no answer above.
  std::vector<std::function<void(absl::StatusOr<std::vector<PieceHash>>)>> open_;
  std::optional<PieceLists> lists_{
      std::in_place, PieceLists::Seams{.holders = [this](const BlobId&) { return holders_; },
                                       .ask =
                                           [this](const NodeId& node, const BlobInfo&, auto done) {
                                             asked_.push_back(node);
                                             const auto it = answers_.find(node);
                                             if (it == answers_.end()) {
                                               open_.push_back(std::move(done));
                                             } else {
                                               done(it->second);
                                             }
                                           }}};
};

TEST_F(PieceListsTest, AListIsAskedForOnce) {
  answers_.emplace(NodeId::ofNumber(3), right_);
  ASSERT_NE(get(blob_), nullptr);
  EXPECT_EQ(*get(blob_), right_);
  EXPECT_EQ(asked_.size(), 1u);
}

TEST_F(PieceListsTest, WhoeverHasNoneIsFollowedByTheNext) {
  answers_.emplace(NodeId::ofNumber(3), absl::UnavailableError("down"));
  answers_.emplace(NodeId::ofNumber(2), right_);
  ASSERT_NE(get(blob_), nullptr);
  EXPECT_EQ(asked_.size(), 2u);
}

TEST_F(PieceListsTest, AListOfAnotherLengthIsNone) {
  answers_.emplace(NodeId::ofNumber(3), std::vector<PieceHash>(2));
  answers_.emplace(NodeId::ofNumber(2), std::vector<PieceHash>());
  EXPECT_EQ(get(blob_), nullptr);
  answers_.clear();
  answers_.emplace(NodeId::ofNumber(3), right_);
  EXPECT_NE(get(blob_), nullptr) << "no list is not remembered";
}

TEST_F(PieceListsTest, WithoutAHolderThereIsNone) {
  holders_.clear();
  EXPECT_EQ(get(blob_), nullptr);
}

TEST_F(PieceListsTest, ManyWaitForOneQuestion) {
  int told = 0;
  for (int i = 0; i < 5; ++i) lists_->get(blob_, [&](const auto& list) { told += list ? 1 : 0; });
  ASSERT_EQ(open_.size(), 1u);
  open_[0](right_);
  EXPECT_EQ(told, 5);
}

TEST_F(PieceListsTest, AnAnswerThatComesTooLateIsDropped) {
  bool told = false;
  lists_->get(blob_, [&](const auto&) { told = true; });
  lists_.reset();
  open_[0](right_);
  EXPECT_FALSE(told);
}

TEST_F(PieceListsTest, TheOldestAreForgotten) {
  answers_.emplace(NodeId::ofNumber(3), right_);
  for (size_t i = 0; i <= kPieceListsMax; ++i) {
    get({testBlob(static_cast<uint8_t>(i)), blob_.size});
  }
  asked_.clear();
  get({testBlob(kPieceListsMax), blob_.size});
  EXPECT_TRUE(asked_.empty());
  get({testBlob(0), blob_.size});
  EXPECT_EQ(asked_.size(), 1u);
}

}  // namespace
}  // namespace roost
