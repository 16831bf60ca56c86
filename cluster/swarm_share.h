// What of a limit that all lanes share the swarm may use. libtorrent keeps to a rate by itself, and
// what it moved is taken from the bucket; the other lanes wait for the bucket. So that neither
// starves the other, the swarm leaves them twice what they took lately, so that they can grow, but
// keeps half.
//
// Threads: took() any; rate() one.
#ifndef ROOST_CLUSTER_SWARM_SHARE_H_
#define ROOST_CLUSTER_SWARM_SHARE_H_

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "absl/time/time.h"
#include "cluster/rate_limit.h"

namespace roost {

class SwarmShare {
 public:
  // Null: there is no limit. Outlives the share.
  explicit SwarmShare(RateLimit* limit) : limit_(limit) {}

  // The swarm moved so much.
  void took(uint64_t bytes, absl::Time now) {
    if (limit_ == nullptr || limit_->rate() == 0) return;
    limit_->take(bytes, now);
    own_ += bytes;
  }

  // Bytes per second that the swarm may move until this is asked again; 0: no limit. What the
  // others took is what they took since it was asked last.
  uint64_t rate(absl::Time now) {
    const uint64_t whole = limit_ == nullptr ? 0 : limit_->rate();
    if (whole == 0) {
      askedAt_ = absl::InfinitePast();
      return 0;
    }
    const uint64_t own = own_;
    const uint64_t others = std::max(limit_->taken(), own) - own;
    uint64_t pace = 0;
    if (askedAt_ != absl::InfinitePast() && now > askedAt_ && others > others_) {
      pace = static_cast<uint64_t>(static_cast<double>(others - others_) /
                                   absl::ToDoubleSeconds(now - askedAt_));
    }
    others_ = others;
    askedAt_ = now;
    return whole - std::min(2 * pace, whole / 2);
  }

 private:
  RateLimit* const limit_;
  std::atomic<uint64_t> own_{0};
  uint64_t others_ = 0;  // what they had taken when it was asked last
  absl::Time askedAt_ = absl::InfinitePast();
};

}  // namespace roost

#endif  // ROOST_CLUSTER_SWARM_SHARE_H_
