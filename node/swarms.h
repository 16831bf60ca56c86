// This node's part in swarms: which of its blobs may go by BitTorrent, their hash trees, and the
// lane.
//
// Public content only: what a repo shows that the hub, or the operator, called public, and what
// this node itself takes from a swarm. A tree is computed when it is first asked for, on a work
// thread, kSwarmTreesComputedMax at once.
//
// Threads: `loop`. Memory: kSwarmTreesBytesMax of trees; those asked for longest ago go first.
#ifndef ROOST_NODE_SWARMS_H_
#define ROOST_NODE_SWARMS_H_

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <deque>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cache/merkle.h"
#include "cluster/swarm_lane.h"
#include "node/folders.h"
#include "node/loop_timers.h"
#include "node/loop_work.h"

namespace roost {

class Swarms {
 public:
  using Tree = std::shared_ptr<const HashTree>;
  struct Seams {
    boost::asio::io_context& io;  // of `loop`
    WorkPool& pool;
    std::shared_ptr<PageCacheRoom> pages;
    Folders& folders;
    std::function<void(const std::string&)> report;
    RateLimit* uploads = nullptr;  // of the node, over all its lanes; null: none. Outlive this
    RateLimit* downloads = nullptr;
  };

  // kInvalidArgument: cannot listen there.
  static absl::StatusOr<std::unique_ptr<Swarms>> open(const Address& listen, bool outside,
                                                      Seams seams);
  ~Swarms();

  SwarmLane& lane() { return *lane_; }
  bool outside() const { return outside_; }

  // A peer wants to take the blob from the swarm: it is put there. "Not yet" after kSwarmAnswer.
  void word(const BlobId& blob, std::function<void(SwarmWord)> answer);
  // The tree of a blob that is here. kPermissionDenied: it is not public. kNotFound. Never after
  // stop().
  void tree(const BlobId& blob, std::function<void(absl::StatusOr<Tree>)> done);
  // This node takes a public blob from a swarm, by that tree: it will give it too.
  void learn(const BlobInfo& blob, Tree tree);
  // It was not the blob's.
  void ban(const BlobId& blob);

  void stop();

 private:
  struct Known {
    BlobInfo blob;
    Tree tree;
    bool taken = false;  // from a swarm: public, unless the folders know better
  };
  Swarms(bool outside, Seams seams);
  bool mayGive(const BlobId& blob) const;
  void open(const BlobId& blob, std::function<void(std::shared_ptr<const LocalBlob>)> answer);
  void computeNext();
  void compute(const BlobId& blob);
  void computed(const BlobId& blob, absl::StatusOr<Known> result);
  void keep(Known known);
  void forget(std::list<Known>::iterator known);
  Known* find(const BlobId& blob);  // makes it the newest

  const bool outside_;
  Seams s_;
  const std::shared_ptr<LoopWork> work_;
  const std::shared_ptr<std::atomic<bool>> cancelled_ = std::make_shared<std::atomic<bool>>(false);
  LoopTimers timers_;
  std::unique_ptr<SwarmLane> lane_;
  std::list<Known> known_;  // newest first
  std::map<BlobId, std::list<Known>::iterator> byBlob_;
  size_t knownBytes_ = 0;
  std::map<BlobId, std::vector<std::function<void(absl::StatusOr<Tree>)>>> waiting_;
  std::deque<BlobId> queue_;
  size_t computing_ = 0;
};

}  // namespace roost

#endif  // ROOST_NODE_SWARMS_H_
