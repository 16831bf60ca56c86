// How many reads this node has under way, over all fetches: enough to fill any link, few enough
// that a slow one answers before they are late. Shrinks when reads are late, grows again when they
// are not.
//
// Reads from origins (holders, the leaseholder) and from wanters are counted apart: what waits for
// another wanter must never keep this node from taking its own stripe, or two nodes wait for one
// another.
//
// Threads: one (the core's).
#ifndef ROOST_CLUSTER_READ_BUDGET_H_
#define ROOST_CLUSTER_READ_BUDGET_H_

#include <algorithm>

#include "absl/time/time.h"
#include "cluster/peer_rates.h"
#include "cluster/rate_limit.h"
#include "protocol/limits.h"

namespace roost {

class ReadBudget {
 public:
  // `own`: the reads that the asking fetch has under way; a few are always allowed. `yields`: a
  // client's read waits, and this fetch is for none: it goes on at a trickle.
  bool allows(int own, bool yields) const {
    if (yields) return background_ < kTrickleReads;
    return own < kAlways || inFlight_ < limit_;
  }
  // `background`: of a fetch that no client waits for.
  void began(bool background) {
    ++inFlight_;
    background_ += background ? 1 : 0;
  }
  void ended(bool background) {
    --inFlight_;
    background_ -= background ? 1 : 0;
  }
  void delivered() {
    const int growAfter = shrunkAt_ == absl::InfinitePast() ? 1 : kGrowAfter;  // slow start
    if (limit_ < kReadsMax && ++sinceGrown_ >= growAfter) {
      ++limit_;
      sinceGrown_ = 0;
    }
  }
  void late(absl::Time now) {
    if (now - shrunkAt_ < kShrinkPeriod) return;  // one cause, many reads
    shrunkAt_ = now;
    limit_ = std::max(kReadsMin, limit_ / 2);
  }
  int inFlight() const { return inFlight_; }
  int limit() const { return limit_; }

 private:
  static constexpr int kAlways = 2;
  static constexpr int kReadsMin = 4;
  static constexpr int kGrowAfter = 4;
  static constexpr absl::Duration kShrinkPeriod = absl::Seconds(2);
  int inFlight_ = 0;
  int background_ = 0;  // of these
  int limit_ = 2 * kReadWindow;
  int sinceGrown_ = 0;
  absl::Time shrunkAt_ = absl::InfinitePast();
};

// What the reads of all fetches share.
struct ReadBudgets {
  ReadBudget origins;
  ReadBudget wanters;
  PeerRates rates{};
  RateLimit* downloads = nullptr;  // of the node, hub included; null: none
  // Fetches for which a client of this node waits now, and when one did last.
  int readersWaiting = 0;
  absl::Time readerWaitedAt = absl::InfinitePast();
  absl::Time trickledAt = absl::InfinitePast();  // the last read of a fetch that yielded
  int smallTrickle = 0;  // small blobs that are read while clients wait for others
};

}  // namespace roost

#endif  // ROOST_CLUSTER_READ_BUDGET_H_
