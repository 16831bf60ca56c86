// Who goes next at a node that limits what it sends to peers: a read for which a client waits
// before one of a warm job. A warm job's read waits only while little is owed; what clients read
// keeps more owed than that. So that a warm job never stands still, each eighth turn may be its.
//
// Threads: any.
#ifndef ROOST_CLUSTER_UPLOAD_TURNS_H_
#define ROOST_CLUSTER_UPLOAD_TURNS_H_

#include <atomic>
#include <cstdint>
#include <optional>

#include "absl/time/time.h"
#include "cluster/rate_limit.h"
#include "protocol/limits.h"

namespace roost {

class UploadTurns {
 public:
  // `limit` must outlive this.
  explicit UploadTurns(RateLimit& limit) : limit_(limit) {}

  // The read goes after the time that is given back. None: it would wait too long, and nothing was
  // taken. `background`: no client waits for it.
  std::optional<absl::Duration> take(uint64_t bytes, bool background, absl::Time now) {
    const absl::Duration since = now - absl::FromUnixNanos(lastBackground_);
    const bool yields = background && since < limit_.tricklePeriod(bytes);
    const auto wait =
        limit_.takeWithin(bytes, now, yields ? kUploadPatienceOfWarm : kUploadPatience);
    if (wait && background) lastBackground_ = absl::ToUnixNanos(now);
    return wait;
  }

 private:
  RateLimit& limit_;
  std::atomic<int64_t> lastBackground_{0};  // Unix time, ns
};

}  // namespace roost

#endif  // ROOST_CLUSTER_UPLOAD_TURNS_H_
