// Jobs as people see them, in the imagined cluster.
#include <gtest/gtest.h>

#include "protocol/limits.h"
#include "tests/sim/orders.h"
#include "tests/sim/world.h"

namespace roost::sim {
namespace {

constexpr uint64_t kMiB = 1 << 20;
const BlobInfo kFile{blobOfNumber(1), 40 * kMiB};

// Node 0 has the file; everybody is linked.
class JobsTest : public ::testing::Test {
 protected:
  void start(WorldOptions options) {
    world.emplace(options);
    world->putOnDisk(0, kFile);
    for (NodeIndex i = 0; i < options.nodes; ++i) world->start(i);
    world->runFor(absl::Seconds(20));
  }
  absl::Status resultOf(NodeIndex coordinator, uint64_t job,
                        absl::Duration most = absl::Minutes(2)) {
    if (!world->runUntilDone(most, [&] { return finished(*world, coordinator, job); })) {
      return absl::InternalError("the job did not end");
    }
    return world->job(coordinator, job)->result;
  }
  std::vector<NodeId> ids(std::initializer_list<NodeIndex> nodes) const {
    std::vector<NodeId> list;
    for (const NodeIndex node : nodes) list.push_back(world->idOf(node));
    return list;
  }
  std::optional<World> world;
};

TEST_F(JobsTest, AFullTargetFailsBeforeAnythingIsDownloaded) {
  start({.seed = 1, .nodes = 3});
  world->setFree(2, kFreeBytesKept + kFile.size - 1);
  const absl::Status result = resultOf(1, world->order(1, orderOf({kFile}, ids({2}))));
  EXPECT_TRUE(absl::IsResourceExhausted(result)) << result;
  EXPECT_NE(std::string(result.message()).find(std::to_string(kFile.size)), std::string::npos);
  EXPECT_EQ(world->sent(0), 0u);
}

TEST_F(JobsTest, WithoutAManifestCompletenessIsUnknown) {
  start({.seed = 2, .nodes = 3});
  JobOrder order = orderOf({kFile}, ids({2}));
  order.listing.complete = false;
  const absl::Status result = resultOf(1, world->order(1, order));
  EXPECT_TRUE(absl::IsOutOfRange(result)) << result;
  EXPECT_NE(std::string(result.message()).find("completeness unknown"), std::string::npos);
  EXPECT_TRUE(world->holdsRight(2, kFile.id));
}

TEST_F(JobsTest, ACancelledJobEndsAndASecondOneResumes) {
  start({.seed = 3, .nodes = 3});
  const uint64_t job = world->order(1, orderOf({kFile}, ids({2})));
  world->runFor(absl::Seconds(1.5));
  world->cancel(1, job);
  EXPECT_TRUE(absl::IsCancelled(resultOf(1, job)));
  EXPECT_EQ(world->core(2).sizes().fetches, 0u);
  const uint64_t before = world->sent(0);
  ASSERT_GT(before, 5 * kMiB);
  EXPECT_TRUE(resultOf(1, world->order(1, orderOf({kFile}, ids({2})))).ok());
  EXPECT_LT(world->sent(0), kFile.size + 10 * kMiB) << "what was there is not fetched again";
}

// Not with the next poll: a warm of a small model takes less than its period.
TEST_F(JobsTest, TheEndIsKnownAtOnce) {
  for (const NodeIndex target : {NodeIndex{1}, NodeIndex{2}}) {
    start({.seed = 5, .nodes = 3});
    const uint64_t job = world->order(1, orderOf({kFile}, ids({target})));
    ASSERT_TRUE(
        world->runUntilDone(absl::Minutes(2), [&] { return world->published(target, kFile.id); }));
    const absl::Time published = world->now();
    ASSERT_TRUE(resultOf(1, job).ok());
    EXPECT_LT(world->job(1, job)->finishedAt - published, absl::Milliseconds(50)) << target;
  }
}

TEST_F(JobsTest, OfTwoTargetsOnOneStoreOnlyOneFetches) {
  WorldOptions options{.seed = 4, .nodes = 4};
  const StoreId store = *StoreId::parse("nfs-1");
  options.stores = {{}, {}, {store}, {store}};
  start(options);
  const uint64_t job = world->order(1, orderOf({kFile}, ids({2, 3})));
  EXPECT_TRUE(resultOf(1, job).ok());
  EXPECT_TRUE(world->published(2, kFile.id));
  EXPECT_FALSE(world->published(3, kFile.id)) << "it sees the other's file";
  EXPECT_EQ(world->job(1, job)->targets[1].progress.state, ObtainState::kDone);
}

TEST_F(JobsTest, ASharedFolderThatIsOnlyReadSparesNoTarget) {
  WorldOptions options{.seed = 4, .nodes = 4};
  const StoreId shared = *StoreId::parse("nfs-1");
  options.stores = {{}, {}, {*StoreId::parse("own-2"), shared}, {*StoreId::parse("own-3"), shared}};
  start(options);
  const uint64_t job = world->order(1, orderOf({kFile}, ids({2, 3})));
  EXPECT_TRUE(resultOf(1, job).ok());
  EXPECT_TRUE(world->published(2, kFile.id));
  EXPECT_TRUE(world->published(3, kFile.id));
}

TEST_F(JobsTest, OfTargetsOnOneStoreTheNextTakesTheOneThatIsAway) {
  WorldOptions options{.seed = 4, .nodes = 4};
  const StoreId store = *StoreId::parse("nfs-1");
  options.stores = {{}, {}, {store}, {store}};
  start(options);
  world->crash(2);
  world->runFor(absl::Seconds(5));
  const uint64_t job = world->order(1, orderOf({kFile}, ids({2, 3})));
  EXPECT_TRUE(world->runUntilDone(absl::Minutes(2), [&] { return world->published(3, kFile.id); }));
  world->start(2);
  EXPECT_TRUE(resultOf(1, job).ok());
}

TEST_F(JobsTest, AJobSurvivesItsCoordinatorAndItsTarget) {
  start({.seed = 5, .nodes = 4});
  const uint64_t job = world->order(1, orderOf({kFile}, ids({2, 3})));
  world->runFor(absl::Seconds(1));
  world->crash(1);
  world->crash(2);
  world->runFor(absl::Seconds(5));
  world->start(1);
  world->start(2);
  EXPECT_TRUE(resultOf(1, job).ok());
  EXPECT_TRUE(world->holdsRight(2, kFile.id));
  EXPECT_TRUE(world->holdsRight(3, kFile.id));
  EXPECT_GT(world->order(1, orderOf({kFile}, ids({2}))), job) << "ids are not used twice";
}

TEST_F(JobsTest, ATargetThatStaysAwayFailsAfterTenMinutes) {
  start({.seed = 6, .nodes = 3});
  world->crash(2);
  const uint64_t job = world->order(1, orderOf({kFile}, ids({2})));
  EXPECT_FALSE(world->runUntilDone(absl::Minutes(9), [&] { return finished(*world, 1, job); }));
  const absl::Status result = resultOf(1, job);
  EXPECT_TRUE(absl::IsDeadlineExceeded(result)) << result;
  EXPECT_NE(std::string(result.message()).find("n2"), std::string::npos);
}

TEST_F(JobsTest, OnceTheHolderIsGoneTheErrorSaysSo) {
  start({.seed = 7, .nodes = 3});
  const uint64_t job = world->order(1, orderOf({kFile}, ids({2})));
  world->runFor(absl::Seconds(1));
  world->crash(0);
  const absl::Status result = resultOf(1, job);
  EXPECT_TRUE(absl::IsNotFound(result)) << result;
}

TEST_F(JobsTest, ALyingHolderIsNamedAndTheRightBytesArrive) {
  world.emplace(WorldOptions{.seed = 8, .nodes = 4});
  world->putOnDisk(0, kFile, false, {7});
  world->putOnDisk(1, kFile);
  for (NodeIndex i = 0; i < 4; ++i) world->start(i);
  world->runFor(absl::Seconds(20));
  // More than one try, for the wrong piece may come from the honest one.
  EXPECT_TRUE(resultOf(2, world->order(2, orderOf({kFile}, ids({2, 3}))), absl::Minutes(5)).ok());
  EXPECT_TRUE(world->holdsRight(2, kFile.id));
  EXPECT_TRUE(world->holdsRight(3, kFile.id));
  for (const NodeIndex node : {2, 3}) {
    for (const std::string& report : world->reports(node)) {
      EXPECT_EQ(report.find("node n1"), std::string::npos) << report;
      EXPECT_EQ(report.find("node n3 sent"), std::string::npos) << report;
    }
  }
}

TEST_F(JobsTest, AfterWrongBytesFromTheOnlyHolderTheHubServesItOnceForAll) {
  world.emplace(WorldOptions{.seed = 11, .nodes = 4});
  world->putOnHub(kFile);
  world->putOnDisk(0, kFile, false, {7});
  for (NodeIndex i = 0; i < 4; ++i) world->start(i);
  world->runFor(absl::Seconds(20));
  EXPECT_TRUE(
      resultOf(1, world->order(1, orderOf({kFile}, ids({1, 2, 3}))), absl::Minutes(5)).ok());
  for (const NodeIndex node : {1, 2, 3}) EXPECT_TRUE(world->holdsRight(node, kFile.id));
  EXPECT_LE(static_cast<double>(world->hubServed()), 1.1 * static_cast<double>(kFile.size));
}

TEST_F(JobsTest, ADeadLeaseholderIsFollowedByAnotherAndTheHubServesLittleTwice) {
  world.emplace(WorldOptions{.seed = 9, .nodes = 5, .linkBytesPerSecond = 100e6});
  const BlobInfo big{blobOfNumber(2), 400 * kMiB};
  world->putOnHub(big);
  for (NodeIndex i = 0; i < 5; ++i) world->start(i);
  world->runFor(absl::Seconds(20));
  const uint64_t job = world->order(0, orderOf({big}, ids({1, 2, 3, 4})));
  world->runFor(absl::Seconds(6));
  const uint64_t before = world->hubServed();
  ASSERT_GT(before, 50 * kMiB);
  NodeIndex leaseholder = 0;
  for (NodeIndex i = 1; i < 5; ++i) {
    if (world->downloads(i)) leaseholder = i;
  }
  ASSERT_NE(leaseholder, 0u);
  world->crash(leaseholder);
  world->runFor(absl::Seconds(5));
  world->start(leaseholder);
  EXPECT_TRUE(resultOf(0, job, absl::Minutes(5)).ok());
  EXPECT_LE(static_cast<double>(world->hubServed()), 1.05 * static_cast<double>(big.size));
}

}  // namespace
}  // namespace roost::sim
