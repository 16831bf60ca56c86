// What the planner decides with, gathered from what this node knows of its peers.
//
// Threads: one (the core's).
#ifndef ROOST_CLUSTER_PLAN_INPUT_H_
#define ROOST_CLUSTER_PLAN_INPUT_H_

#include "cluster/core.h"
#include "cluster/planner.h"

namespace roost {

struct FetchWorld;

// `site`: a file that has this blob, of which its visibility is known; null: unknown. Wanters are
// not in it, nor what a fetch under way has learnt.
PlanInput planInput(const FetchWorld& world, const BlobInfo& blob, const BlobSite* site,
                    SourceRule rule);

}  // namespace roost

#endif  // ROOST_CLUSTER_PLAN_INPUT_H_
