// Who has what: the adverts of all nodes, in memory. Compact, because every node keeps the whole
// cluster's: per blob its size and one 32-bit entry a holder.
//
// Threads: one (the core's). Errors: contradictions are reported, never believed.
#ifndef ROOST_CLUSTER_CATALOG_H_
#define ROOST_CLUSTER_CATALOG_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/container/inlined_vector.h"
#include "absl/functional/function_ref.h"
#include "absl/types/span.h"
#include "cluster/turn.h"

namespace roost {

class Catalog {
 public:
  // Applies what a node said. After `reset` only `changes` count.
  void apply(Turn& turn, const NodeId& node, bool reset, absl::Span<const AdvertChange> changes);
  // Whether the node's adverts count; they are kept either way.
  void setPresent(const NodeId& node, bool present);
  // Forgets all that a node said.
  void forget(const NodeId& node);

  // Present nodes that have all of a blob of this very size; sorted.
  std::vector<HolderView> holders(const BlobInfo& blob) const;
  std::vector<HolderView> holders(const BlobId& blob) const;  // of any size
  std::optional<uint64_t> sizeOf(const BlobId& blob) const;   // as present holders said first
  // Two nodes say different sha256 of one git-sha1: only the hub knows.
  bool disputed(const BlobId& blob) const { return disputed_.contains(blob); }

  std::vector<RepoHolderView> repoHolders(const RepoId& repo) const;
  std::vector<std::pair<NodeId, RefState>> refs(const RepoId& repo) const;

  std::vector<RepoId> repos(RepoType type) const;  // of which a present node holds any; sorted

  // `stores` gives each node's stores: nodes that share one count as one copy.
  ClusterTotals totals(absl::FunctionRef<const std::vector<StoreId>*(const NodeId&)> stores) const;

  // Present nodes that claim a value for that key, the oldest claim first.
  std::vector<RepresentationHolderView> representation(const RepresentationKey& key) const;
  // Each key of which any node, present or not, said that it has it; in no order.
  void eachRepresentation(absl::FunctionRef<void(const RepresentationKey&)> visit) const;
  // Keys for which present nodes claim different values; kConflictsKept at most.
  std::vector<RepresentationConflict> conflicts() const;

  size_t advertsOf(const NodeId& node) const;
  size_t blobs() const { return blobs_.size(); }

 private:
  using NodeIndex = uint32_t;
  // node index × 2 + unverified; sorted by node.
  using Holding = uint32_t;
  struct BlobEntry {
    uint64_t size = 0;
    absl::InlinedVector<Holding, 4> holdings;
  };
  struct Node {
    std::optional<NodeId> id;  // none: a free slot
    bool present = false;
    size_t adverts = 0;
  };
  struct RepoEntry {
    absl::btree_map<std::pair<NodeIndex, Commit>, RepoAdvert> commits;
    absl::btree_map<std::pair<NodeIndex, RefName>, RefState> refs;
  };
  struct Claiming {
    NodeIndex node;
    RepresentationClaim claim;
  };
  // A holder that claims another size than the first one did.
  struct OddHolding {
    Holding holding;
    uint64_t size;
  };

  NodeIndex indexOf(const NodeId& node);
  void put(Turn& turn, NodeIndex node, const BlobAdvert& advert);
  void put(NodeIndex node, const RepoAdvert& advert);
  void put(NodeIndex node, const RefAdvert& advert);
  void remove(NodeIndex node, const BlobId& blob);
  void remove(NodeIndex node, const RepoKey& key);
  void remove(NodeIndex node, const RefKey& key);
  void put(NodeIndex node, const RepresentationAdvert& advert);
  void remove(NodeIndex node, const RepresentationKey& key);
  void noteConflict(const RepresentationKey& key);
  void clear(NodeIndex node);
  bool dropHolding(NodeIndex node, const BlobId& blob);
  void noteSha256(Turn& turn, NodeIndex node, const BlobAdvert& advert);
  void addHolders(absl::Span<const Holding> holdings, std::vector<HolderView>& result) const;
  void dropIfEmpty(const RepoId& repo);
  bool isHeld(const RepoEntry& entry) const;  // by a present node

  std::vector<Node> nodes_;
  absl::flat_hash_map<NodeId, NodeIndex> indices_;
  absl::flat_hash_map<BlobId, BlobEntry> blobs_;
  absl::flat_hash_map<BlobId, std::vector<OddHolding>> odd_;
  absl::flat_hash_map<BlobId, Sha256> sha256_;  // of git-sha1 blobs, the first one heard
  absl::flat_hash_set<BlobId> disputed_;
  absl::flat_hash_map<RepoId, RepoEntry> repos_;
  absl::flat_hash_map<RepresentationKey, absl::InlinedVector<Claiming, 1>> representations_;
  absl::btree_set<RepresentationKey> disagreed_;  // keys of two values, present or not
};

}  // namespace roost

#endif  // ROOST_CLUSTER_CATALOG_H_
