#include "cluster/swarm_blob.h"

#include <algorithm>

namespace roost {

SwarmBlob::SwarmBlob(const BlobInfo& blob, std::shared_ptr<const HashTree> tree)
    : blob_(blob), tree_(std::move(tree)) {
  used();
}

SwarmBlob::SwarmBlob(const BlobInfo& blob, std::shared_ptr<const HashTree> tree,
                     std::weak_ptr<const BlobWriter> writer, std::vector<bool> here,
                     OnPiece onPiece, OnSeen onSeen, Done done)
    : blob_(blob),
      tree_(std::move(tree)),
      writer_(std::move(writer)),
      here_(std::move(here)),
      kept_(here_.size()),
      wanted_(static_cast<uint64_t>(std::count(here_.begin(), here_.end(), false))),
      onPiece_(std::move(onPiece)),
      onSeen_(std::move(onSeen)),
      done_(std::move(done)) {
  used();
}

void SwarmBlob::deliver(std::shared_ptr<const DownloadedPiece> piece) {
  const std::lock_guard lock(mutex_);
  if (!done_ || here_[piece->index]) return;
  here_[piece->index] = true;
  onPiece_(std::move(piece));
  if (--wanted_ == 0) endLocked(absl::OkStatus());
}

bool SwarmBlob::keep(uint64_t piece) {
  const std::lock_guard lock(mutex_);
  if (piece >= here_.size() || here_[piece]) return false;
  here_[piece] = kept_[piece] = true;
  if (--wanted_ == 0) endLocked(absl::OkStatus());
  return true;
}

bool SwarmBlob::kept(uint64_t piece) const {
  const std::lock_guard lock(mutex_);
  return piece < kept_.size() && kept_[piece];
}

void SwarmBlob::see(std::vector<bool> pieces) {
  const std::lock_guard lock(mutex_);
  if (!onSeen_ || pieces == seen_) return;
  seen_ = pieces;
  onSeen_(std::move(pieces));
}

void SwarmBlob::setPace(std::shared_ptr<RateLimit> pace) {
  const std::lock_guard lock(mutex_);
  pace_ = std::move(pace);
}

std::shared_ptr<RateLimit> SwarmBlob::pace() const {
  const std::lock_guard lock(mutex_);
  return pace_;
}

void SwarmBlob::end(const absl::Status& status) {
  const std::lock_guard lock(mutex_);
  endLocked(status);
}

void SwarmBlob::endLocked(const absl::Status& status) {
  onPiece_ = nullptr;
  onSeen_ = nullptr;
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
