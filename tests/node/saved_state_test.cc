#include "node/saved_state.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "protocol/limits.h"
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
    adverts_.reset();
    queue_.reset();
    pool_ = std::make_unique<WorkPool>(0);
    auto opened = Index::open(folder_ / "index.db");
    ASSERT_TRUE(opened.ok()) << opened.status();
    index_ = opened->index.get();
    queue_ = std::make_unique<IndexQueue>(*pool_, std::move(opened->index));
    adverts_ = std::make_unique<SavedAdverts>(*queue_, [](std::function<void()> job) { job(); });
  }
  void saveAdverts(const NodeId& node, bool reset, const std::vector<AdvertChange>& changes,
                   const LogPosition& position, std::function<void()> then = nullptr) {
    adverts_->add(node, reset, changes, position, std::move(then));
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
  std::unique_ptr<SavedAdverts> adverts_;
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
  saveAdverts(kSelf, false, changes, {log, 2});
  saveAdverts(kSelf, false, {blobChange(3, 1)}, {log, 3});
  EXPECT_THAT(load().own, ElementsAre(changes[0], changes[1], blobChange(3, 1)));
}

TEST_F(SavedStateTest, OwnAdvertsOfALostLogAreForgotten) {
  const uint64_t log = load().logId;
  saveAdverts(kSelf, false, {blobChange(1, 9)}, {log + 1, 1});
  EXPECT_THAT(load().own, IsEmpty());
}

TEST_F(SavedStateTest, ALaterChangeReplacesAndAWithdrawalRemoves) {
  const uint64_t log = load().logId;
  saveAdverts(kSelf, false, {blobChange(1, 9), blobChange(2, 3)}, {log, 2});
  const auto key = keyOf(std::get<Advert>(blobChange(0, 9).what));
  saveAdverts(kSelf, false, {AdvertChange{3, key}, blobChange(4, 3)}, {log, 4});
  EXPECT_THAT(load().own, ElementsAre(blobChange(4, 3)));
}

TEST_F(SavedStateTest, APeersAdvertsComeBackWithTheirPosition) {
  load();
  saveAdverts(kPeer, true, {blobChange(7, 1)}, {55, 7});
  const SavedState state = load();
  ASSERT_THAT(state.peers, SizeIs(1));
  EXPECT_EQ(state.peers.front().peer, kPeer);
  EXPECT_EQ(state.peers.front().position, (LogPosition{55, 7}));
  EXPECT_THAT(state.peers.front().changes, ElementsAre(blobChange(7, 1)));
  // A reset forgets what was there.
  saveAdverts(kPeer, true, {blobChange(1, 2)}, {56, 1});
  EXPECT_THAT(load().peers.front().changes, ElementsAre(blobChange(1, 2)));
}

TEST_F(SavedStateTest, ABusyIndexGetsChangesOnceItCanTakeThem) {
  load();
  while (queue_->submit([](Index&) {}).ok()) {
  }
  saveAdverts(kPeer, true, {blobChange(1, 1), blobChange(2, 2)}, {55, 2});
  const auto key = keyOf(blobChange(0, 1));
  saveAdverts(kPeer, false, {AdvertChange{3, key}, blobChange(4, 4)}, {55, 4});
  while (pool_->runNext()) {
  }
  adverts_->retry();
  const SavedState state = load();
  ASSERT_THAT(state.peers, SizeIs(1));
  EXPECT_EQ(state.peers.front().position, (LogPosition{55, 4}));
  EXPECT_THAT(state.peers.front().changes, ElementsAre(blobChange(2, 2), blobChange(4, 4)));
}

TEST_F(SavedStateTest, WhoWaitsIsToldOnceTheIndexHasThem) {
  load();
  std::vector<int> told;
  saveAdverts(kSelf, false, {blobChange(1, 1)}, {5, 1}, [&] { told.push_back(1); });
  saveAdverts(kSelf, false, {blobChange(2, 1)}, {5, 2}, [&] { told.push_back(2); });
  EXPECT_THAT(told, IsEmpty());
  pool_->runNext();
  EXPECT_THAT(told, ElementsAre(1));
  pool_->runNext();
  EXPECT_THAT(told, ElementsAre(1, 2));
}

TEST_F(SavedStateTest, WhoWaitsForAnIndexThatCannotIsToldAllTheSame) {
  load();
  while (queue_->submit([](Index&) {}).ok()) {
  }
  bool told = false;
  saveAdverts(kSelf, false, {blobChange(1, 1)}, {5, 1}, [&] { told = true; });
  EXPECT_TRUE(told);
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
  saveAdverts(kSelf, false, changes, {log, 4});
  EXPECT_EQ(load().own, changes);
}

JobView jobOf(uint64_t id) {
  return {
      .order = {.id = id,
                .title = "org/model",
                .listing = {*RepoId::make(HubOrigin::huggingFace(), RepoType::kModel, "org/model"),
                            *Commit::parse(std::string(40, 'a'))},
                .targets = {kPeer},
                .created = absl::FromUnixSeconds(9)}};
}
JobView finishedJobOf(uint64_t id) {
  JobView job = jobOf(id);
  job.finished = true;
  job.finishedAt = absl::FromUnixSeconds(10);
  job.targets = {{kPeer, "", {.state = ObtainState::kDone}}};
  return job;
}

TEST_F(SavedStateTest, JobsComeBackRunningOrFinished) {
  load();
  saveJob(*queue_, jobOf(3), kSelf);
  saveJob(*queue_, jobOf(4), kSelf);
  saveJob(*queue_, finishedJobOf(4), kSelf);
  const SavedState state = load();
  ASSERT_THAT(state.jobs, SizeIs(2));
  EXPECT_EQ(state.jobs[0].order.id, 3u);
  EXPECT_EQ(state.jobs[0].order.listing, jobOf(3).order.listing);
  EXPECT_FALSE(state.jobs[0].finished);
  EXPECT_TRUE(state.jobs[1].finished);
}

TEST_F(SavedStateTest, OfFinishedJobsTheNewestAreKept) {
  load();
  saveJob(*queue_, jobOf(1), kSelf);
  for (uint64_t id = 2; id <= kJobsKept + 6; ++id) {
    saveJob(*queue_, finishedJobOf(id), kSelf);
    pool_->runNext();
  }
  const SavedState state = load();
  ASSERT_THAT(state.jobs, SizeIs(kJobsKept + 1));
  EXPECT_EQ(state.jobs[0].order.id, 1u) << "running";
  EXPECT_EQ(state.jobs[1].order.id, 7u);
  EXPECT_THAT(load().jobs, SizeIs(kJobsKept + 1));
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
