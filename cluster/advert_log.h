// What this node tells its peers it holds: the last change of each advert, in order, and the
// long polls of followers that wait for more.
//
// Threads: one (the core's). Memory: one entry an advert, and at most kTombstonesMax withdrawn
// ones.
#ifndef ROOST_CLUSTER_ADVERT_LOG_H_
#define ROOST_CLUSTER_ADVERT_LOG_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_map.h"
#include "cluster/turn.h"

namespace roost {

class AdvertLog {
 public:
  explicit AdvertLog(uint64_t logId) : logId_(logId) {}

  // Numbers and stores the changes, then answers the polls that waited. Returns those that changed
  // something, numbered.
  std::vector<AdvertChange> append(Turn& turn, const std::vector<AdvertChange>& changes);

  // Answered now, or when something changes, or after kFollowHeld.
  void follow(Turn& turn, const NodeId& peer, AskId ask, const FollowRequest& request);
  void linkDown(const NodeId& peer);
  void tick(Turn& turn);

  size_t held() const { return held_.size(); }  // polls that wait
  uint64_t head() const { return head_; }

 private:
  struct Held {
    AskId ask;
    LogPosition from;
    absl::Time until;
  };
  FollowReply page(const NodeId& peer, const LogPosition& from);
  bool mustReset(const NodeId& peer, const LogPosition& from) const;
  void trimTombstones();

  const uint64_t logId_;
  uint64_t head_ = 0;           // the last sequence number given
  uint64_t forgottenUpTo_ = 0;  // the newest tombstone that was dropped
  absl::btree_map<uint64_t, AdvertChange> log_;
  absl::btree_map<AdvertKey, uint64_t> latest_;
  absl::btree_set<uint64_t> tombstones_;
  absl::btree_map<NodeId, Held> held_;
  // forgottenUpTo_ when a follower began a snapshot: what was dropped before that it never saw.
  absl::flat_hash_map<NodeId, uint64_t> snapshotFrom_;
};

}  // namespace roost

#endif  // ROOST_CLUSTER_ADVERT_LOG_H_
