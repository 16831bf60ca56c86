// Rendezvous hashing: which member is a blob's registrar, or a repo's envoy. Equal on every node
// that sees the same members, and when one leaves only what was its own moves.
//
// Threads: any (pure). Source: Thaler and Ravishankar, "Using name-based mappings to increase hit
// rates", 1998; mixed by splitmix64's finalizer.
#ifndef ROOST_CLUSTER_RENDEZVOUS_H_
#define ROOST_CLUSTER_RENDEZVOUS_H_

#include <cstdint>
#include <vector>

#include "protocol/blob_id.h"
#include "protocol/names.h"
#include "protocol/node_id.h"

namespace roost {

// Of a repo: equal on every node and in every version (FNV-1a).
uint64_t rendezvousKey(const RepoId& repo);

// The weight of a node for a key, or a blob: the greatest one wins.
uint64_t rendezvousWeight(uint64_t key, const NodeId& node);
uint64_t rendezvousWeight(const BlobId& blob, const NodeId& node);

// `members` must not be empty.
const NodeId& rendezvousWinner(uint64_t key, const std::vector<NodeId>& members);
const NodeId& rendezvousWinner(const BlobId& blob, const std::vector<NodeId>& members);

}  // namespace roost

#endif  // ROOST_CLUSTER_RENDEZVOUS_H_
