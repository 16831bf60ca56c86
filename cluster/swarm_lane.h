// The swarm lane: blobs by BitTorrent v2, each as a torrent of one file, in one libtorrent session.
// It takes pieces from any number of peers and gives away those that are here: those that came
// otherwise too, and those of blobs that are complete and lie in the cache folders.
//
// Peers are named by whoever orders; nothing is discovered (no trackers, DHT, LSD, UPnP, NAT-PMP,
// peer exchange). Only allowed addresses may connect, unless outside clients are wanted. What
// BitTorrent carries is not encrypted and asks for no key: content that is not public has no place
// here, and whoever calls sees to it.
//
// Each piece is checked against the blob's hash tree before it is handed on. That the tree is the
// blob's only the hash of the whole can tell: who writes the pieces verifies it, and ban()s the
// root of a tree that was wrong.
//
// Threads: every method from any thread; none waits for the network. `onPiece`, `seen` and `done`
// run on threads of the lane, must not block them, and must not call back into it. Memory: at
// most piecesHeldMax pieces exist at once, those that were handed on included: a receiver that
// keeps them slows the peers down, and dropping them lets them go on. Besides libtorrent keeps
// 1/256 of each blob that it receives. Errors of `done`: kInvalidArgument: not a blob for a swarm;
// kDataLoss: its root is banned; kUnavailable: libtorrent gave up; kCancelled after stop().
#ifndef ROOST_CLUSTER_SWARM_LANE_H_
#define ROOST_CLUSTER_SWARM_LANE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cache/blob_writer.h"
#include "cache/local_blob.h"
#include "cache/merkle.h"
#include "cache/page_cache_room.h"
#include "cache/work_pool.h"
#include "cluster/hub_pieces.h"
#include "cluster/rate_limit.h"
#include "protocol/blob_id.h"
#include "protocol/limits.h"
#include "protocol/names.h"

namespace roost {

enum class SwarmId : uint64_t {};

class SwarmLane {
 public:
  struct Options {
    Address listen;               // port 0: any
    bool outside = false;         // clients that are no members may connect
    bool manyPerAddress = false;  // several peers at one address: nodes of one machine
    absl::Duration idle = kSwarmIdle;
    size_t piecesHeldMax = kSwarmPiecesHeldMax;
    size_t piecesWaitingMax = kSwarmPiecesWaitingMax;
  };
  struct Seams {
    WorkPool& pool;                                  // outlives the lane
    std::shared_ptr<PageCacheRoom> pages = nullptr;  // null: what is read stays in the page cache
    // A complete copy that may be given away, or null. Called on the network thread; the answer may
    // come on any thread, and need not come.
    std::function<void(const BlobId&, std::function<void(std::shared_ptr<const LocalBlob>)>)> open;
    // A copy failed its check while it was read. On a work thread.
    std::function<void(const BlobId&, const absl::Status&)> foundBad;
    std::function<void(const std::string&)> report;  // for people; on a thread of the lane
    // Of the node, over all its lanes; null: none. A change is felt after kSwarmSwept.
    RateLimit* uploads = nullptr;
    RateLimit* downloads = nullptr;
  };
  struct Order {
    BlobInfo blob;                           // kSwarmBlobBytesMax at most
    std::shared_ptr<const HashTree> tree;    // isConsistent()
    std::weak_ptr<const BlobWriter> writer;  // where delivered pieces are read again, for others
    std::vector<uint64_t> present;           // pieces that it has
    std::vector<Address> peers;
    std::shared_ptr<RateLimit> pace = nullptr;  // at most so fast; null: no limit of its own
    // Which pieces its peers have, whenever that has changed. Null: not wanted.
    std::function<void(std::vector<bool> pieces)> seen = nullptr;
  };
  using OnPiece = std::function<void(std::shared_ptr<const DownloadedPiece> piece)>;
  using Done = std::function<void(absl::Status)>;

  // kInvalidArgument: cannot listen there.
  static absl::StatusOr<std::unique_ptr<SwarmLane>> open(const Options& options, Seams seams);
  // Ends everything with kCancelled; afterwards no callback comes.
  ~SwarmLane();
  SwarmLane(const SwarmLane&) = delete;
  SwarmLane& operator=(const SwarmLane&) = delete;

  uint16_t port() const;

  // Each missing piece is delivered once, in any order; then `done`, once. Afterwards the blob
  // stays in the swarm for others until nobody has asked for a while.
  SwarmId start(Order order, OnPiece onPiece, Done done);
  // A missing piece came otherwise and lies in the order's writer: it is given to others, and not
  // delivered.
  void have(SwarmId id, uint64_t piece);
  void setPace(SwarmId id, std::shared_ptr<RateLimit> pace);
  // One more peer of a blob that is received or given.
  void connect(const BlobId& blob, std::vector<Address> peers);
  // When it returns nothing is delivered any more; `done` comes with kCancelled, unless it came
  // already. What is not whole leaves the swarm.
  void stop(SwarmId id);

  // Gives a complete blob until nobody has asked for a while. Again: it is wanted still. `kept`:
  // for good, for clients that come when they like.
  void seed(const BlobInfo& blob, std::shared_ptr<const HashTree> tree, bool kept = false);
  // The root belongs to other content: it leaves the swarm and is not let in again.
  void ban(const Sha256& root);
  bool isBanned(const Sha256& root) const;
  // Who may connect, instead of those before: literal addresses, or names to be resolved. Nobody at
  // first.
  void allow(std::vector<std::string> hosts);

  size_t torrents() const;
  size_t peers() const;       // connections, a moment ago
  uint64_t bytesIn() const;   // payload of pieces that were right, since the start
  uint64_t bytesOut() const;  // payload handed to peers

 private:
  class Work;
  explicit SwarmLane(std::shared_ptr<Work> work);
  std::shared_ptr<Work> work_;
};

}  // namespace roost

#endif  // ROOST_CLUSTER_SWARM_LANE_H_
