#include "cache/verify_queue.h"

namespace roost {

void VerifyQueue::put(CopyId copy, VerifyUrgency urgency, uint64_t bytes) {
  remove(copy);
  const bool counted = urgency != VerifyUrgency::kRecheck;
  entries_.emplace(copy, Entry{urgency, bytes, /*waiting=*/true, counted});
  order_.emplace(urgency, bytes, copy);
  if (counted) {
    if (bytesLeft_ == 0) bytesTotal_ = 0;
    bytesLeft_ += bytes;
    bytesTotal_ += bytes;
  }
}

void VerifyQueue::request(CopyId copy) {
  const auto found = entries_.find(copy);
  if (found == entries_.end() || !found->second.waiting) return;
  Entry& entry = found->second;
  order_.erase({entry.urgency, entry.bytes, copy});
  entry.urgency = VerifyUrgency::kRequested;
  order_.emplace(entry.urgency, entry.bytes, copy);
}

void VerifyQueue::remove(CopyId copy) {
  if (const auto found = entries_.find(copy); found != entries_.end()) {
    if (found->second.counted) bytesTotal_ -= found->second.bytes;
    forget(found);
  }
}

std::optional<CopyId> VerifyQueue::next() {
  if (order_.empty()) return std::nullopt;
  const CopyId copy = std::get<CopyId>(*order_.begin());
  order_.erase(order_.begin());
  entries_.find(copy)->second.waiting = false;
  return copy;
}

void VerifyQueue::done(CopyId copy) {
  if (const auto found = entries_.find(copy); found != entries_.end()) forget(found);
}

void VerifyQueue::forget(absl::flat_hash_map<CopyId, Entry>::iterator entry) {
  if (entry->second.waiting) {
    order_.erase({entry->second.urgency, entry->second.bytes, entry->first});
  }
  if (entry->second.counted) bytesLeft_ -= entry->second.bytes;
  entries_.erase(entry);
}

}  // namespace roost
