// Keeps the catalog in step with the peers: follows the advert log of each linked peer, from where
// the last link or the saved copy ended.
//
// Threads: one (the core's). Errors: a peer that breaks the rules of the log is reported and hung
// up.
#ifndef ROOST_CLUSTER_FOLLOWER_H_
#define ROOST_CLUSTER_FOLLOWER_H_

#include <string>

#include "absl/container/btree_map.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cluster/catalog.h"
#include "cluster/turn.h"

namespace roost {

class Follower {
 public:
  explicit Follower(Catalog& catalog) : catalog_(catalog) {}

  void restored(Turn& turn, const CatalogRestored& event);
  void linkUp(Turn& turn, const NodeId& peer);
  void linkDown(const NodeId& peer);
  // Returns true if the catalog changed.
  bool answered(Turn& turn, const NodeId& peer, uint64_t link, const absl::StatusOr<Reply>& reply);
  void tick(Turn& turn);
  // True once each linked peer has told all it had, so that what nobody advertises nobody has.
  bool caughtUp(absl::Time now) const;

 private:
  struct Peer {
    LogPosition position;
    absl::Time askedAt = absl::InfinitePast();
    absl::Time askAgainAt = absl::InfiniteFuture();
    uint64_t link = 0;  // counts the links, so that a late answer over an old one is not taken
    bool linked = false;
    bool caughtUp = false;
  };
  void ask(Turn& turn, const NodeId& id, Peer& peer);
  static std::string fault(const Peer& peer, const FollowReply& reply, size_t adverts);

  Catalog& catalog_;
  absl::btree_map<NodeId, Peer> peers_;
};

}  // namespace roost

#endif  // ROOST_CLUSTER_FOLLOWER_H_
