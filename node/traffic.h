// A rate from a counter that only grows: bytes per second over the last few seconds.
//
// Threads: one.
#ifndef ROOST_NODE_TRAFFIC_H_
#define ROOST_NODE_TRAFFIC_H_

#include <cstdint>
#include <deque>
#include <utility>

#include "absl/time/time.h"

namespace roost {

class Traffic {
 public:
  // Call about once a second with the counter.
  uint64_t rate(uint64_t counter, absl::Time now) {
    samples_.emplace_back(now, counter);
    while (samples_.size() > 2 && now - samples_.front().first > absl::Seconds(3)) {
      samples_.pop_front();
    }
    const double seconds = absl::ToDoubleSeconds(now - samples_.front().first);
    if (seconds <= 0) return 0;
    return static_cast<uint64_t>(static_cast<double>(counter - samples_.front().second) / seconds);
  }

 private:
  std::deque<std::pair<absl::Time, uint64_t>> samples_;
};

}  // namespace roost

#endif  // ROOST_NODE_TRAFFIC_H_
