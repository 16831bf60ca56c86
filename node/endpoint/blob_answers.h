// Blobs as answers to clients, whoever names them: the range that is asked for, and a body from a
// copy that is here, or of one that is fetched while it is sent (blob_body.h).
//
// Threads: `loop`. Everything given must outlive this.
#ifndef ROOST_NODE_ENDPOINT_BLOB_ANSWERS_H_
#define ROOST_NODE_ENDPOINT_BLOB_ANSWERS_H_

#include <boost/asio/awaitable.hpp>
#include <functional>
#include <memory>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cluster/core.h"
#include "node/endpoint/blob_readings.h"
#include "node/endpoint/byte_range.h"
#include "node/endpoint/endpoint_metrics.h"
#include "node/endpoint/http_values.h"
#include "node/folders.h"
#include "node/loop_timers.h"

namespace roost {

class BlobAnswers {
 public:
  struct Seams {
    WorkPool& pool;
    Folders& folders;
    BlobReadings& readings;
    LoopTimers& timers;
    EndpointMetrics& metrics;
  };
  using Stream = absl::StatusOr<std::shared_ptr<BodyStream>>;

  explicit BlobAnswers(Seams seams) : s_(seams) {}

  // What the request asks of a blob that clients know by this ETag (without quotes); status, length
  // and Content-Range are put into the answer.
  ByteRange rangeOf(const HttpAsk& ask, const BlobInfo& blob, absl::string_view etag,
                    HttpAnswer& answer) const;
  // A body from a copy on this node; null if there is none. The part is not empty.
  boost::asio::awaitable<std::shared_ptr<BodyStream>> fromHere(BlobPart part);
  // A body of a blob that is fetched to the site, whose folder is known to be writable. An error
  // says why it cannot be had, or not in time (kDeadlineExceeded); kDataLoss: what every source
  // sends is something else. What was fetched until then is not thrown away at once.
  boost::asio::awaitable<Stream> arriving(BlobPart part, BlobSite site);

  // A part that does not reach the end, and is no question for the size.
  static bool isInner(const BlobPart& part);

 private:
  boost::asio::awaitable<void> streaming(BlobId blob);
  boost::asio::awaitable<absl::Status> verified(std::shared_ptr<BlobReading> reading,
                                                absl::Duration patience);
  boost::asio::awaitable<BlobReading::Piece> pieceWithin(std::shared_ptr<BlobReading> reading,
                                                         uint64_t piece, absl::Duration patience);
  boost::asio::awaitable<BlobReading::PieceList> pieceList(std::shared_ptr<BlobReading> reading);
  boost::asio::awaitable<Stream> innerPart(BlobPart part, std::shared_ptr<BlobReading> reading);
  boost::asio::awaitable<std::shared_ptr<BodyStream>> verifiedPart(
      BlobPart part, std::shared_ptr<BlobReading> reading);
  void after(absl::Duration patience, std::function<void(absl::Status)> done);
  void linger(std::shared_ptr<BlobReading> reading, absl::Duration time);

  Seams s_;
};

}  // namespace roost

#endif  // ROOST_NODE_ENDPOINT_BLOB_ANSWERS_H_
