#include "cluster/envoys.h"

#include "cluster/rendezvous.h"
#include "protocol/limits.h"

namespace roost {

NodeId Envoys::envoyOf(const RepoId& repo, const std::vector<NodeId>& members,
                       absl::Time now) const {
  std::vector<NodeId> able;
  for (const NodeId& member : members) {
    const auto rests = restsUntil_.find(member);
    if (rests == restsUntil_.end() || rests->second <= now) able.push_back(member);
  }
  if (able.empty()) return self_;
  return rendezvousWinner(rendezvousKey(repo), able);
}

void Envoys::failed(const NodeId& member, absl::Time now) {
  std::erase_if(restsUntil_, [&](const auto& entry) { return entry.second <= now; });
  restsUntil_.insert_or_assign(member, now + kEnvoyRest);
}

}  // namespace roost
