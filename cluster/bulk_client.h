// The asking side of the direct lane, on one lane thread: bulk links to peers, made when first
// needed, and pipelined reads over them. At most kReadsPerLinkMax reads are under way on a link;
// the others wait here in order.
//
// Threads: made, used and destroyed on its lane, which has a KjLoop. Handlers are called there.
// Ownership: bytes of an answer lie in the received message; it is let go on the lane when the last
// `owner` goes, on whatever thread that is.
#ifndef ROOST_CLUSTER_BULK_CLIENT_H_
#define ROOST_CLUSTER_BULK_CLIENT_H_

#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "cache/holder_file.h"
#include "cache/merkle.h"
#include "cache/piece_hash.h"
#include "protocol/messages.h"
#include "protocol/tls.h"

namespace roost {

struct PeerTarget {
  NodeId id;
  std::vector<Address> addresses;
};

struct ReceivedBytes {
  absl::Span<const uint8_t> bytes;
  std::shared_ptr<const void> owner;
};

struct ReadAnswer {
  ReadOutcome outcome = ReadOutcome::kGone;
  ReceivedBytes data;  // of kData
};

// Bytes of one piece, or a part of it.
struct ReadQuestion {
  BlobId blob;
  uint64_t offset = 0;
  uint32_t length = 0;
  bool background = false;  // no client waits for it
};

class BulkClient {
 public:
  using ReadHandler = std::function<void(absl::StatusOr<ReadAnswer>)>;
  // One answer for each id, in order.
  using SmallHandler = std::function<void(absl::StatusOr<std::vector<ReadAnswer>>)>;

  // self: who asks. tls: null without a cluster key. io and tls must outlive this.
  BulkClient(boost::asio::io_context& io, NodeId self, uint64_t epoch, const TlsContext* tls);
  ~BulkClient();

  // The deadline counts from when the link is up and the read is sent. Errors: kUnavailable (no
  // link), kDeadlineExceeded, kDataLoss (answered with another length).
  void read(const PeerTarget& peer, const ReadQuestion& question, absl::Duration deadline,
            ReadHandler handler);
  // At most kInlineIdsMax ids.
  void readSmall(const PeerTarget& peer, std::vector<BlobId> ids, absl::Duration deadline,
                 SmallHandler handler);
  // The hashes of the blob's pieces, from a peer that has verified the whole. kNotFound: it has
  // not, or is too old to say.
  using PiecesHandler = std::function<void(absl::StatusOr<std::vector<PieceHash>>)>;
  void pieces(const PeerTarget& peer, const BlobInfo& blob, absl::Duration deadline,
              PiecesHandler handler);
  // Where the peer's own file of the blob lies, if on that file system. kNotFound: it does not
  // tell.
  using PlaceHandler = std::function<void(absl::StatusOr<FilePlace>)>;
  void place(const PeerTarget& peer, const BlobId& blob, std::string fileSystem,
             absl::Duration deadline, PlaceHandler handler);
  // How to get the blob by the swarm, and whether from that peer; a tree is one of a blob of that
  // size. kDataLoss: what it told is no such tree.
  using SwarmHandler = std::function<void(absl::StatusOr<SwarmWord>)>;
  void swarm(const PeerTarget& peer, const BlobInfo& blob, absl::Duration deadline,
             SwarmHandler handler);
  // The provenance of representations, as the peer says: to be checked against their keys. At most
  // kProvenancesAskedMax; empty of those that it does not hold.
  using ProvenancesHandler = std::function<void(absl::StatusOr<std::vector<std::string>>)>;
  void provenances(const PeerTarget& peer, std::vector<RepresentationKey> keys,
                   absl::Duration deadline, ProvenancesHandler handler);
  // Ends the link to a peer that is gone.
  void forget(const NodeId& peer);
  // Every read under way ends with kUnavailable; no bytes are handed out any more. Those that were
  // must be let go before the lane ends.
  void stop();

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace roost

#endif  // ROOST_CLUSTER_BULK_CLIENT_H_
