// Values of representations from other nodes: small ones many in a round trip, large ones piece by
// piece from all holders. What a holder sends counts if it has the hash that was claimed, and a
// provenance if it has the key; otherwise the next holder is asked.
//
// Threads: `loop`. Memory: what is asked for, and at most kWindow answers a holder on their way.
#ifndef ROOST_NODE_REPRESENTATION_PEERS_H_
#define ROOST_NODE_REPRESENTATION_PEERS_H_

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cache/representation_files.h"
#include "cluster/transfers.h"
#include "node/loop_timers.h"
#include "node/loop_work.h"

namespace roost {

struct WantedRepresentation {
  RepresentationKey key;
  RepresentationClaim claim;
  std::vector<NodeId> holders;  // in the order in which they are asked
};

class RepresentationPeers {
 public:
  struct Seams {
    std::shared_ptr<LoopWork> work;
    LoopTimers& timers;
    std::vector<BulkLane> lanes;
    std::function<std::vector<Address>(const NodeId&)> addressesOf;
  };
  explicit RepresentationPeers(Seams seams) : s_(std::move(seams)) {}

  // Of at most kInlineBlobBytesMax each; in order, null for what nobody could give.
  using Value = std::shared_ptr<const std::string>;
  boost::asio::awaitable<std::vector<Value>> small(std::vector<WantedRepresentation> wanted);
  // In order, null likewise.
  using ProvenancePtr = std::shared_ptr<const Provenance>;
  boost::asio::awaitable<std::vector<ProvenancePtr>> provenances(
      std::vector<WantedRepresentation> wanted);
  // A value of any size into a new writer, each piece from the next of these holders.
  // kDataLoss: one of them sent something else than was claimed.
  using Writer = std::shared_ptr<RepresentationWriter>;
  boost::asio::awaitable<absl::StatusOr<BlobHashes>> large(RepresentationClaim claim,
                                                           std::vector<NodeId> holders,
                                                           Writer writer);

 private:
  struct SmallRound;
  struct Pieces;
  using SmallAnswers = absl::StatusOr<std::vector<ReadAnswer>>;
  boost::asio::awaitable<SmallAnswers> askSmall(NodeId holder, std::vector<BlobId> ids);
  boost::asio::awaitable<void> takeSlices(std::shared_ptr<SmallRound> round, NodeId holder);
  boost::asio::awaitable<absl::StatusOr<ReadAnswer>> askPiece(NodeId holder, BlobInfo blob,
                                                              uint64_t piece);
  boost::asio::awaitable<void> takePiece(std::shared_ptr<Pieces> pieces, BlobInfo blob,
                                         uint64_t piece);
  const BulkLane& laneOf(const NodeId& holder) const;

  Seams s_;
};

}  // namespace roost

#endif  // ROOST_NODE_REPRESENTATION_PEERS_H_
