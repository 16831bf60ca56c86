// This node's folders at work. The Inventory holds the picture; around it are those who do the I/O:
// FolderScans keep it true, CopyChecks hash, Arrivals are put in their place and shown. This wires
// them, opens what is served, and tells adverts.
//
// Ownership: of the inventory and of those parts. Threads: `loop`; blocking work goes to the pool,
// and nothing of it comes back after stop(). Handlers are called on `loop`. Everything given must
// outlive this.
#ifndef ROOST_NODE_FOLDERS_H_
#define ROOST_NODE_FOLDERS_H_

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "cache/disk_space.h"
#include "cache/hub_publisher.h"
#include "cache/inventory.h"
#include "cache/local_blob.h"
#include "cache/work_pool.h"
#include "cluster/core.h"
#include "cluster/transfers.h"
#include "node/index_queue.h"
#include "node/repo_check.h"

namespace roost {

class Folders {
 public:
  struct Seams {
    boost::asio::io_context& io;  // of `loop`
    WorkPool& pool;
    IndexQueue& index;
    std::shared_ptr<Reservations> reservations;
    NodeId self;
    HubOrigin origin;  // of the repos in hub caches
    std::vector<Root>
        roots;  // the first that can be written gets what arrives; the last is our own
    std::function<void(std::vector<AdvertChange>)> changed;
    std::function<void()> settled;  // all folders were read once
    std::function<void(const std::string&)> report;
  };
  // `told`: what peers were told before a restart, ascending; numbering goes on from there.
  Folders(Seams seams, const std::vector<AdvertChange>& told);
  ~Folders();

  void start();
  void stop();

  Inventory& inventory();
  const Inventory& inventory() const;
  bool isSettled() const;
  std::vector<std::string> problems() const;

  // Of its roots as they are now, the one that is written to first.
  std::vector<StoreId> stores() const;
  // Other agents look after these: what lies there is neither hashed nor advertised.
  void follow(const std::set<StoreId>& followed);
  // Background hashing may begin: it is known who else sees the same folders.
  void mayCheck();

  // A blob was published by this node: its hash is known, so peers are told at once; the scan of
  // its repo follows.
  void landed(const LandedBlob& blob);
  // Opens a complete copy for serving; null if there is none. The answer comes on a work thread or
  // here.
  void open(const BlobId& blob, std::function<void(std::shared_ptr<const LocalBlob>)> answer);
  // Ok once a complete copy is known to be right: it is hashed now if it never was. kDataLoss: it
  // is wrong. kNotFound: there is none. kCancelled or never: the agent stops.
  void whenVerified(const BlobId& blob, std::function<void(absl::Status)> done);
  // What the hub says of a repo; peers are told.
  void setVisibility(const RepoId& repo, Visibility visibility);
  // A copy failed while it was served.
  void foundBad(const BlobId& blob, const absl::Status& why);

  // Where blobs are written: in a client's cache, apart in the agent's own folder, or where
  // finished directories are put together. Valid after a
  // checkPresent(), or an openApart(), that went well.
  absl::StatusOr<std::shared_ptr<const HubPublisher>> publisher(const BlobSite& site) const;
  void checkPresent(const CheckPresent& question, std::function<void(PresenceKnown)> answer);
  void publish(const PublishRepo& order, std::function<void(RepoPublished)> answer);
  // The agent's own folder, made if it is not there, and the same for what is published in it.
  void openApart(std::function<void(absl::StatusOr<std::shared_ptr<const HubPublisher>>)> answer);
  void publishApart(const PublishRepo& order, std::function<void(RepoPublished)> answer);
  std::string snapshotPath(const RepoId& repo, const Commit& commit) const;

  boost::asio::awaitable<VerifiedRepo> verifyRepo(RepoId repo);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace roost

#endif  // ROOST_NODE_FOLDERS_H_
