// Where what arrives on this node is put, and how it becomes visible: the root that is written to,
// what is there already, blobs that landed, and the publishing of whole repos.
//
// Ownership: of the publishing queue. Threads: `loop`; answers come there; what blocks runs on work
// threads. Everything given must outlive this.
#ifndef ROOST_NODE_ARRIVALS_H_
#define ROOST_NODE_ARRIVALS_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "cache/disk_space.h"
#include "cache/hub_publisher.h"
#include "cache/inventory.h"
#include "cache/serial_queue.h"
#include "cluster/core.h"
#include "cluster/transfers.h"
#include "node/folder_scans.h"
#include "node/index_queue.h"
#include "node/loop_work.h"

namespace roost {

class Arrivals {
 public:
  struct Seams {
    WorkPool& pool;
    std::shared_ptr<LoopWork> work;
    IndexQueue& index;
    Inventory& inventory;
    FolderScans& scans;
    std::shared_ptr<Reservations> reservations;
    NodeId self;
    std::function<void()> changed;  // the inventory was told what landed
  };
  using Publisher = absl::StatusOr<std::shared_ptr<const HubPublisher>>;
  explicit Arrivals(Seams seams);

  // As in Folders.
  void landed(const LandedBlob& blob);
  Publisher publisher(bool apart) const;
  void checkPresent(const CheckPresent& question, std::function<void(PresenceKnown)> answer);
  void publish(const PublishRepo& order, std::function<void(RepoPublished)> answer);
  void openApart(std::function<void(Publisher)> answer);
  void publishApart(const PublishRepo& order, std::function<void(RepoPublished)> answer);
  std::string snapshotPath(const RepoId& repo, const Commit& commit) const;

 private:
  struct Found;  // the root that can be written
  static Found tryRoot(const RootConfig& config, const NodeId& self,
                       const std::shared_ptr<Reservations>& reservations);
  static Found findTarget(const std::vector<RootConfig>& roots, const NodeId& self,
                          const std::shared_ptr<Reservations>& reservations);
  void targetKnown(const CheckPresent& question, const Found& found,
                   const std::function<void(PresenceKnown)>& answer);
  RootIndex ownRoot() const { return static_cast<RootIndex>(s_.inventory.roots() - 1); }
  void publishIn(RootIndex root, std::shared_ptr<const HubPublisher> publisher,
                 const PublishRepo& order, std::function<void(RepoPublished)> answer);
  std::optional<RootIndex> rootOf(const LandedBlob& blob) const;
  bool isPresent(const RepoId& repo, const BlobId& blob) const;

  Seams s_;
  SerialQueue publishing_;
  std::optional<RootIndex> target_;
  std::shared_ptr<const HubPublisher> publisher_;  // of target_
  std::shared_ptr<const HubPublisher> apart_;      // of the agent's own root, which is the last
};

}  // namespace roost

#endif  // ROOST_NODE_ARRIVALS_H_
