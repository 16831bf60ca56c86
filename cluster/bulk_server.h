// The serving side of the direct lane, on one lane thread: bulk links that peers opened, and the
// blobs they read.
//
// What is complete here is read from the page cache on the lane, from the disk on a work thread.
// What is still arriving is served piece by piece; which pieces a peer may wait for is decided by
// the BlobProvider.
//
// Threads: made, used and destroyed on its lane, which has a KjLoop.
// Memory: reads are refused (busy) while a link has kUnsentBytesPerLinkMax not yet written, or the
// agent kUnsentBytesMax.
// The upload limit: what is sent to peers, by all lanes together, keeps it. A read whose turn comes
// soon waits for it (UploadTurns); any other is refused (busy), and its node asks again, so that it
// never looks like one that is not answered.
#ifndef ROOST_CLUSTER_BULK_SERVER_H_
#define ROOST_CLUSTER_BULK_SERVER_H_

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cache/blob_writer.h"
#include "cache/local_blob.h"
#include "cache/merkle.h"
#include "cache/page_cache_room.h"
#include "cache/work_pool.h"
#include "cluster/rate_limit.h"
#include "cluster/upload_turns.h"
#include "protocol/messages.h"
#include "protocol/preface.h"
#include "protocol/tls.h"

namespace roost {

// Where served bytes come from. Called on lane threads; each answer may come on any thread, and
// comes once.
class BlobProvider {
 public:
  virtual ~BlobProvider() = default;
  // A complete copy that may be served to that peer; null if there is none.
  virtual void open(const NodeId& peer, const BlobId& blob,
                    std::function<void(std::shared_ptr<const LocalBlob>)> answer) = 0;
  // A piece of a blob that is still arriving; with kData the writer that has it.
  virtual void askPiece(
      const NodeId& peer, const BlobId& blob, uint64_t piece,
      std::function<void(ReadOutcome, std::shared_ptr<const BlobWriter>)> answer) = 0;
  // The provenance of representations, in order; empty of those that are not here.
  virtual void provenances(const NodeId& peer, std::vector<RepresentationKey> keys,
                           std::function<void(std::vector<std::string>)> answer) {
    (void)peer;
    answer(std::vector<std::string>(keys.size()));
  }
  // How to get the blob by the swarm; asked because the peer wants to.
  virtual void swarm(const NodeId& peer, const BlobId& blob,
                     std::function<void(SwarmWord)> answer) {
    (void)peer, (void)blob;
    answer(SwarmWord{});
  }
  // Whether peers on the same file system may know where files lie, to copy them.
  virtual bool tellsPlaces() const { return false; }
  // A copy failed its check while it was read: withdraw it.
  virtual void foundBad(const BlobId& blob, const absl::Status& why) = 0;
};

// Counts of all lanes of an agent.
struct ServeCounters {
  std::atomic<uint64_t> bytesOut{0};     // payload handed to links
  std::atomic<uint64_t> unsentBytes{0};  // asked for and not yet written, as last measured
  std::atomic<int> links{0};             // accepted, those in their handshake included
  RateLimit uploads{};                   // of payload, also that of lanes to come
  UploadTurns turns{uploads};
};

class BulkServer {
 public:
  // A file that is open for a peer that reads nothing would keep its space after it was deleted.
  static constexpr absl::Duration kOpenAtRestMax = absl::Seconds(10);
  // All must outlive this. `pages`: for what is read from the disk.
  BulkServer(boost::asio::io_context& io, const TlsContext* tls, WorkPool& pool,
             BlobProvider& provider, ServeCounters& counters, PageCacheRoom& pages,
             absl::Duration openAtRestMax = kOpenAtRestMax);
  ~BulkServer();

  // A connection whose preface said "bulk".
  void accept(DetachedSocket socket);
  void stop();

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace roost

#endif  // ROOST_CLUSTER_BULK_SERVER_H_
