// The hub lane: the missing pieces of a blob, downloaded from the hub over ranged connections.
//
// A download whose place is known (BlobSite::url) begins there. Any other asks the hub once where
// the file is (HEAD …/resolve/…, redirects by hand), and checks what the hub says of it against the
// blob. Then it gets contiguous ranges over one or more connections: of the hub itself or of the
// signed URL it named, which gets no token and is asked for again when it has expired. Cut
// connections resume inside the piece. A server without ranges is read once from the start. Content
// is *not* hashed here: who writes the pieces verifies the whole.
//
// Threads: start(), setLimit() and stop() from any thread; `onPiece` and `done` run on the hub
// thread and must not block it. Memory: at most kHubPiecesHeldMax pieces exist at once, delivered
// ones included: a receiver that keeps them slows the download down, and dropping them lets it go
// on. Errors: those of hub_errors.h; kDataLoss: the hub has other content under this name;
// kCancelled after stop().
#ifndef ROOST_CLUSTER_HUB_LANE_H_
#define ROOST_CLUSTER_HUB_LANE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "cluster/core.h"
#include "cluster/http_client.h"
#include "cluster/hub_calls.h"
#include "cluster/hub_pieces.h"
#include "cluster/rate_limit.h"
#include "protocol/blob_id.h"
#include "protocol/limits.h"
#include "protocol/names.h"

namespace roost {

enum class HubDownloadId : uint64_t {};

class HubLane {
 public:
  struct Options {
    HubPatience patience;
    int connectionsMax = kHubConnectionsMax;  // over all downloads
    uint64_t rangeBytes = kHubRangeBytes;     // whole pieces
    size_t piecesHeldMax = kHubPiecesHeldMax;
    std::string scheme = "Bearer";  // of its tokens: HttpCredential
    RateLimit* limit = nullptr;     // of all downloads; null: none. Must outlive the lane
  };
  struct Order {
    BlobInfo blob;
    BlobSite site;
    std::vector<uint64_t> pieces;       // ascending
    TokenSource token = nullptr;        // instead of the lane's
    uint64_t underWayMax = UINT64_MAX;  // bytes asked for and not yet here, at least one piece
    uint64_t limit = UINT64_MAX;        // pieces from there on wait for a setLimit()
    // No request begins after it: `done` comes with kAborted. A process that was stopped for longer
    // than its lease must not go on before it knows.
    absl::Time until = absl::InfiniteFuture();
    // Others go first: one connection is left to all downloads that yield while another one runs.
    bool yields = false;
    std::shared_ptr<RateLimit> pace = nullptr;  // of this download; null: none
  };
  using OnPiece = std::function<void(std::shared_ptr<const DownloadedPiece> piece)>;
  using Done = std::function<void(absl::Status)>;

  // `http` must outlive this. Tokens go to `origin` only.
  HubLane(const HubOrigin& origin, HttpClient& http, TokenSource token, Options options);
  // Ends every download with kCancelled; afterwards no callback comes. Not on the hub thread.
  ~HubLane();

  // Each piece is delivered once, in any order; then `done`, once.
  HubDownloadId start(Order order, OnPiece onPiece, Done done);
  // The last five of the order anew. If less may be under way, connections end with their piece.
  void setLimit(HubDownloadId id, uint64_t piece, uint64_t underWayMax, absl::Time until,
                bool yields = false, std::shared_ptr<RateLimit> pace = nullptr);
  // When it returns, no further request begins (fencing); `done` comes with kCancelled, unless it
  // came already.
  void stop(HubDownloadId id);

  uint64_t bytesDownloaded() const;  // from hub and CDN since the start, discarded ones included

 private:
  class Work;
  std::shared_ptr<Work> work_;
};

}  // namespace roost

#endif  // ROOST_CLUSTER_HUB_LANE_H_
