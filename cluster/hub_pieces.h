// Downloaded pieces and the room they take: a fixed number of pieces may be in memory at once,
// being filled or waiting to be written. A piece gives its room back when its last owner drops it,
// on whatever thread that is.
//
// Threads: any.
#ifndef ROOST_CLUSTER_HUB_PIECES_H_
#define ROOST_CLUSTER_HUB_PIECES_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "absl/types/span.h"

namespace roost {

struct DownloadedPiece {
  uint64_t index = 0;
  std::string bytes;  // kPieceBytes, or less at the end of the blob

  absl::Span<const uint8_t> span() const {
    return {reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()};
  }
};

class HubRoom : public std::enable_shared_from_this<HubRoom> {
 public:
  explicit HubRoom(size_t piecesMax) : free_(piecesMax) {}

  // Null if there is no room; then `onFree` is called once, when there is some again, on the thread
  // that gave it back.
  std::shared_ptr<DownloadedPiece> take(uint64_t index, size_t bytesMax);
  size_t free() const;
  void setOnFree(std::function<void()> onFree);  // null: nobody listens any more

 private:
  void giveBack();

  mutable std::mutex mutex_;
  size_t free_;
  bool wanted_ = false;
  std::function<void()> onFree_;
};

}  // namespace roost

#endif  // ROOST_CLUSTER_HUB_PIECES_H_
