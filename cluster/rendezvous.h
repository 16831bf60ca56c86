// Rendezvous hashing: which member is a blob's registrar. Equal on every node that sees the same
// members, and when one leaves only its own blobs move.
//
// Threads: any (pure). Source: Thaler and Ravishankar, "Using name-based mappings to increase hit
// rates", 1998; mixed by splitmix64's finalizer.
#ifndef ROOST_CLUSTER_RENDEZVOUS_H_
#define ROOST_CLUSTER_RENDEZVOUS_H_

#include <cstdint>
#include <vector>

#include "protocol/blob_id.h"
#include "protocol/node_id.h"

namespace roost {

// The weight of a node for a blob: the greatest one wins.
uint64_t rendezvousWeight(const BlobId& blob, const NodeId& node);

// `members` must not be empty.
const NodeId& rendezvousWinner(const BlobId& blob, const std::vector<NodeId>& members);

}  // namespace roost

#endif  // ROOST_CLUSTER_RENDEZVOUS_H_
