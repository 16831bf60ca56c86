// What arrives of processed datasets: whether it is here already, and how whole finished
// directories come to their places in the datasets cache (cache/datasets_publisher.h).
//
// Ownership: of the publishing queue. Threads: `loop`; answers come there; what blocks runs on work
// threads. Everything given must outlive this.
#ifndef ROOST_NODE_DATASET_ARRIVALS_H_
#define ROOST_NODE_DATASET_ARRIVALS_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cache/datasets_publisher.h"
#include "cache/inventory.h"
#include "cache/serial_queue.h"
#include "cluster/core.h"
#include "node/folder_scans.h"
#include "node/index_queue.h"
#include "node/loop_work.h"

namespace roost {

class DatasetArrivals {
 public:
  struct Seams {
    WorkPool& pool;
    std::shared_ptr<LoopWork> work;
    IndexQueue& index;
    Inventory& inventory;
    FolderScans& scans;
    std::shared_ptr<Reservations> reservations;
    NodeId self;
    // How long a client that prepares the same is waited for, and how often it is looked at.
    absl::Duration patience;
    absl::Duration pause;
  };
  explicit DatasetArrivals(Seams seams);

  // As in Folders.
  absl::StatusOr<std::shared_ptr<const HubPublisher>> publisher() const;
  void checkPresent(const CheckPresent& question, std::function<void(PresenceKnown)> answer);
  void publish(const PublishRepo& order, std::function<void(RepoPublished)> answer);
  std::string path(const RepoId& cache) const;  // the dataset's folder

 private:
  using Publisher = std::shared_ptr<const DatasetsPublisher>;
  struct Found;  // the cache that can be written
  static Found findTarget(const RootConfig& config, const NodeId& self,
                          const std::shared_ptr<Reservations>& reservations);
  std::optional<RootIndex> root() const;
  DatasetsPublisher::Known known(const Listing& listing) const;
  void tryToPublish(const PublishRepo& order, absl::Time until,
                    std::function<void(RepoPublished)> answer);
  void tried(const PublishRepo& order, absl::Time until, const absl::StatusOr<ShownDatasets>& shown,
             const std::function<void(RepoPublished)>& answer);

  Seams s_;
  SerialQueue publishing_;
  Publisher publisher_;
};

}  // namespace roost

#endif  // ROOST_NODE_DATASET_ARRIVALS_H_
