// Who sent wrong bytes of which blob: is not asked for it again.
//
// Threads: one (the core's). Memory: at most kDistrustMax entries; the oldest is forgotten.
#ifndef ROOST_CLUSTER_DISTRUST_H_
#define ROOST_CLUSTER_DISTRUST_H_

#include <cstddef>
#include <deque>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "protocol/blob_id.h"
#include "protocol/limits.h"
#include "protocol/node_id.h"

namespace roost {

class Distrust {
 public:
  bool contains(const BlobId& blob, const NodeId& node) const {
    return known_.contains({blob, node});
  }
  // False if it was known.
  bool add(const BlobId& blob, const NodeId& node) {
    if (!known_.insert({blob, node}).second) return false;
    order_.emplace_back(blob, node);
    if (order_.size() > kDistrustMax) {
      known_.erase(order_.front());
      order_.pop_front();
    }
    return true;
  }
  size_t size() const { return order_.size(); }

 private:
  absl::flat_hash_set<std::pair<BlobId, NodeId>> known_;
  std::deque<std::pair<BlobId, NodeId>> order_;
};

}  // namespace roost

#endif  // ROOST_CLUSTER_DISTRUST_H_
