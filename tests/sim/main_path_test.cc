// The main path in the imagined cluster: nodes find each other, one warms the others, the hub
// serves each byte once.
#include <gtest/gtest.h>

#include "tests/sim/orders.h"
#include "tests/sim/world.h"

namespace roost::sim {
namespace {

constexpr uint64_t kMiB = 1 << 20;

TEST(MainPath, NodesThatKnowTwoSeedsFormAFullMesh) {
  World world({.seed = 1, .nodes = 8});
  for (NodeIndex i = 0; i < 8; ++i) world.start(i);
  world.runFor(absl::Seconds(40));
  EXPECT_EQ(world.fullMeshLinks(), 28u);
  EXPECT_EQ(world.core(7).nodes().size(), 8u);
}

TEST(MainPath, OneHolderFillsEightNodesAndSendsTheFileAboutOnce) {
  World world({.seed = 2, .nodes = 9});
  const BlobInfo blob{blobOfNumber(1), 256 * kMiB};
  const BlobInfo small{blobOfNumber(2), 1'000};
  world.putOnDisk(0, blob);
  world.putOnDisk(0, small);
  std::vector<NodeId> targets;
  for (NodeIndex i = 0; i < 9; ++i) world.start(i);
  for (NodeIndex i = 1; i < 9; ++i) targets.push_back(world.idOf(i));
  world.runFor(absl::Seconds(20));
  const absl::Time begin = world.now();
  const uint64_t job = world.order(1, orderOf({blob, small}, targets));
  ASSERT_TRUE(world.runUntilDone(absl::Minutes(5), [&] { return finished(world, 1, job); }));
  const double seconds = absl::ToDoubleSeconds(world.now() - begin);
  EXPECT_TRUE(world.job(1, job)->result.ok()) << world.job(1, job)->result;
  for (NodeIndex i = 1; i < 9; ++i) {
    EXPECT_TRUE(world.holdsRight(i, blob.id));
    EXPECT_TRUE(world.holdsRight(i, small.id));
    EXPECT_TRUE(world.repoPublished(i, commitOfNumber(7)));
  }
  EXPECT_LE(static_cast<double>(world.sent(0)), 1.1 * static_cast<double>(blob.size));
  EXPECT_LE(seconds, 1.25 * static_cast<double>(blob.size) / 12.5e6);
  EXPECT_EQ(world.hubServed(), 0u);
  EXPECT_TRUE(world.violations().empty()) << world.violations().front();
  RecordProperty("seconds", static_cast<int>(seconds));
  printf("T(8) %.1f s, holder sent %.3f x, %lu events\n", seconds,
         static_cast<double>(world.sent(0)) / static_cast<double>(blob.size), world.events());
}

TEST(MainPath, AColdRepoIsDownloadedFromTheHubOnceForAll) {
  World world({.seed = 3, .nodes = 8, .linkBytesPerSecond = 100e6});
  std::vector<BlobInfo> blobs;
  uint64_t bytes = 0;
  for (uint64_t i = 0; i < 8; ++i) blobs.push_back({blobOfNumber(10 + i), 40 * kMiB + i});
  for (uint64_t i = 0; i < 20; ++i) blobs.push_back({blobOfNumber(50 + i), 1'000 * i});
  for (const BlobInfo& blob : blobs) {
    world.putOnHub(blob);
    bytes += blob.size;
  }
  std::vector<NodeId> targets;
  for (NodeIndex i = 0; i < 8; ++i) {
    world.start(i);
    targets.push_back(world.idOf(i));
  }
  world.runFor(absl::Seconds(20));
  const absl::Time begin = world.now();
  const uint64_t job = world.order(0, orderOf(blobs, targets));
  ASSERT_TRUE(world.runUntilDone(absl::Minutes(5), [&] { return finished(world, 0, job); }));
  EXPECT_TRUE(world.job(0, job)->result.ok()) << world.job(0, job)->result;
  for (NodeIndex i = 0; i < 8; ++i) {
    for (const BlobInfo& blob : blobs) EXPECT_TRUE(world.holdsRight(i, blob.id));
  }
  EXPECT_EQ(world.hubServed(), bytes);
  EXPECT_TRUE(world.violations().empty()) << world.violations().front();
  printf("cold %.1f s, %lu events\n", absl::ToDoubleSeconds(world.now() - begin), world.events());
}

}  // namespace
}  // namespace roost::sim
