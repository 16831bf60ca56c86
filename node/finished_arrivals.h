// What arrives that no hub has: whether it is here already, and how it comes to its place: whole
// finished directories of a datasets cache (cache/datasets_publisher.h), files of configured trees
// (cache/tree_publisher.h).
//
// Ownership: of the publishing queue. Threads: `loop`; answers come there; what blocks runs on work
// threads. Everything given must outlive this.
#ifndef ROOST_NODE_FINISHED_ARRIVALS_H_
#define ROOST_NODE_FINISHED_ARRIVALS_H_

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cache/finished_publisher.h"
#include "cache/inventory.h"
#include "cache/serial_queue.h"
#include "cluster/core.h"
#include "node/folder_scans.h"
#include "node/index_queue.h"
#include "node/loop_work.h"

namespace roost {

class FinishedArrivals {
 public:
  struct Seams {
    WorkPool& pool;
    std::shared_ptr<LoopWork> work;
    IndexQueue& index;
    Inventory& inventory;
    FolderScans& scans;
    std::shared_ptr<Reservations> reservations;
    NodeId self;
  };
  explicit FinishedArrivals(Seams seams);

  // As in Folders.
  absl::StatusOr<std::shared_ptr<const HubPublisher>> publisher(const RepoId& repo) const;
  void checkPresent(const CheckPresent& question, std::function<void(PresenceKnown)> answer);
  void publish(const PublishRepo& order, std::function<void(RepoPublished)> answer);
  std::string path(const RepoId& repo) const;  // the dataset's folder, the tree

 private:
  using Publisher = std::shared_ptr<const FinishedPublisher>;
  struct Found;  // the root that can be written
  static Found findTarget(const RootConfig& config, const NodeId& self,
                          const std::shared_ptr<Reservations>& reservations);
  // Where that repo is written to. kPermissionDenied, kFailedPrecondition: nowhere, and why.
  absl::StatusOr<RootIndex> root(const RepoId& repo) const;
  KnownFiles known(RootIndex root, const Listing& listing) const;
  // A client that prepares the same is waited for.
  void tryToPublish(std::shared_ptr<const PublishRepo> order, RootIndex root, absl::Time until,
                    std::function<void(RepoPublished)> answer);
  void tried(std::shared_ptr<const PublishRepo> order, RootIndex root, absl::Time until,
             const absl::StatusOr<ShownFinished>& shown,
             const std::function<void(RepoPublished)>& answer);

  Seams s_;
  SerialQueue publishing_;
  std::map<RootIndex, Publisher> publishers_;
};

}  // namespace roost

#endif  // ROOST_NODE_FINISHED_ARRIVALS_H_
