// A blob in the swarm, between the lane that ordered it and the disk side that moves its bytes:
// where pieces are read from, whom received ones are handed to, when it was last used.
//
// Threads: any. Callbacks run on the thread that delivers, under the object's lock: they must not
// call back into the lane.
#ifndef ROOST_CLUSTER_SWARM_BLOB_H_
#define ROOST_CLUSTER_SWARM_BLOB_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "cache/blob_writer.h"
#include "cache/local_blob.h"
#include "cache/merkle.h"
#include "cache/page_cache_room.h"
#include "cache/work_pool.h"
#include "cluster/hub_pieces.h"
#include "cluster/rate_limit.h"
#include "cluster/swarm_share.h"
#include "protocol/blob_id.h"

namespace roost {

class SwarmBlob {
 public:
  using OnPiece = std::function<void(std::shared_ptr<const DownloadedPiece> piece)>;
  using OnSeen = std::function<void(std::vector<bool> pieces)>;
  using Done = std::function<void(absl::Status)>;

  // Complete here.
  SwarmBlob(const BlobInfo& blob, std::shared_ptr<const HashTree> tree);
  // To be received, but for the pieces that are `here`. `onSeen` may be null.
  SwarmBlob(const BlobInfo& blob, std::shared_ptr<const HashTree> tree,
            std::weak_ptr<const BlobWriter> writer, std::vector<bool> here, OnPiece onPiece,
            OnSeen onSeen, Done done);

  const BlobInfo& blob() const { return blob_; }
  const HashTree& tree() const { return *tree_; }
  // Has what arrived, while it arrives; null afterwards.
  std::shared_ptr<const BlobWriter> writer() const { return writer_.lock(); }
  Sha256 pieceHash(uint64_t piece) const {
    return tree_->layer.empty() ? tree_->root : tree_->layer[piece];
  }

  // A piece that matched the tree. Dropped if it is here, and once the blob has ended.
  void deliver(std::shared_ptr<const DownloadedPiece> piece);
  // A piece came otherwise, and lies in the writer. False: it was here, or there is no such.
  bool keep(uint64_t piece);
  bool kept(uint64_t piece) const;  // was given to keep()
  // Which pieces its peers have.
  void see(std::vector<bool> pieces);
  // `done`, unless it was told already. No piece is handed out afterwards.
  void end(const absl::Status& status);
  bool receiving() const;
  bool whole() const;  // nothing was missing, or all of it was delivered

  // At most so fast it is received; null: no limit of its own.
  void setPace(std::shared_ptr<RateLimit> pace);
  std::shared_ptr<RateLimit> pace() const;

  void used() { usedAt_ = absl::ToUnixMillis(absl::Now()); }
  absl::Time usedAt() const { return absl::FromUnixMillis(usedAt_); }

 private:
  void endLocked(const absl::Status& status);

  const BlobInfo blob_;
  const std::shared_ptr<const HashTree> tree_;
  const std::weak_ptr<const BlobWriter> writer_;
  std::atomic<int64_t> usedAt_;
  mutable std::mutex mutex_;
  std::vector<bool> here_;  // empty: it was complete from the start
  std::vector<bool> kept_;
  std::vector<bool> seen_;
  uint64_t wanted_ = 0;  // pieces that are missing
  std::shared_ptr<RateLimit> pace_;
  OnPiece onPiece_;
  OnSeen onSeen_;
  Done done_;
};

// What all blobs of a lane share.
struct SwarmShelf {
  using Open =
      std::function<void(const BlobId&, std::function<void(std::shared_ptr<const LocalBlob>)>)>;
  using FoundBad = std::function<void(const BlobId&, const absl::Status&)>;
  SwarmShelf(WorkPool& workers, std::shared_ptr<PageCacheRoom> pageRoom, Open opener, FoundBad bad,
             RateLimit* uploadLimit, RateLimit* downloadLimit, size_t piecesHeldMax,
             size_t piecesWaitingMax)
      : pool(workers),
        pages(std::move(pageRoom)),
        open(std::move(opener)),
        foundBad(std::move(bad)),
        uploads(uploadLimit),
        downloads(downloadLimit),
        room(std::make_shared<HubRoom>(piecesHeldMax)),
        waitingMax(piecesWaitingMax) {}

  WorkPool& pool;
  const std::shared_ptr<PageCacheRoom> pages;  // null: what is read stays in the page cache
  // A complete copy that may be given away, or null; the answer may come on any thread, or never.
  const Open open;
  const FoundBad foundBad;              // a copy failed its check while it was read
  SwarmShare uploads, downloads;        // of the node's limits
  const std::shared_ptr<HubRoom> room;  // of pieces in memory
  const size_t waitingMax;              // whole ones that the disk has not taken
  std::atomic<uint64_t> bytesIn{0};     // payload, of pieces that were right
  std::atomic<uint64_t> bytesOut{0};    // payload handed to connections

  void put(const std::string& key, std::shared_ptr<SwarmBlob> blob) {
    const std::lock_guard lock(mutex);
    blobs[key] = std::move(blob);
  }
  std::shared_ptr<SwarmBlob> take(const std::string& key) {
    const std::lock_guard lock(mutex);
    auto node = blobs.extract(key);
    return node.empty() ? nullptr : std::move(node.mapped());
  }

  // The session is about to end, and waits for every answer: those from outside may never come.
  void close() {
    closed = true;
    std::function<void()> tell;
    {
      const std::lock_guard lock(mutex);
      tell = onClose;
    }
    if (tell) tell();
  }
  std::atomic<bool> closed = false;

  std::mutex mutex;                                         // of the rest
  std::function<void()> onClose;                            // of the disk side
  std::map<std::string, std::shared_ptr<SwarmBlob>> blobs;  // on their way to the disk side
};

}  // namespace roost

#endif  // ROOST_CLUSTER_SWARM_BLOB_H_
