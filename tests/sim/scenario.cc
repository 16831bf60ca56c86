#include "tests/sim/scenario.h"

#include <algorithm>
#include <map>
#include <optional>
#include <random>
#include <set>

#include "absl/random/distributions.h"
#include "absl/strings/str_cat.h"
#include "protocol/limits.h"
#include "tests/sim/world.h"

namespace roost::sim {
namespace {

constexpr uint64_t kMiB = 1 << 20;
// By then every story has ended, with success or with an error: the longest allowed silence is two
// minutes, and several may follow one another.
constexpr absl::Duration kEnd = absl::Minutes(20);

class Story {
 public:
  Story(uint64_t seed, size_t nodes, bool faults)
      : random_(seed), faults_(faults), world_(options(seed, nodes)), nodes_(nodes) {}

  ScenarioResult tell() {
    setTheScene();
    for (NodeIndex i = 0; i < nodes_; ++i) {
      if (i != joiner_) world_.start(i);
    }
    world_.runFor(absl::Seconds(25));
    begin();
    if (faults_) planFaults();
    const bool ended = world_.runUntilDone(kEnd, [&] { return quiet_ <= world_.now() && over(); });
    if (!ended) rule("the job did not end");
    if (ended) check();
    world_.runFor(absl::Seconds(30));
    checkIdle();
    for (const std::string& violation : world_.violations()) rule(violation);
    result_.events = world_.events();
    return std::move(result_);
  }

 private:
  static WorldOptions options(uint64_t seed, size_t nodes) {
    WorldOptions options;
    options.seed = seed;
    options.nodes = nodes;
    options.linkBytesPerSecond = 50e6;
    options.hubBytesPerSecond = 40e6;
    return options;
  }
  uint64_t any(uint64_t below) { return absl::Uniform<uint64_t>(random_, 0, below); }
  bool chance(int percent) { return any(100) < static_cast<uint64_t>(percent); }
  void rule(std::string text) { result_.broken.push_back(std::move(text)); }
  template <typename... Args>
  void say(const Args&... args) {
    absl::StrAppend(&result_.story, "  ",
                    absl::FormatTime("%M:%E3S", world_.now(), absl::UTCTimeZone()), " ", args...,
                    "\n");
  }

  void setTheScene() {
    const uint64_t files = 1 + any(6);
    hubHasIt_ = chance(50);
    peersHaveIt_ = !hubHasIt_ || chance(50);
    for (uint64_t i = 0; i < files; ++i) {
      const uint64_t size = chance(50) ? any(kMiB) : kMiB + any(24 * kMiB);
      blobs_.push_back({blobOfNumber(100 + i), size});
      unique_ += size;
    }
    coordinator_ = any(nodes_);
    if (faults_ && chance(30)) {
      do {
        joiner_ = any(nodes_);
      } while (joiner_ == coordinator_);
    }
    for (const BlobInfo& blob : blobs_) {
      if (hubHasIt_) world_.putOnHub(blob);
      if (!peersHaveIt_) continue;
      std::set<NodeIndex> holders;
      const uint64_t count = 1 + any(3);
      while (holders.size() < count) {
        const NodeIndex holder = any(nodes_);
        if (holder != joiner_) holders.insert(holder);
      }
      for (const NodeIndex holder : holders) {
        const bool lies = faults_ && chance(8);
        const bool unverified = chance(20);
        std::set<uint64_t> wrong;
        if (lies && blob.size > 0) wrong.insert(any(pieceCount(blob.size)));
        world_.putOnDisk(holder, blob, unverified, wrong);
        if (!wrong.empty()) {
          wrongCopies_.insert({holder, blob.id});
          say("n", holder, " has a wrong copy of ", blob.id.shortHex());
        }
      }
    }
    for (NodeIndex i = 0; i < nodes_; ++i) {
      if (chance(20)) {
        world_.setHubAllowed(i, false);
        noHub_.insert(i);
      }
    }
    if (faults_ && chance(10)) {
      const NodeIndex full = any(nodes_);
      world_.setFree(full, kFreeBytesKept + 10);
      full_.insert(full);
      say("n", full, " is full");
    }
    if (faults_ && chance(15)) {
      const NodeIndex slow = any(nodes_);
      world_.setRate(slow, 500e3);
      say("n", slow, " is slow");
    }
  }

  void begin() {
    Listing listing{*RepoId::make(HubOrigin::huggingFace(), RepoType::kModel, "org/model"),
                    commitOfNumber(1)};
    listing.complete = true;
    for (size_t i = 0; i < blobs_.size(); ++i) {
      listing.files.push_back(
          {*RelativePath::parse(absl::StrCat("file-", i)), blobs_[i], std::nullopt});
    }
    JobOrder order{0, "org/model", listing};
    for (NodeIndex i = 0; i < nodes_; ++i) {
      if (i == coordinator_ || chance(80)) {
        targets_.push_back(i);
        order.targets.push_back(world_.idOf(i));
      }
    }
    say("n", coordinator_, " warms ", targets_.size(), " nodes with ", blobs_.size(), " files, ",
        unique_, " bytes; hub ", hubHasIt_ ? "has them" : "has nothing", ", peers ",
        peersHaveIt_ ? "have them" : "have nothing");
    job_ = world_.order(coordinator_, order);
  }

  void planFaults() {
    const uint64_t count = any(6);
    for (uint64_t i = 0; i < count; ++i) {
      const absl::Time when = world_.now() + absl::Milliseconds(any(8'000));
      quiet_ = std::max(quiet_, when);
      switch (any(5)) {
        case 0:
          planBrokenLink(when);
          break;
        case 1:
          planPartition(when);
          break;
        case 2:
        case 3:
          planCrash(when);
          break;
        default:
          planHubOutage(when);
          break;
      }
    }
    if (joiner_ != kNone) {
      const absl::Time when = world_.now() + absl::Milliseconds(any(5'000));
      quiet_ = std::max(quiet_, when);
      world_.at(when, [this] {
        say("n", joiner_, " joins");
        world_.start(joiner_);
      });
    }
  }

  void planBrokenLink(absl::Time when) {
    const NodeIndex a = any(nodes_);
    const NodeIndex b = any(nodes_);
    if (a == b) return;
    world_.at(when, [=, this] {
      say("the link n", a, " – n", b, " breaks");
      world_.breakLink(a, b);
    });
  }

  void planPartition(absl::Time when) {
    std::set<NodeIndex> side;
    for (NodeIndex i = 0; i < nodes_; ++i) {
      if (chance(30)) side.insert(i);
    }
    const absl::Time heal = when + absl::Milliseconds(500 + any(20'000));
    quiet_ = std::max(quiet_, heal);
    disturbed_ = true;
    world_.at(when, [=, this] {
      say("partition of ", side.size(), " nodes for ", absl::FormatDuration(heal - world_.now()));
      world_.partition(side);
    });
    world_.at(heal, [this] {
      say("the partition heals");
      world_.healPartition();
    });
  }

  void planCrash(absl::Time when) {
    const NodeIndex node = any(nodes_);
    if (node == joiner_) return;
    const absl::Duration away = absl::Milliseconds(300 + any(12'000));
    quiet_ = std::max(quiet_, when + away);
    disturbed_ = true;
    world_.at(when, [=, this] {
      if (!world_.up(node)) return;
      say("n", node, " crashes for ", absl::FormatDuration(away));
      world_.crash(node);
      world_.at(world_.now() + away, [=, this] {
        if (world_.up(node)) return;
        say("n", node, " is back");
        world_.start(node);
      });
    });
  }

  void planHubOutage(absl::Time when) {
    const absl::Time back = when + absl::Milliseconds(any(10'000));
    quiet_ = std::max(quiet_, back);
    disturbed_ = true;
    world_.at(when, [this] {
      say("the hub is down");
      world_.setHubDown(true);
    });
    world_.at(back, [this] {
      say("the hub is up");
      world_.setHubDown(false);
    });
  }

  bool over() const {
    const auto view = world_.job(coordinator_, job_);
    return view && view->finished;
  }

  void check() {
    const JobView view = *world_.job(coordinator_, job_);
    say("the job ends: ", view.result.ToString());
    bool anyFailed = false;
    for (const TargetView& target : view.targets) {
      const NodeIndex node = indexOf(target.node);
      const bool done = target.progress.state == ObtainState::kDone;
      if (done) {
        for (const BlobInfo& blob : blobs_) {
          const bool given = wrongCopies_.contains({node, blob.id});  // was there before, wrong
          if (!given && !world_.holdsRight(node, blob.id)) {
            rule(absl::StrCat("n", node, " says done without right bytes of ", blob.id.shortHex()));
          }
        }
        if (!world_.repoPublished(node, commitOfNumber(1))) {
          rule(absl::StrCat("n", node, " says done without a published repo"));
        }
        continue;
      }
      anyFailed = true;
      say("n", node, ": ", target.progress.message);
      if (!mayFail(node, target.progress.code)) {
        rule(absl::StrCat("n", node, " failed without need: ", target.progress.message));
      }
      if (target.progress.code == absl::StatusCode::kOk || target.progress.message.empty()) {
        rule(absl::StrCat("n", node, " failed without a reason"));
      }
    }
    if (view.result.ok() == anyFailed) rule("the job's result does not fit its targets");
    checkUnpublished();
    checkHub();
  }

  NodeIndex indexOf(const NodeId& id) const {
    NodeIndex i = 0;
    while (world_.idOf(i) != id) ++i;
    return i;
  }

  // A target may fail only for a cause that was there.
  bool mayFail(NodeIndex node, absl::StatusCode code) const {
    if (!faults_) return false;
    switch (code) {
      case absl::StatusCode::kResourceExhausted:
        return full_.contains(node);
      case absl::StatusCode::kDataLoss:
        return !wrongCopies_.empty();
      case absl::StatusCode::kUnavailable:
      case absl::StatusCode::kNotFound:
      case absl::StatusCode::kDeadlineExceeded:
        return disturbed_ || !wrongCopies_.empty();
      default:
        return false;
    }
  }

  void checkUnpublished() {
    for (NodeIndex i = 0; i < nodes_; ++i) {
      for (const BlobInfo& blob : blobs_) {
        if (world_.published(i, blob.id) && !world_.holdsRight(i, blob.id) &&
            !wrongCopies_.contains({i, blob.id})) {
          rule(absl::StrCat("n", i, " published wrong bytes"));
        }
      }
    }
  }

  void checkHub() {
    const uint64_t served = world_.hubServed();
    if (!faults_) {
      if (peersHaveIt_ && served > 0) rule("the hub was asked for what peers have");
      if (!peersHaveIt_ && served != unique_) {
        rule(absl::StrCat("the hub served ", served, " of ", unique_, " bytes"));
      }
      return;
    }
    // Each disturbance may cost what was in doubt then: at most the whole once more on each side.
    const uint64_t most = disturbed_ ? 3 * unique_ : unique_ + unique_ / 20;
    if (wrongCopies_.empty() && served > most) {
      rule(absl::StrCat("the hub served ", served, " bytes of ", unique_));
    }
  }

  void checkIdle() {
    for (NodeIndex i = 0; i < nodes_; ++i) {
      if (!world_.up(i)) continue;
      const CoreSizes sizes = world_.core(i).sizes();
      if (sizes.fetches + sizes.obtains + sizes.jobs + sizes.records + sizes.wants > 0) {
        rule(absl::StrCat("n", i, " keeps state when idle: ", sizes.fetches, " fetches, ",
                          sizes.obtains, " obtains, ", sizes.jobs, " jobs, ", sizes.records,
                          " records, ", sizes.wants, " wants"));
      }
      if (sizes.calls > 4 * nodes_ || sizes.heldPolls >= nodes_) {
        rule(
            absl::StrCat("n", i, " keeps ", sizes.calls, " calls and ", sizes.heldPolls, " polls"));
      }
    }
  }

  static constexpr NodeIndex kNone = ~NodeIndex{0};

  std::mt19937_64 random_;
  const bool faults_;
  World world_;
  const size_t nodes_;
  std::vector<BlobInfo> blobs_;
  uint64_t unique_ = 0;
  bool hubHasIt_ = false;
  bool peersHaveIt_ = false;
  bool disturbed_ = false;
  NodeIndex coordinator_ = 0;
  NodeIndex joiner_ = kNone;
  std::vector<NodeIndex> targets_;
  std::set<std::pair<NodeIndex, BlobId>> wrongCopies_;
  std::set<NodeIndex> full_;
  std::set<NodeIndex> noHub_;
  uint64_t job_ = 0;
  absl::Time quiet_ = absl::InfinitePast();
  ScenarioResult result_;
};

}  // namespace

ScenarioResult runScenario(uint64_t seed, size_t nodes, bool faults) {
  return Story(seed, nodes, faults).tell();
}

}  // namespace roost::sim
