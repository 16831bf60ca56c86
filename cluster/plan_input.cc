#include "cluster/plan_input.h"

#include <algorithm>

#include "cluster/fetch.h"

namespace roost {
namespace {

// The strictest word of those who hold something of the repo at that commit.
Visibility visibilityOf(const Catalog& catalog, const BlobSite& site) {
  Visibility strictest = Visibility::kUnknown;
  for (const RepoHolderView& holder : catalog.repoHolders(site.repo)) {
    if (holder.advert.commit == site.commit) {
      strictest = std::max(strictest, holder.advert.visibility);
    }
  }
  return strictest;
}

}  // namespace

PlanInput planInput(const FetchWorld& world, const BlobInfo& blob, const BlobSite* site,
                    SourceRule rule) {
  const MemberInfo& self = world.members.self();
  PlanInput input{.blob = blob,
                  .disputed = world.catalog.disputed(blob.id),
                  .self = self.id,
                  .zone = self.zone,
                  .swarmNodes = world.swarmNodes,
                  .swarmByOrder = world.swarmByOrder,
                  .hubAllowed = world.hubAllowed,
                  .rule = rule};
  if (site != nullptr) input.visibility = visibilityOf(world.catalog, *site);
  for (const HolderView& view : world.catalog.holders(blob)) {
    if (view.node == self.id) {
      input.here = true;
      continue;
    }
    const MemberInfo* info = world.members.find(view.node);
    input.holders.push_back({.node = view.node,
                             .zone = info == nullptr ? "" : info->zone,
                             .verified = !view.unverified,
                             .reachable = world.members.usable(view.node),
                             .draining = world.members.draining(view.node),
                             .distrusted = world.distrust.contains(blob.id, view.node),
                             .swarm = world.members.offers(view.node, kFeatureSwarm),
                             .rate = world.reads.rates.of(view.node)});
  }
  return input;
}

}  // namespace roost
