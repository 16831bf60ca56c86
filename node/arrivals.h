// Where what arrives on this node is put, and how it becomes visible: the root that is written to,
// what is there already, blobs that landed, and the publishing of whole repos; models also in the
// roots where clients look that do not look there (RootConfig::show).
//
// Ownership: of the publishing queue. Threads: `loop`; answers come there; what blocks runs on work
// threads. Everything given must outlive this.
#ifndef ROOST_NODE_ARRIVALS_H_
#define ROOST_NODE_ARRIVALS_H_

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

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
#include "node/repo_publication.h"

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
    // Folders::whenVerified()
    std::function<void(const BlobId&, std::function<void(absl::Status)>)> whenVerified;
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
  std::vector<std::string> problems() const;  // what is not shown where it should be

 private:
  // A root where repos are shown.
  struct Stage {
    RootIndex root{};
    std::shared_ptr<const HubPublisher> publisher;
    bool mayCopy = true;
    absl::Status status{};  // why there is no publisher
  };
  using Stages = std::shared_ptr<const std::vector<Stage>>;
  struct Found;  // the root that can be written
  static Found tryRoot(const RootConfig& config, const NodeId& self,
                       const std::shared_ptr<Reservations>& reservations);
  static Found findTarget(const std::vector<RootConfig>& roots, const NodeId& self,
                          const std::shared_ptr<Reservations>& reservations);
  void targetKnown(const CheckPresent& question, const Found& found,
                   const std::function<void(PresenceKnown)>& answer);
  RootIndex ownRoot() const { return static_cast<RootIndex>(s_.inventory.roots() - 1); }
  static std::vector<Stage> findAlso(const std::vector<RootConfig>& roots, RootIndex target,
                                     const NodeId& self,
                                     const std::shared_ptr<Reservations>& reservations);
  std::optional<RootIndex> rootOf(const LandedBlob& blob) const;
  void verifyElsewhere(RootIndex root, const Listing& listing, std::function<void()> then);
  void showIn(const Stage& stage, const PublishRepo& order,
              std::function<void(const absl::Status&)> then);
  void linked(const RepoPlace& place, const std::vector<LinkedHere>& made);
  void showAlso(Stages stages, size_t next, const PublishRepo& order, std::function<void()> then);
  void shownAlso(const Stage& stage, const RepoId& repo, const absl::Status& status);
  bool isPresent(const RepoId& repo, const BlobId& blob) const;

  Seams s_;
  SerialQueue publishing_;
  std::optional<RootIndex> target_;
  std::shared_ptr<const HubPublisher> publisher_;  // of target_
  std::shared_ptr<const HubPublisher> apart_;      // of the agent's own root, which is the last
  Stages also_;                                    // besides target_
  std::map<RepoPlace, std::string> notShown_;      // sentences
};

}  // namespace roost

#endif  // ROOST_NODE_ARRIVALS_H_
