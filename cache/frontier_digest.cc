#include "cache/frontier_digest.h"

namespace roost {

FrontierDigest::FrontierDigest(const BlobInfo& blob)
    : blob_(blob), digest_(blob.id.algorithm(), blob.size) {}

bool FrontierDigest::offer(uint64_t piece, absl::Span<const uint8_t> bytes, uint64_t attempt) {
  const std::lock_guard lock(mutex_);
  if (attempt != attempt_ || piece < frontier_) return false;
  if (piece > frontier_) {
    early_.insert(piece);
    return false;
  }
  early_.erase(piece);
  digest_.update(bytes);
  ++frontier_;
  return early_.contains(frontier_);
}

std::optional<uint64_t> FrontierDigest::nextEarly() const {
  const std::lock_guard lock(mutex_);
  if (!early_.contains(frontier_)) return std::nullopt;
  return frontier_.load();
}

const BlobDigest::Result& FrontierDigest::finish() {
  const std::lock_guard lock(mutex_);
  if (!result_) result_ = digest_.finish();
  return *result_;
}

void FrontierDigest::restart() {
  const std::lock_guard lock(mutex_);
  digest_ = BlobDigest(blob_.id.algorithm(), blob_.size);
  result_.reset();
  early_.clear();
  frontier_ = 0;
  ++attempt_;
}

}  // namespace roost
