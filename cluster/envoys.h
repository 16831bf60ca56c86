// Which member asks the hub for a repo on behalf of all: its *envoy*, named by rendezvous hashing
// among the members that can ask the hub, so that a question of the whole cluster is asked once.
//
// An envoy that was slow, gone or could not ask is passed over for a while: the next in order is
// the envoy then, and nobody waits for the first again.
//
// Threads: one (`loop`). Memory: one entry a member that failed in the last kEnvoyRest.
#ifndef ROOST_CLUSTER_ENVOYS_H_
#define ROOST_CLUSTER_ENVOYS_H_

#include <map>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "protocol/names.h"
#include "protocol/node_id.h"

namespace roost {

class Envoys {
 public:
  explicit Envoys(const NodeId& self) : self_(self) {}

  // `members`: those that can ask the hub, this node among them. This node itself, if there is no
  // better one.
  NodeId envoyOf(const RepoId& repo, const std::vector<NodeId>& members, absl::Time now) const;
  void failed(const NodeId& member, absl::Time now);

 private:
  const NodeId self_;
  std::map<NodeId, absl::Time> restsUntil_;
};

}  // namespace roost

#endif  // ROOST_CLUSTER_ENVOYS_H_
