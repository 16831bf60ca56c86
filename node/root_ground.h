// What a root stands on: its store, and whether this agent can write there.
//
// Threads: groundOf() and makeWritableRoot() may block for as long as a dead mount does.
#ifndef ROOST_NODE_ROOT_GROUND_H_
#define ROOST_NODE_ROOT_GROUND_H_

#include <optional>
#include <vector>

#include "cache/roots.h"
#include "protocol/node_id.h"

namespace roost {

struct RootGround {
  std::optional<StoreId> store;  // none while the root does not exist
  bool writable = false;         // it may be written, and it can
};

RootGround groundOf(const RootConfig& config);

// What peers are told of a node's roots, in their order: the store that is written to first, then
// the others, each once, kStoresMax at most.
std::vector<StoreId> storesOf(const std::vector<RootGround>& grounds);

// Makes the first root that can be written, as a client would. Its store is then known before
// anything arrives, so that agents which share it know each other.
void makeWritableRoot(const std::vector<RootConfig>& configs);

}  // namespace roost

#endif  // ROOST_NODE_ROOT_GROUND_H_
