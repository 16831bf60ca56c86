// One node to many as if it were one, in the imagined cluster: 100 Mbit links, one blob of 256 MiB.
// Times are of the imagined clock, so they are the same on every machine.
#include <gtest/gtest.h>

#include <map>
#include <random>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "protocol/limits.h"
#include "tests/sim/orders.h"
#include "tests/sim/world.h"

namespace roost::sim {
namespace {

constexpr uint64_t kMiB = 1 << 20;
const BlobInfo kBlob{blobOfNumber(1), 256 * kMiB};
const double kIdealSeconds = static_cast<double>(kBlob.size) / 12.5e6;

class StripesTest : public ::testing::Test {
 protected:
  // The first `holders` nodes have the blob, the others want it.
  void make(size_t holders, size_t wanters, uint64_t seed = 1, WorldOptions options = {}) {
    options.seed = seed;
    options.nodes = holders + wanters;
    holders_ = holders;
    wanters_ = wanters;
    world.emplace(options);
    for (NodeIndex i = 0; i < holders; ++i) world->putOnDisk(i, kBlob);
  }
  void start() {
    for (NodeIndex i = 0; i < holders_ + wanters_; ++i) world->start(i);
    world->runFor(absl::Seconds(20));
    began_ = world->now();
  }
  // Each wanter warms itself: nobody plans for all.
  void want(NodeIndex wanter) {
    world->order(wanter, orderOf({kBlob}, {world->idOf(wanter)}));
    wanted_[wanter] = world->now();
  }
  void wantAll() {
    for (NodeIndex i = holders_; i < holders_ + wanters_; ++i) want(i);
  }
  // Seconds that each took, by node; the test fails if one of `who` is not done in time.
  std::map<NodeIndex, double> run(const std::set<NodeIndex>& except = {}) {
    std::map<NodeIndex, double> took;
    bool all = false;
    for (const absl::Time end = world->now() + absl::Minutes(20); !all && world->now() < end;) {
      world->runFor(absl::Milliseconds(50));
      all = true;
      for (NodeIndex i = holders_; i < holders_ + wanters_; ++i) {
        if (except.contains(i) || took.contains(i)) continue;
        if (world->up(i) && wanted_.contains(i) && world->published(i, kBlob.id)) {
          took[i] = absl::ToDoubleSeconds(world->now() - wanted_[i]);
        } else {
          all = false;
        }
      }
    }
    EXPECT_TRUE(all) << "somebody waits for ever";
    for (const auto& [node, seconds] : took) EXPECT_TRUE(world->holdsRight(node, kBlob.id));
    EXPECT_TRUE(world->violations().empty()) << world->violations().front();
    return took;
  }
  // For --gtest_output: the table in docs/internals/figures.md.
  void record(const std::string& what, double seconds) const {
    RecordProperty(what, absl::StrFormat("%.1f s, %.2f x", seconds, sentByHolders()));
  }
  static double last(const std::map<NodeIndex, double>& took) {
    double most = 0;
    for (const auto& [node, seconds] : took) most = std::max(most, seconds);
    return most;
  }
  // Of the blob, by all holders together.
  double sentByHolders() const {
    double bytes = 0;
    for (NodeIndex i = 0; i < holders_; ++i) bytes += static_cast<double>(world->sent(i));
    return bytes / static_cast<double>(kBlob.size);
  }

  std::optional<World> world;
  size_t holders_ = 0, wanters_ = 0;
  absl::Time began_;
  std::map<NodeIndex, absl::Time> wanted_;
};

TEST_F(StripesTest, ManyTakeHardlyLongerThanOne) {
  for (const size_t wanters : {1, 2, 4, 8, 16}) {
    make(1, wanters);
    start();
    wantAll();
    const double took = last(run());
    record(absl::StrCat(wanters), took);
    // The first pieces come all at the same time: the more there are, the later.
    EXPECT_LT(took, (wanters > 8 ? 1.35 : 1.2) * kIdealSeconds) << wanters;
    EXPECT_LT(sentByHolders(), 1.05) << wanters;
  }
}

// 2.5 Gbit/s and a round trip of 40 ms: 12.5 MiB are under way when it is full.
TEST_F(StripesTest, AFarHolderFillsItsLink) {
  WorldOptions far;
  far.linkBytesPerSecond = 312.5e6;
  far.latency = absl::Milliseconds(20);
  make(1, 1, 1, far);
  start();
  wantAll();
  const double took = last(run());
  record("far", took);
  EXPECT_LT(took, 1.5 * static_cast<double>(kBlob.size) / far.linkBytesPerSecond);
}

TEST_F(StripesTest, SeveralHoldersShareOneCopy) {
  for (const size_t holders : {2, 3}) {
    make(holders, 8);
    start();
    wantAll();
    const double took = last(run());
    record(absl::StrCat("of_", holders), took);
    EXPECT_LT(took, 1.25 * kIdealSeconds);
    EXPECT_LT(sentByHolders(), 1.1);
  }
}

TEST_F(StripesTest, ASlowNodeDelaysNobodyElse) {
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    make(1, 8, seed);
    start();
    wantAll();
    const double allFast = last(run());
    make(1, 8, seed);
    const NodeIndex slow = 1 + seed * 2;
    world->setRate(slow, 1.25e6);
    start();
    wantAll();
    const double others = last(run({slow}));
    record(absl::StrCat("slow_", seed), others);
    EXPECT_LT(others, 1.1 * allFast);
    EXPECT_LT(sentByHolders(), 1.25);
    run();
  }
}

TEST_F(StripesTest, OneThatDiesDelaysNobodyElse) {
  for (const bool silent : {false, true}) {
    make(1, 8);
    start();
    wantAll();
    const NodeIndex victim = 4;
    world->at(world->now() + absl::Seconds(8), [&] {
      if (silent) {
        world->partition({victim});
      } else {
        world->crash(victim);
      }
    });
    const double others = last(run({victim}));
    record(silent ? "silent" : "killed", others);
    EXPECT_LT(others, 1.25 * kIdealSeconds * 1.1);
    EXPECT_LT(sentByHolders(), 1.3);
  }
}

TEST_F(StripesTest, ADyingHolderIsReplacedByTheOthers) {
  make(2, 8);
  start();
  wantAll();
  world->at(world->now() + absl::Seconds(kIdealSeconds / 2), [&] { world->crash(0); });
  const double took = last(run());
  record("one_of_2_dies", took);
  EXPECT_LT(took, 1.3 * kIdealSeconds);
  EXPECT_LT(sentByHolders(), 1.2) << "what was under way at the dead one is sent again";
}

TEST_F(StripesTest, WhoComesLateTakesFromThoseWhoHaveIt) {
  make(1, 8);
  start();
  for (NodeIndex i = 1; i <= 8; ++i) {
    world->at(world->now() + absl::Seconds(2) * static_cast<double>(i), [this, i] { want(i); });
  }
  const double took = last(run());
  record("late", took);
  EXPECT_LT(took, 1.4 * kIdealSeconds);
  EXPECT_LT(sentByHolders(), 1.5) << "each alone: 8";
}

TEST_F(StripesTest, EachZoneTakesOneCopyOverTheBoundary) {
  make(1, 8);
  for (NodeIndex i = 0; i < 9; ++i) world->setZone(i, i <= 4 ? "a" : "b");
  start();
  wantAll();
  const double took = last(run());
  record("zones", took);
  const double crossed = static_cast<double>(world->crossed()) / static_cast<double>(kBlob.size);
  EXPECT_LT(crossed, 1.1);
  EXPECT_LT(took, 2.3 * kIdealSeconds) << "two copies leave the holder by one link";
  EXPECT_LT(sentByHolders(), 2.2) << "one copy a zone";
}

// Whoever comes, goes and comes back when he likes: all who stay have the right bytes in the end,
// and what nobody has is fetched from the hub once.
TEST_F(StripesTest, ComingAndGoingHarmsNobody) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 random(seed);
    const auto within = [&](double most) {
      return absl::Seconds(std::uniform_real_distribution<double>(0, most)(random));
    };
    const bool fromHub = seed % 2 == 0;
    make(fromHub ? 0 : 1 + random() % 2, 8, seed);
    if (fromHub) world->putOnHub(kBlob);
    for (NodeIndex i = 0; i < holders_ + wanters_; ++i) {
      if (random() % 5 == 0) world->setRate(i, 2.5e6);
      if (random() % 3 == 0) world->setZone(i, "far");
    }
    start();
    std::set<NodeIndex> gone;
    for (NodeIndex i = holders_; i < holders_ + wanters_; ++i) {
      world->at(world->now() + within(15), [this, i] { want(i); });
      if (random() % 4 != 0 || fromHub) continue;
      const absl::Time at = world->now() + absl::Seconds(16) + within(20);
      world->at(at, [this, i] { world->crash(i); });
      gone.insert(i);
    }
    run(gone);
    if (fromHub) {
      EXPECT_LE(world->hubServed(), kBlob.size);
    }
  }
}

}  // namespace
}  // namespace roost::sim
