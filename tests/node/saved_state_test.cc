#include "node/saved_state.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/cache/temp_folder.h"

namespace roost {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

const NodeId kSelf = NodeId::ofNumber(1);
const NodeId kPeer = NodeId::ofNumber(2);

AdvertChange blobChange(uint64_t sequence, uint8_t number) {
  Sha256 digest{};
  digest[0] = number;
  return {sequence, Advert(BlobAdvert{{BlobId::sha256(digest), number}})};
}

class SavedStateTest : public ::testing::Test {
 protected:
  SavedStateTest() { open(); }
  void open() {
    queue_.reset();
    pool_ = std::make_unique<WorkPool>(0);
    auto opened = Index::open(folder_ / "index.db");
    ASSERT_TRUE(opened.ok()) << opened.status();
    index_ = opened->index.get();
    queue_ = std::make_unique<IndexQueue>(*pool_, std::move(opened->index));
  }
  // As at the next start.
  SavedState load() {
    while (pool_->runNext()) {
    }
    open();
    auto state = SavedState::load(*index_, kSelf);
    EXPECT_TRUE(state.ok()) << state.status();
    return *std::move(state);
  }

  TempFolder folder_;
  std::unique_ptr<WorkPool> pool_;
  Index* index_ = nullptr;
  std::unique_ptr<IndexQueue> queue_;
};

TEST_F(SavedStateTest, AFirstStartHasALogOfItsOwnAndNothingInIt) {
  const SavedState state = load();
  EXPECT_NE(state.logId, 0u);
  EXPECT_THAT(state.own, IsEmpty());
  EXPECT_THAT(state.peers, IsEmpty());
  EXPECT_THAT(state.jobs, IsEmpty());
  EXPECT_EQ(state.savedBytes, 0u);
  EXPECT_EQ(load().logId, state.logId);
}

TEST_F(SavedStateTest, OwnAdvertsComeBackInTheirOrder) {
  const uint64_t log = load().logId;
  const std::vector<AdvertChange> changes = {blobChange(1, 9), blobChange(2, 3)};
  saveAdverts(*queue_, kSelf, false, changes, {log, 2});
  saveAdverts(*queue_, kSelf, false, {blobChange(3, 1)}, {log, 3});
  EXPECT_THAT(load().own, ElementsAre(changes[0], changes[1], blobChange(3, 1)));
}

TEST_F(SavedStateTest, OwnAdvertsOfALostLogAreForgotten) {
  const uint64_t log = load().logId;
  saveAdverts(*queue_, kSelf, false, {blobChange(1, 9)}, {log + 1, 1});
  EXPECT_THAT(load().own, IsEmpty());
}

TEST_F(SavedStateTest, ALaterChangeReplacesAndAWithdrawalRemoves) {
  const uint64_t log = load().logId;
  saveAdverts(*queue_, kSelf, false, {blobChange(1, 9), blobChange(2, 3)}, {log, 2});
  const auto key = keyOf(std::get<Advert>(blobChange(0, 9).what));
  saveAdverts(*queue_, kSelf, false, {AdvertChange{3, key}, blobChange(4, 3)}, {log, 4});
  EXPECT_THAT(load().own, ElementsAre(blobChange(4, 3)));
}

TEST_F(SavedStateTest, APeersAdvertsComeBackWithTheirPosition) {
  load();
  saveAdverts(*queue_, kPeer, true, {blobChange(7, 1)}, {55, 7});
  const SavedState state = load();
  ASSERT_THAT(state.peers, SizeIs(1));
  EXPECT_EQ(state.peers.front().peer, kPeer);
  EXPECT_EQ(state.peers.front().position, (LogPosition{55, 7}));
  EXPECT_THAT(state.peers.front().changes, ElementsAre(blobChange(7, 1)));
  // A reset forgets what was there.
  saveAdverts(*queue_, kPeer, true, {blobChange(1, 2)}, {56, 1});
  EXPECT_THAT(load().peers.front().changes, ElementsAre(blobChange(1, 2)));
}

TEST_F(SavedStateTest, RepoAndRefOfOneNameAreDifferentThings) {
  const uint64_t log = load().logId;
  const RepoId model = *RepoId::make(HubOrigin::huggingFace(), RepoType::kModel, "org/x");
  const RepoId data = *RepoId::make(HubOrigin::huggingFace(), RepoType::kDataset, "org/x");
  const Commit commit = *Commit::parse(std::string(40, 'a'));
  const std::vector<AdvertChange> changes = {
      {1, Advert(RepoAdvert{model, commit})},
      {2, Advert(RepoAdvert{data, commit})},
      {3, Advert(RefAdvert{model, {*RefName::parse("main"), commit, {}}})},
      {4, Advert(RefAdvert{model, {*RefName::parse("dev"), commit, {}}})}};
  saveAdverts(*queue_, kSelf, false, changes, {log, 4});
  EXPECT_EQ(load().own, changes);
}

TEST_F(SavedStateTest, AnUnfinishedJobComesBackAFinishedOneDoesNot) {
  load();
  JobView job{
      .order = {.id = 4,
                .title = "org/model",
                .listing = {*RepoId::make(HubOrigin::huggingFace(), RepoType::kModel, "org/model"),
                            *Commit::parse(std::string(40, 'a'))},
                .targets = {kPeer},
                .created = absl::FromUnixSeconds(9)}};
  saveJob(*queue_, job, kSelf);
  SavedState state = load();
  ASSERT_THAT(state.jobs, SizeIs(1));
  EXPECT_EQ(state.jobs.front().id, 4u);
  EXPECT_EQ(state.jobs.front().listing, job.order.listing);
  job.finished = true;
  saveJob(*queue_, job, kSelf);
  EXPECT_THAT(load().jobs, IsEmpty());
}

TEST_F(SavedStateTest, SavedBytesAddUpOverStarts) {
  load();
  addSavedBytes(*queue_, 5);
  load();
  addSavedBytes(*queue_, 7);
  EXPECT_EQ(load().savedBytes, 12u);
}

}  // namespace
}  // namespace roost
