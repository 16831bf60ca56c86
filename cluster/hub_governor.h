// How many connections to the hub are worth having: twice as many while that brings more bytes,
// then more by small steps, fewer when the hub says "too many requests".
//
// Threads: hub thread (pure decisions, no clock).
#ifndef ROOST_CLUSTER_HUB_GOVERNOR_H_
#define ROOST_CLUSTER_HUB_GOVERNOR_H_

#include <cstdint>

namespace roost {

class HubGovernor {
 public:
  explicit HubGovernor(int connectionsMax);
  int target() const { return target_; }

  // Once a period of constant length. `wantedMore`: there was work for more connections.
  void onPeriod(uint64_t bytes, bool wantedMore);
  // The hub answered 429 or 503.
  void onRefused();

 private:
  const int max_;
  int target_;
  int before_;            // the last doubling
  bool doubling_ = true;  // since the start, until it brought nothing
  uint64_t reached_ = 0;  // bytes of the best period at the last accepted step
  int heldPeriods_ = 0;
  bool probing_ = false;
};

}  // namespace roost

#endif  // ROOST_CLUSTER_HUB_GOVERNOR_H_
