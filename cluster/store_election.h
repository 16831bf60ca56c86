// Which agent hashes, advertises and writes a folder that several see: the live one with the
// smallest id.
//
// Threads: any (a function of values). Errors: none. While two agents do not see each other both
// may think themselves elected: the work is done twice, nothing is wrong.
#ifndef ROOST_CLUSTER_STORE_ELECTION_H_
#define ROOST_CLUSTER_STORE_ELECTION_H_

#include <set>
#include <vector>

#include "absl/time/time.h"
#include "cluster/core.h"

namespace roost {

// A member that is silent for this long has lost its stores to the next in order.
inline constexpr absl::Duration kStoreTakeover = absl::Seconds(3);

// The stores of this node (the first of `nodes`) that another one looks after.
std::set<StoreId> followedStores(const std::vector<NodeView>& nodes, absl::Time now);

}  // namespace roost

#endif  // ROOST_CLUSTER_STORE_ELECTION_H_
