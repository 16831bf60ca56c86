// What of one blob is still to be downloaded, and how the bytes of an answer become pieces.
// Decisions only, no I/O.
//
// Threads: hub thread.
#ifndef ROOST_CLUSTER_HUB_PLAN_H_
#define ROOST_CLUSTER_HUB_PLAN_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cluster/http_client.h"
#include "cluster/hub_errors.h"
#include "cluster/hub_pieces.h"
#include "protocol/blob_id.h"

namespace roost {

// Contiguous bytes [next, end) that one connection gets, with the piece it is in the middle of.
struct HubStretch {
  uint64_t next = 0;
  uint64_t end = 0;
  std::shared_ptr<DownloadedPiece> partial;
};

class HubPlan {
 public:
  // `pieces` ascending, each within the blob. Towards the end the ranges become smaller, so that
  // `connections` of them end together.
  HubPlan(uint64_t size, const std::vector<uint64_t>& pieces, uint64_t rangeBytes, int connections);

  bool done() const { return outstanding_ == 0; }
  bool hasWork() const { return !todo_.empty() && todo_.front().next < limit_; }
  HubStretch take();                               // hasWork()
  void giveBack(HubStretch&& stretch);             // what is left of it is next
  static void forgetPartial(HubStretch& stretch);  // back to the start of the piece
  bool cutShort(HubStretch& stretch);              // to its present piece; true if there was more
  void restartWhole();  // the server has no ranges: one stretch from the start
  // Nothing is taken from this piece on until a later call allows it.
  void setLimit(uint64_t piece);
  void setRange(uint64_t bytes);  // of what is taken at once; whole pieces
  bool whole(const HubStretch& stretch) const { return stretch.next == 0 && stretch.end == size_; }

  // Takes bytes that stand at stretch.next, completes pieces and hands them to `deliver`. Returns
  // how many bytes it took: fewer than given if there is no room for the next piece.
  size_t feed(HubStretch& stretch, absl::string_view bytes, HubRoom& room,
              const std::function<void(std::shared_ptr<DownloadedPiece>)>& deliver);

 private:
  uint64_t pieceEnd(uint64_t offset) const;
  uint64_t rangeNow() const;

  uint64_t size_;
  uint64_t limit_ = UINT64_MAX;  // bytes
  uint64_t rangeBytes_;
  uint64_t connections_;
  std::vector<bool> missing_;
  uint64_t outstanding_ = 0;
  std::deque<HubStretch> todo_;  // ascending
};

// What an answer's head means for the bytes that were asked for.
enum class HubAnswer {
  kRange,   // 206 with bytes from where we asked
  kWhole,   // 200: the file from its start
  kStatus,  // something else: its status decides
};
// kDataLoss if the answer shows that the hub's file is not this blob; kUnavailable if it is not
// what was asked for.
absl::StatusOr<HubAnswer> judgeAnswer(const HttpHead& head, const HubStretch& asked,
                                      const BlobInfo& blob, const HubSubject& subject);

// What the hub says of the file on its answer to HEAD, against what the blob is.
absl::Status judgeMetadata(const std::string* etag, const std::string* size, const BlobInfo& blob,
                           const HubSubject& subject);

}  // namespace roost

#endif  // ROOST_CLUSTER_HUB_PLAN_H_
