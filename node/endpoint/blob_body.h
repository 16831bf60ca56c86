// The bytes of a blob as the body of an answer: of a file that is here, by sendfile, or of one that
// is still arriving, in order, as the pieces come.
//
// Nothing completes a body before the whole file is known to be right: the last 64 KiB of what is
// there are held back until then, and given out a byte at a time while nothing else can be sent.
// What was sent of an arriving blob is compared, piece by piece, with the verified file at the end.
// If it was something else, the blob is marked as poisoned for resumed downloads, and only then the
// body ends early, which the client sees as an error.
//
// Threads: made on `loop`; send() on the connection's lane. Errors of send(): the connection is to
// be cut.
#ifndef ROOST_NODE_ENDPOINT_BLOB_BODY_H_
#define ROOST_NODE_ENDPOINT_BLOB_BODY_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cache/blob_writer.h"
#include "cache/local_blob.h"
#include "cache/piece_hash.h"
#include "cache/work_pool.h"
#include "node/endpoint/http_values.h"

namespace roost {

// [first, end) of a blob; end <= size.
struct BlobPart {
  BlobInfo blob;
  uint64_t first = 0;
  uint64_t end = 0;
};

// What a body asks of the agent; callable on any thread, called back on any, once or never. The
// last one to let go of it ends the reading.
class BlobReading {
 public:
  virtual ~BlobReading() = default;
  // The writer that has the piece, null if the whole blob is published, or why it cannot be had.
  // Waits as long as there is hope.
  using Piece = absl::StatusOr<std::shared_ptr<const BlobWriter>>;
  virtual void piece(uint64_t piece, std::function<void(Piece)> done) = 0;
  // Ok once the whole is verified, whether it was arriving or lay here unhashed: the writer that
  // has all of it, null if it is published.
  virtual void verified(std::function<void(Piece)> done) = 0;
  // The pieces that it was given have been forgotten since, and come anew. From any thread; known
  // before verified() calls back.
  virtual bool begunAgain() const { return false; }
  // The hashes of its pieces, by a node that has verified the whole; null if none says them.
  using PieceList = std::shared_ptr<const std::vector<PieceHash>>;
  virtual void pieceList(std::function<void(PieceList)> done) = 0;
  // The published file; null if there is none any more.
  virtual void open(std::function<void(std::shared_ptr<const LocalBlob>)> done) = 0;
  // Wrong bytes were sent: what a client has of it must not be continued. Calls back when that is
  // on the disk.
  virtual void poison(std::function<void()> done) = 0;
  // A copy that was found bad while it was served.
  virtual void foundBad(const absl::Status& why) = 0;
};

std::shared_ptr<BodyStream> localBody(BlobPart part, std::shared_ptr<const LocalBlob> file,
                                      bool isVerified, std::shared_ptr<BlobReading> reading,
                                      WorkPool& pool);
std::shared_ptr<BodyStream> arrivingBody(BlobPart part, std::shared_ptr<BlobReading> reading,
                                         WorkPool& pool);

// A part that does not reach the end, of a blob that is not whole here, checked piece by piece
// against the list.
std::shared_ptr<BodyStream> innerBody(BlobPart part, std::shared_ptr<BlobReading> reading,
                                      BlobReading::PieceList list, WorkPool& pool);
// True if the writer has that piece and it is the right one.
boost::asio::awaitable<bool> hasRightPiece(std::shared_ptr<const BlobWriter> writer, uint64_t piece,
                                           BlobReading::PieceList list, WorkPool& pool);

}  // namespace roost

#endif  // ROOST_NODE_ENDPOINT_BLOB_BODY_H_
