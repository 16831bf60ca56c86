// How fast each peer was of late, over all fetches of this node: which of several equal holders a
// new fetch asks.
//
// Threads: one (the core's). Memory: an entry for each peer that ever sent something.
#ifndef ROOST_CLUSTER_PEER_RATES_H_
#define ROOST_CLUSTER_PEER_RATES_H_

#include "absl/container/flat_hash_map.h"
#include "protocol/node_id.h"

namespace roost {

class PeerRates {
 public:
  // What one fetch measured, in bytes per second.
  void measured(const NodeId& node, double rate) {
    double& known = rates_[node];
    known = known == 0 ? rate : 0.9 * known + 0.1 * rate;
  }
  // 0: unknown.
  double of(const NodeId& node) const {
    const auto it = rates_.find(node);
    return it == rates_.end() ? 0 : it->second;
  }

 private:
  absl::flat_hash_map<NodeId, double> rates_;
};

}  // namespace roost

#endif  // ROOST_CLUSTER_PEER_RATES_H_
