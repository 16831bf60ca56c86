// What the agent keeps in the index between starts: its own adverts and those of its peers, jobs,
// counters.
//
// Threads: load() at start, before the loop; the others on `loop`, which do not wait.
#ifndef ROOST_NODE_SAVED_STATE_H_
#define ROOST_NODE_SAVED_STATE_H_

#include <string>
#include <vector>

#include "cluster/core.h"
#include "node/index_queue.h"

namespace roost {

struct SavedState {
  uint64_t logId = 0;             // of this node's own advert log
  std::vector<AdvertChange> own;  // what peers were told, ascending
  std::vector<CatalogRestored> peers;
  std::vector<JobOrder> jobs;  // unfinished ones
  uint64_t savedBytes = 0;     // published bytes that did not come from the hub, ever

  static absl::StatusOr<SavedState> load(Index& index, const NodeId& self);
};

// Saves changes of a node's adverts with the position they lead to.
void saveAdverts(IndexQueue& index, const NodeId& node, bool reset,
                 const std::vector<AdvertChange>& changes, const LogPosition& position);
void saveJob(IndexQueue& index, const JobView& job, const NodeId& self);
void addSavedBytes(IndexQueue& index, uint64_t bytes);

}  // namespace roost

#endif  // ROOST_NODE_SAVED_STATE_H_
