// Limits of bytes per second, and clients that wait, in the imagined cluster.
#include "protocol/limits.h"

#include <gtest/gtest.h>

#include "tests/sim/orders.h"
#include "tests/sim/world.h"

namespace roost::sim {
namespace {

constexpr uint64_t kMiB = 1 << 20;
const BlobInfo kFile{blobOfNumber(1), 64 * kMiB};

class LimitsTest : public ::testing::Test {
 protected:
  void start(WorldOptions options, const std::vector<BlobInfo>& held = {}) {
    world.emplace(options);
    for (const BlobInfo& blob : held) world->putOnDisk(0, blob);
    for (NodeIndex i = 0; i < options.nodes; ++i) world->start(i);
    world->runFor(absl::Seconds(20));
  }
  // 0 and 2 in one, 1 and 3 in the other; 0 and 1 have the file.
  void startInTwoZones(uint64_t seed) {
    world.emplace(WorldOptions{.seed = seed, .nodes = 4});
    world->putOnDisk(0, kFile);
    world->putOnDisk(1, kFile);
    for (NodeIndex i = 0; i < 4; ++i) {
      world->setZone(i, i % 2 == 0 ? "a" : "b");
      world->start(i);
    }
    world->runFor(absl::Seconds(20));
  }
  uint64_t warm(const std::vector<BlobInfo>& blobs, std::initializer_list<NodeIndex> nodes,
                uint64_t limit = 0) {
    std::vector<NodeId> targets;
    for (const NodeIndex node : nodes) targets.push_back(world->idOf(node));
    JobOrder order = orderOf(blobs, targets);
    order.limit = limit;
    return world->order(*nodes.begin(), order);
  }
  // How long until the job has ended, which it must, well.
  absl::Duration end(NodeIndex coordinator, uint64_t job, absl::Duration most = absl::Hours(1)) {
    const absl::Time begin = world->now();
    EXPECT_TRUE(world->runUntilDone(most, [&] { return finished(*world, coordinator, job); }));
    EXPECT_TRUE(world->job(coordinator, job)->result.ok()) << world->job(coordinator, job)->result;
    EXPECT_TRUE(world->violations().empty()) << world->violations().front();
    return world->now() - begin;
  }
  // How long until a client of that node has the file, which it must.
  absl::Duration readBy(NodeIndex node) {
    const absl::Time begin = world->now();
    world->read(node, kFile);
    EXPECT_TRUE(world->runUntilDone(absl::Minutes(5),
                                    [&] { return world->readUpTo(node, kFile.id) == UINT64_MAX; }));
    return world->now() - begin;
  }
  // In each of so many seconds no more than the rate, and what a bucket holds.
  template <typename Count>
  void expectWithin(uint64_t rate, int seconds, Count count) {
    const uint64_t before = count();
    for (int i = 1; i <= seconds; ++i) {
      world->runFor(absl::Seconds(1));
      EXPECT_LE(count() - before, rate * static_cast<uint64_t>(i) + rate / 5 + 2 * kMiB) << i;
    }
    EXPECT_GE(count() - before, rate * static_cast<uint64_t>(seconds) * 8 / 10);
  }
  std::optional<World> world;
};

const BlobInfo kOther{blobOfNumber(2), 64 * kMiB};

TEST_F(LimitsTest, WhatComesFromPeersStaysWithinTheDownloadLimit) {
  start({.seed = 1, .nodes = 3, .linkBytesPerSecond = 100e6}, {kFile});
  world->limitDownloads(1, 4 * kMiB);
  const uint64_t job = warm({kFile}, {1});
  expectWithin(4 * kMiB, 10, [&] { return world->received(1); });
  end(1, job);
}

TEST_F(LimitsTest, PeersAndHubShareTheDownloadLimit) {
  start({.seed = 2, .nodes = 3, .linkBytesPerSecond = 100e6}, {kFile});
  world->putOnHub(kOther);
  world->limitDownloads(1, 4 * kMiB);
  const uint64_t job = warm({kFile, kOther}, {1});
  expectWithin(4 * kMiB, 20, [&] { return world->received(1); });
  EXPECT_GT(world->hubServed(), 0u);
  EXPECT_GT(world->sent(0), 0u);
  end(1, job);
}

TEST_F(LimitsTest, SmallFilesKeepTheLimitToo) {
  std::vector<BlobInfo> small;
  for (uint64_t i = 0; i < 200; ++i) small.push_back({blobOfNumber(100 + i), kMiB / 4});
  start({.seed = 3, .nodes = 2, .linkBytesPerSecond = 100e6}, small);
  world->limitDownloads(1, 2 * kMiB);
  const uint64_t job = warm(small, {1});
  expectWithin(2 * kMiB, 10, [&] { return world->received(1); });
  end(1, job);
}

TEST_F(LimitsTest, ALimitThatIsRaisedIsFeltAtOnce) {
  start({.seed = 4, .nodes = 2, .linkBytesPerSecond = 100e6}, {kFile});
  world->limitDownloads(1, kRateLimitMin);
  const uint64_t job = warm({kFile}, {1});
  world->runFor(absl::Seconds(60));
  ASSERT_LE(world->received(1), 8 * kMiB);
  world->limitDownloads(1, 0);
  world->runFor(absl::Seconds(3));
  EXPECT_EQ(world->received(1), kFile.size);
  end(1, job);
}

TEST_F(LimitsTest, WhatAHolderSendsStaysWithinItsUploadLimitHoweverManyAsk) {
  start({.seed = 5, .nodes = 6, .linkBytesPerSecond = 100e6}, {kFile});
  world->limitUploads(0, 4 * kMiB);
  const uint64_t job = warm({kFile}, {1, 2, 3, 4, 5});
  expectWithin(4 * kMiB, 10, [&] { return world->sent(0); });
  end(1, job);
  EXPECT_LE(static_cast<double>(world->sent(0)), 1.1 * static_cast<double>(kFile.size))
      << "nobody took the holder for one that does not answer";
}

TEST_F(LimitsTest, AHolderThatSendsHardlyAnythingIsNoDeadOne) {
  const BlobInfo file{blobOfNumber(3), 12 * kMiB};
  start({.seed = 6, .nodes = 4, .linkBytesPerSecond = 100e6}, {file, kFile});
  const uint64_t fast = warm({kFile}, {1});  // from here on a late answer is one of 500 ms
  world->runFor(absl::Milliseconds(200));
  world->limitUploads(0, kRateLimitMin);
  const uint64_t slow = warm({file}, {2, 3});
  world->runFor(absl::Minutes(2));
  EXPECT_LE(world->sent(0), 40 * kMiB);
  world->limitUploads(0, 400'000);
  end(2, slow);
  world->limitUploads(0, 0);
  end(1, fast);
}

TEST_F(LimitsTest, AJobKeepsItsOwnLimitAndSlowsNoOther) {
  start({.seed = 7, .nodes = 3, .linkBytesPerSecond = 50e6}, {kFile, kOther});
  const uint64_t limited = warm({kFile}, {1}, 2 * kMiB);
  const uint64_t free = warm({kOther}, {1});
  EXPECT_LE(end(1, free), absl::Seconds(4));
  const uint64_t before = world->received(1);
  world->runFor(absl::Seconds(10));
  EXPECT_LE(world->received(1) - before, 23 * kMiB);
  EXPECT_GE(end(1, limited), absl::Seconds(12));
}

TEST_F(LimitsTest, AJobsLimitHoldsForTheHubAndAtEachTarget) {
  start({.seed = 8, .nodes = 4, .linkBytesPerSecond = 100e6});
  world->putOnHub(kFile);
  const uint64_t job = warm({kFile}, {1, 2}, 4 * kMiB);
  expectWithin(4 * kMiB, 10, [&] { return std::max(world->received(1), world->received(2)); });
  end(1, job);
}

TEST_F(LimitsTest, AJobsLimitIsChangedWhileItRuns) {
  start({.seed = 9, .nodes = 3, .linkBytesPerSecond = 100e6}, {kFile});
  const uint64_t job = warm({kFile}, {1, 2}, kMiB);
  world->runFor(absl::Seconds(10));
  ASSERT_FALSE(finished(*world, 1, job));
  world->limitJob(1, job, 0);
  EXPECT_LE(end(1, job), absl::Seconds(5));
}

TEST_F(LimitsTest, AJobsLimitOutlivesItsCoordinatorsRestart) {
  start({.seed = 10, .nodes = 3, .linkBytesPerSecond = 100e6}, {kFile});
  const uint64_t job = warm({kFile}, {1}, 2 * kMiB);
  world->runFor(absl::Seconds(5));
  world->crash(1);
  world->start(1);
  world->runFor(absl::Seconds(1));
  expectWithin(2 * kMiB, 10, [&] { return world->received(1); });
  end(1, job);
}

TEST_F(LimitsTest, WhatAClientReadsIsNotSlowedByAJobsLimit) {
  start({.seed = 11, .nodes = 2, .linkBytesPerSecond = 100e6}, {kFile});
  const uint64_t job = warm({kFile}, {1}, kMiB);
  world->runFor(absl::Seconds(2));
  world->read(1, kFile);
  EXPECT_TRUE(world->runUntilDone(absl::Seconds(3),
                                  [&] { return world->readUpTo(1, kFile.id) == UINT64_MAX; }));
  end(1, job);
}

// ---- Clients go first.

TEST_F(LimitsTest, WhileAClientWaitsAWarmTakesATrickle) {
  std::vector<BlobInfo> warmed;
  for (uint64_t i = 0; i < 8; ++i) warmed.push_back({blobOfNumber(20 + i), 64 * kMiB});
  std::vector<BlobInfo> held = warmed;
  held.push_back(kFile);
  start({.seed = 12, .nodes = 2}, held);
  const uint64_t job = warm(warmed, {1});
  world->runFor(absl::Seconds(5));
  const uint64_t before = world->received(1);
  const absl::Duration took = readBy(1);
  // What was asked for before it came is sent first.
  const double alone = static_cast<double>(kFile.size) / 12.5e6;
  const double before64 = static_cast<double>(kReadsMax * kPieceBytes) / 12.5e6;
  EXPECT_LE(absl::ToDoubleSeconds(took), 1.5 * alone + before64)
      << "beside eight fetches that take their share it would be nine times as long";
  EXPECT_GT(world->received(1) - before, kFile.size + kMiB) << "the warm goes on";
  const uint64_t then = world->received(1);
  world->runFor(absl::Seconds(5));
  EXPECT_GE(static_cast<double>(world->received(1) - then), 0.8 * 5 * 12.5e6) << "at full speed";
  end(1, job);
}

TEST_F(LimitsTest, ADownloadLimitIsAClientsFirstAndTheWarmsToo) {
  const BlobInfo big{blobOfNumber(30), 400 * kMiB};
  start({.seed = 13, .nodes = 2, .linkBytesPerSecond = 100e6}, {kFile, big});
  world->limitDownloads(1, 8 * kMiB);
  const uint64_t job = warm({big}, {1});
  world->runFor(absl::Seconds(5));
  const uint64_t before = world->received(1);
  const absl::Duration took = readBy(1);
  EXPECT_LE(took, absl::Seconds(16)) << "alone it takes 8 s";
  EXPECT_GT(world->received(1) - before, kFile.size + kMiB);
  end(1, job);
}

// A piece is a second's: what a warm takes in between must not be all there is.
TEST_F(LimitsTest, ASmallDownloadLimitIsAClientsFirstToo) {
  const BlobInfo big{blobOfNumber(34), 400 * kMiB};
  start({.seed = 20, .nodes = 2, .linkBytesPerSecond = 100e6}, {kFile, big});
  world->limitDownloads(1, kMiB);
  const uint64_t job = warm({big}, {1});
  world->runFor(absl::Seconds(5));
  const uint64_t before = world->received(1);
  const absl::Duration took = readBy(1);
  EXPECT_LE(took, absl::Seconds(80)) << "alone it takes 64 s";
  EXPECT_GT(world->received(1) - before, kFile.size + kMiB);
  world->limitDownloads(1, 0);
  end(1, job);
}

TEST_F(LimitsTest, AnUploadLimitIsForWaitingClientsFirstWhereverTheyAre) {
  const BlobInfo big{blobOfNumber(32), 400 * kMiB};
  start({.seed = 18, .nodes = 3, .linkBytesPerSecond = 100e6}, {kFile, big});
  world->limitUploads(0, 8 * kMiB);
  const uint64_t job = warm({big}, {1});
  world->runFor(absl::Seconds(5));
  const uint64_t before = world->received(1);
  const absl::Duration took = readBy(2);
  EXPECT_LE(took, absl::Seconds(11)) << "alone it takes 8 s, fairly shared 16";
  EXPECT_GE(world->received(1) - before, 4 * kMiB) << "the warm goes on";
  const uint64_t then = world->received(1);
  world->runFor(absl::Seconds(5));
  EXPECT_GE(world->received(1) - then, 36 * kMiB) << "at the limit again";
  end(1, job);
}

// What it says "busy" to counts as waited for: others take its stripe over.
TEST_F(LimitsTest, AWanterThatMayHardlyUploadDoesNotHoldTheOthers) {
  const BlobInfo big{blobOfNumber(33), 512 * kMiB};
  WorldOptions options{.seed = 19, .nodes = 4, .linkBytesPerSecond = 50e6};
  options.latency = absl::Microseconds(250);
  start(options, {big});
  world->limitUploads(2, kRateLimitMin);
  const absl::Duration took = end(1, warm({big}, {1, 2, 3}));
  EXPECT_LE(absl::ToDoubleSeconds(took), 1.45 * static_cast<double>(big.size) / 50e6)
      << "a third is taken from the holder twice";
}

TEST_F(LimitsTest, AWantersTrickleDoesNotHoldTheOthers) {
  const BlobInfo big{blobOfNumber(31), 200 * kMiB};
  start({.seed = 14, .nodes = 5}, {kFile, big});
  const uint64_t job = warm({big}, {1, 2, 3, 4});
  world->runFor(absl::Seconds(2));
  world->read(1, kFile);  // node 1 yields, and is late with its stripe of the other
  const absl::Duration took = end(1, job);
  EXPECT_LE(took, absl::Seconds(60));
  EXPECT_TRUE(world->runUntilDone(absl::Seconds(10), [&] {
    return world->readUpTo(1, kFile.id) == UINT64_MAX;
  })) << "the five share the holder's link";
}

TEST_F(LimitsTest, TwoNodesWhoseClientsWaitDoNotWaitForEachOther) {
  start({.seed = 15, .nodes = 3}, {kFile, kOther});
  const uint64_t job = warm({kFile, kOther}, {1, 2});
  world->runFor(absl::Milliseconds(300));
  world->read(1, kFile);
  world->read(2, kOther);
  EXPECT_LE(end(1, job), absl::Seconds(60));
}

// ---- Zones.

TEST_F(LimitsTest, WhatIsInTheOwnZoneCrossesNoBoundary) {
  startInTwoZones(16);
  end(2, warm({kFile}, {2}));
  EXPECT_EQ(world->sent(1), 0u);
  EXPECT_EQ(world->sent(0), kFile.size);
}

TEST_F(LimitsTest, WhenTheOwnZonesHolderGoesTheOthersServe) {
  startInTwoZones(17);
  const uint64_t job = warm({kFile}, {2});
  world->runFor(absl::Seconds(2));
  world->crash(0);
  end(2, job);
  EXPECT_GT(world->sent(1), 0u);
}

}  // namespace
}  // namespace roost::sim
