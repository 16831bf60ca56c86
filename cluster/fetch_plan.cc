// What a fetch tells the planner, the limits that it keeps, and for whom it yields.
#include <algorithm>
#include <iterator>
#include <utility>

#include "cluster/fetch.h"
#include "cluster/plan_input.h"
#include "protocol/limits.h"

namespace roost {
namespace {

// While a client waits and a limit leaves nothing, what yields takes a piece if so little is owed.
constexpr absl::Duration kOwedMost = absl::Seconds(1);

}  // namespace

PlanInput Fetch::planInput() const {
  // The word of how public it is matters to swarms alone, which small blobs never come by.
  const bool mayBeSwarm = blob_.size >= kSwarmBlobBytesMin || world_.swarmByOrder;
  PlanInput input = roost::planInput(world_, blob_, mayBeSwarm ? &site_ : nullptr, rule_);
  input.here = false;
  input.hubAllowed = hubAllowed();
  for (PlanHolder& holder : input.holders) {
    const std::optional<Sources::Index> index = sources_.find(holder.node);
    if (!index) continue;
    const Source& source = sources_[*index];
    holder.useless = source.dead;
    holder.failing = source.failing();
    holder.inUse = source.complete;
    if (source.rate > 0) holder.rate = source.rate;
  }
  std::copy_if(grant_.wanters.begin(), grant_.wanters.end(), std::back_inserter(input.wanters),
               [&](const NodeId& node) { return node != input.self; });
  input.leaseholder = grant_.leaseholder;
  input.churn = churn_;
  return input;
}

Plan Fetch::plan() const {
  return planOf(planInput());
}

// Which of the holders are asked. One that fails, or proves useless, makes the sources stale, so
// that others take its place.
void Fetch::refreshHolders() {
  PlanInput input = planInput();
  for (Source& source : sources_) source.complete = false;
  for (PlanHolder& holder : input.holders) holder.draw = pick(SIZE_MAX);
  for (const PlannedSource& chosen : planOf(input).sources) {
    if (!chosen.holder) continue;
    const std::optional<Sources::Index> index = sources_.findOrAdd(chosen.node);
    if (!index) continue;
    sources_[*index].complete = true;
    sources_[*index].unverified = chosen.unverified;
  }
}

bool Fetch::yields() const {
  if (!background_) return false;
  return world_.reads.readersWaiting > 0 || now_ - world_.reads.readerWaitedAt < kReaderLinger;
}

bool Fetch::mayTake() {
  ReadBudgets& reads = world_.reads;
  const absl::Duration left =
      reads.downloads == nullptr ? absl::ZeroDuration() : reads.downloads->left(now_);
  bool free = left == absl::ZeroDuration();
  if (!free && left < kOwedMost && yields()) {
    free = now_ - reads.trickledAt >= reads.downloads->tricklePeriod(kPieceBytes);
  }
  if (pace_ && pace_->left(now_) > absl::ZeroDuration()) free = false;
  if (!free) progressAt_ = now_;  // it stands still by order
  return free;
}

void Fetch::charge(uint64_t bytes) {
  if (world_.reads.downloads != nullptr) world_.reads.downloads->take(bytes, now_);
  if (yields()) world_.reads.trickledAt = now_;
  if (pace_) pace_->take(bytes, now_);
}

void Fetch::noteChurn(const Grant& news) {
  if (grants_ < 2) return;  // until then those who began together are only being heard of
  const auto missing = [](const std::vector<NodeId>& from, const std::vector<NodeId>& in) {
    return static_cast<size_t>(std::count_if(from.begin(), from.end(), [&](const NodeId& node) {
      return std::find(in.begin(), in.end(), node) == in.end();
    }));
  };
  churn_ += missing(news.wanters, grant_.wanters) + missing(grant_.wanters, news.wanters);
}

void Fetch::noteReaders() {
  const bool waiting = !waiting_.empty();
  if (waiting || countedWaiting_) world_.reads.readerWaitedAt = now_;
  if (waiting == countedWaiting_) return;
  countedWaiting_ = waiting;
  world_.reads.readersWaiting += waiting ? 1 : -1;
}

}  // namespace roost
