// What the agent keeps in the index between starts: its own adverts and those of its peers, jobs,
// counters.
//
// Threads: load() at start, before the loop; the others on `loop`, which do not wait.
#ifndef ROOST_NODE_SAVED_STATE_H_
#define ROOST_NODE_SAVED_STATE_H_

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/status/status.h"
#include "cluster/core.h"
#include "node/index_queue.h"

namespace roost {

struct SavedState {
  uint64_t logId = 0;             // of this node's own advert log
  std::vector<AdvertChange> own;  // what peers were told, ascending
  std::vector<CatalogRestored> peers;
  std::vector<JobView> jobs;                // running ones, and the last kJobsKept finished ones
  std::set<BlobId> poisoned;                // of which clients may have wrong bytes (BlobReadings)
  std::map<RepoId, Visibility> visibility;  // as the hub said
  uint64_t savedBytes = 0;                  // published bytes that did not come from the hub, ever

  static absl::StatusOr<SavedState> load(Index& index, const NodeId& self);
};

// Adverts on their way into the index. A node's changes wait for the index as one batch, in which a
// later change of a thing replaces an earlier one, and are tried again if the index could not take
// them: a saved position is never ahead of the adverts that lead to it.
//
// Memory: as many entries a node as it advertises things, while the index is busy or broken.
class SavedAdverts {
 public:
  // `onLoop` runs a job on `loop` later, or never once the agent is stopping.
  SavedAdverts(IndexQueue& index, std::function<void(std::function<void()>)> onLoop)
      : index_(index), onLoop_(std::move(onLoop)) {}

  // `then` is called once the index has them, or could not take them.
  void add(const NodeId& node, bool reset, const std::vector<AdvertChange>& changes,
           const LogPosition& position, std::function<void()> then = nullptr);
  // Tries again what could not be saved. To be called now and then.
  void retry() { saveNext(); }

 private:
  struct Batch {
    bool reset = false;
    absl::btree_map<AdvertKey, AdvertChange> changes;
    LogPosition position;
    std::vector<std::function<void()>> then;
  };
  // `later` on top of `earlier`.
  static Batch joined(Batch earlier, Batch later);
  void saveNext();
  void saved(const NodeId& node, std::shared_ptr<Batch> batch, const absl::Status& status);

  IndexQueue& index_;
  std::function<void(std::function<void()>)> onLoop_;
  std::map<NodeId, Batch> waiting_;
  bool saving_ = false;  // one batch is in the index's queue
};

void saveVisibility(IndexQueue& index, const RepoId& repo, Visibility visibility);
void saveJob(IndexQueue& index, const JobView& job, const NodeId& self);
void addSavedBytes(IndexQueue& index, uint64_t bytes);

}  // namespace roost

#endif  // ROOST_NODE_SAVED_STATE_H_
