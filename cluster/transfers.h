// Performs what the core decides about bytes: opens writers, asks sources, writes pieces on work
// threads, verifies and publishes, and tells the core what came of it.
//
// A piece goes: bulk link (lane) → message memory → the blob's serial queue (work): write and hash
// → event (loop). Where a holder's file lies on the file system that is written to, the queue
// copies it from there.
//
// Threads: `loop`. Handlers are called there, by post. Ownership: of writers and of the reads under
// way.
#ifndef ROOST_CLUSTER_TRANSFERS_H_
#define ROOST_CLUSTER_TRANSFERS_H_

#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cache/blob_writer.h"
#include "cache/hub_publisher.h"
#include "cache/work_pool.h"
#include "cluster/bulk_client.h"
#include "cluster/core.h"
#include "cluster/hub_lane.h"
#include "cluster/lane_thread.h"
#include "cluster/swarm_lane.h"

namespace roost {

// A lane and the asking side that lives on it: made there, so read it only there.
struct BulkLane {
  LaneThread* thread = nullptr;
  const std::unique_ptr<BulkClient>* client = nullptr;
};

// A blob that was verified and given its final name by this node.
struct LandedBlob {
  BlobInfo blob;
  BlobSite site;
  std::string path;
  PublishedBlob published;
  BlobHashes hashes;
  bool fromHub = false;  // any of it
};

class Transfers {
 public:
  struct Seams {
    boost::asio::io_context& io;  // of `loop`
    WorkPool& pool;
    std::shared_ptr<Reservations> reservations;
    NodeId self;
    std::string partialFolder;           // journals of half-done blobs
    std::shared_ptr<MemoryRoom> memory;  // for pieces that a client is about to have itself
    std::shared_ptr<PageCacheRoom> pages;
    std::vector<BulkLane> lanes;
    HubLane* hub = nullptr;      // null: no hub
    HubLane* plain = nullptr;    // for blobs whose place is known; null: there are none
    SwarmLane* swarm = nullptr;  // null: there is none
    bool linkOnly = false;       // holders' files are left alone, also where they can be opened
    // Hash trees by which blobs come here from a swarm, and whose content turned out to be another.
    std::function<void(const BlobInfo&, std::shared_ptr<const HashTree>)> swarmLearnt = nullptr;
    std::function<void(const BlobInfo&)> swarmWrong = nullptr;
    std::function<std::vector<Address>(const NodeId&)> addressesOf;
    // Where a blob of that site is written; an error says why nowhere.
    std::function<absl::StatusOr<std::shared_ptr<const HubPublisher>>(const BlobSite&)> publisherOf;
    // The token to download files of that repo with; null: the lane's own. May be null itself.
    std::function<TokenSource(const RepoId&)> tokenFor;
    std::function<void(Event)> tell;
    std::function<void(LandedBlob)> landed;
  };
  explicit Transfers(Seams seams);
  ~Transfers();

  void perform(const OpenWriter& effect);
  void perform(const ReadPiece& effect);
  void perform(const ReadSmall& effect);
  void perform(const HubDownload& effect);
  void perform(const LimitHub& effect);
  void perform(const StopHub& effect);
  void perform(const SwarmAsk& effect);
  void perform(const SwarmJoin& effect);
  void perform(const SwarmPeers& effect);
  void perform(const SwarmPace& effect);
  void perform(const SwarmLeave& effect);
  void perform(const FinishBlob& effect);
  void perform(const RestartBlob& effect);
  void perform(const CloseWriter& effect);

  // Asks a peer for the hashes of the pieces of a blob that it has verified (BulkClient::pieces).
  void askPieces(const NodeId& peer, const BlobInfo& blob,
                 std::function<void(absl::StatusOr<std::vector<PieceHash>>)> done);
  // For AnswerPiece: the writer of a fetch that is under way; null after its end.
  std::shared_ptr<const BlobWriter> writer(FetchId fetch) const;
  uint64_t bytesFromPeers() const;  // payload, since the start
  uint64_t bytesCopied() const;     // of these: from holders' files, over no link
  uint64_t bytesFromHub() const;
  // Ends everything; partials are kept. No handler is called afterwards.
  void stop();

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace roost

#endif  // ROOST_CLUSTER_TRANSFERS_H_
