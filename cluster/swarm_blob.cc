#include "cluster/swarm_blob.h"

namespace roost {

SwarmBlob::SwarmBlob(const BlobInfo& blob, std::shared_ptr<const HashTree> tree)
    : blob_(blob), tree_(std::move(tree)) {
  used();
}

SwarmBlob::SwarmBlob(const BlobInfo& blob, std::shared_ptr<const HashTree> tree,
                     std::weak_ptr<const BlobWriter> writer, uint64_t wanted, OnPiece onPiece,
                     Done done)
    : blob_(blob),
      tree_(std::move(tree)),
      writer_(std::move(writer)),
      wanted_(wanted),
      onPiece_(std::move(onPiece)),
      done_(std::move(done)) {
  used();
}

void SwarmBlob::deliver(std::shared_ptr<const DownloadedPiece> piece) {
  const std::lock_guard lock(mutex_);
  if (!done_) return;
  onPiece_(std::move(piece));
  if (--wanted_ > 0) return;
  std::exchange(done_, nullptr)(absl::OkStatus());
  onPiece_ = nullptr;
}

void SwarmBlob::end(const absl::Status& status) {
  const std::lock_guard lock(mutex_);
  onPiece_ = nullptr;
  if (done_) std::exchange(done_, nullptr)(status);
}

bool SwarmBlob::receiving() const {
  const std::lock_guard lock(mutex_);
  return done_ != nullptr;
}

bool SwarmBlob::whole() const {
  const std::lock_guard lock(mutex_);
  return wanted_ == 0;
}

}  // namespace roost
