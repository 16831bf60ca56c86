#include "cluster/store_election.h"

#include <algorithm>

namespace roost {
namespace {

// A node that still reads its folders would advertise nothing yet.
bool looksAfterStores(const NodeView& node, absl::Time now) {
  switch (node.state) {
    case NodeState::kStarting:
    case NodeState::kGone:
      return false;
    case NodeState::kSuspected:
      return now - node.heard < kStoreTakeover;
    default:
      return true;
  }
}

}  // namespace

std::set<StoreId> followedStores(const std::vector<NodeView>& nodes, absl::Time now) {
  std::set<StoreId> followed;
  const NodeView& self = nodes.front();
  const bool candidate = looksAfterStores(self, now);
  for (const NodeView& node : nodes) {
    if (node.self || !looksAfterStores(node, now)) continue;
    if (candidate && self.info.id < node.info.id) continue;
    for (const StoreId& store : node.info.stores) {
      const auto& own = self.info.stores;
      if (std::find(own.begin(), own.end(), store) != own.end()) followed.insert(store);
    }
  }
  return followed;
}

}  // namespace roost
