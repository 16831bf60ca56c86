// How long the hub wants to be left alone (429, 503 with Retry-After): one pause for the whole
// cluster, since the hub counts the requests of all its nodes together.
//
// The hub's own word to this node is honoured as it was said. What a peer was told is believed too,
// but a member that is broken or hostile cannot silence this node: after kHubRestHeardMax of
// peers' words on end the hub is asked again, and only its own word counts for as long. Each node
// adds a pause of its own, so that they do not all come back at once.
//
// Threads: any (locked).
#ifndef ROOST_CLUSTER_HUB_REST_H_
#define ROOST_CLUSTER_HUB_REST_H_

#include <functional>
#include <mutex>
#include <utility>

#include "absl/random/random.h"
#include "absl/time/time.h"

namespace roost {

class HubRest {
 public:
  // `onTold`: the hub has said so anew; called on the thread that heard it, may be null.
  explicit HubRest(std::function<void()> onTold = nullptr) : onTold_(std::move(onTold)) {}

  // The hub said so to this node.
  void told(absl::Duration wait, absl::Time now);
  // Another member says that the hub told it so.
  void heard(absl::Duration wait, absl::Time now);

  // Until the hub may be asked again; zero: now.
  absl::Duration left(absl::Time now) const;
  // Of the hub's word to this node alone, which is what peers are told: words that were heard are
  // not passed on, so none goes round for ever.
  absl::Duration ownLeft(absl::Time now) const;
  // Of all that was said and heard, without this node's own pause on top: for a peer that asks for
  // something that the hub would have to be asked. With it a pause would grow from node to node.
  absl::Duration saidLeft(absl::Time now) const;

 private:
  absl::Duration jitter(absl::Duration wait);

  const std::function<void()> onTold_;
  mutable std::mutex mutex_;
  absl::BitGen random_;
  absl::Time ownUntil_ = absl::InfinitePast();  // as the hub said
  absl::Time until_ = absl::InfinitePast();     // with all that was heard, and the own pause
  absl::Time heardSince_ = absl::InfinitePast();
  absl::Time heardUntil_ = absl::InfinitePast();
};

}  // namespace roost

#endif  // ROOST_CLUSTER_HUB_REST_H_
