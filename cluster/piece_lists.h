// The hashes of the pieces of blobs that other nodes have whole and verified: with them a piece of
// a blob that is still arriving can be told right from wrong before the whole is here.
//
// Holders are asked one after the other, a blob by one question at a time. Who holds the cluster
// key is trusted to have hashed what it says it has.
//
// Threads: `loop`; answers come there, at once or later, and not after this is gone. Memory:
// kPieceListsMax lists and kPieceListsBytesMax bytes; the oldest go first.
#ifndef ROOST_CLUSTER_PIECE_LISTS_H_
#define ROOST_CLUSTER_PIECE_LISTS_H_

#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "cache/piece_hash.h"
#include "protocol/blob_id.h"
#include "protocol/node_id.h"

namespace roost {

class PieceLists {
 public:
  using List = std::shared_ptr<const std::vector<PieceHash>>;
  struct Seams {
    // Nodes that can be reached and have verified the blob.
    std::function<std::vector<NodeId>(const BlobId&)> holders;
    std::function<void(const NodeId&, const BlobInfo&,
                       std::function<void(absl::StatusOr<std::vector<PieceHash>>)>)>
        ask;
  };
  explicit PieceLists(Seams seams) : s_(std::move(seams)) {}

  // Null: no node has told one.
  void get(const BlobInfo& blob, std::function<void(List)> done);

 private:
  void askNext(const BlobInfo& blob, std::vector<NodeId> holders);
  void told(const BlobId& blob, List list);
  void keep(const BlobId& blob, List list);

  Seams s_;
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // weakly held by answers
  absl::flat_hash_map<BlobId, std::vector<std::function<void(List)>>> waiting_;
  absl::flat_hash_map<BlobId, List> known_;
  std::deque<BlobId> order_;
  size_t bytes_ = 0;
};

}  // namespace roost

#endif  // ROOST_CLUSTER_PIECE_LISTS_H_
