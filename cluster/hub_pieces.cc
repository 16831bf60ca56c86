#include "cluster/hub_pieces.h"

#include <utility>

namespace roost {

std::shared_ptr<DownloadedPiece> HubRoom::take(uint64_t index, size_t bytesMax) {
  {
    const std::lock_guard lock(mutex_);
    if (free_ == 0) {
      wanted_ = true;
      return nullptr;
    }
    --free_;
  }
  auto owned = std::make_unique<DownloadedPiece>();
  owned->index = index;
  owned->bytes.reserve(bytesMax);
  return {owned.release(), [room = shared_from_this()](DownloadedPiece* piece) {
            delete piece;
            room->giveBack();
          }};
}

size_t HubRoom::free() const {
  const std::lock_guard lock(mutex_);
  return free_;
}

void HubRoom::setOnFree(std::function<void()> onFree) {
  const std::lock_guard lock(mutex_);
  onFree_ = std::move(onFree);
}

void HubRoom::giveBack() {
  // Under the lock, so that after setOnFree(null) nobody is called any more.
  const std::lock_guard lock(mutex_);
  ++free_;
  if (std::exchange(wanted_, false) && onFree_) onFree_();
}

}  // namespace roost
