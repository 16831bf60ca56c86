#include "cache/verify_queue.h"

namespace roost {
namespace {

// What is to wait longer has its time from a clock that is ahead.
constexpr absl::Duration kLongestWait = absl::Seconds(10);

}  // namespace

void VerifyQueue::line(CopyId copy, const Entry& entry) {
  if (entry.from == absl::InfinitePast()) {
    order_.emplace(entry.urgency, entry.bytes, copy);
  } else {
    later_.emplace(entry.from, copy);
  }
}

void VerifyQueue::unline(CopyId copy, const Entry& entry) {
  order_.erase({entry.urgency, entry.bytes, copy});
  later_.erase({entry.from, copy});
}

void VerifyQueue::release(CopyId copy, Entry& entry, VerifyUrgency urgency) {
  unline(copy, entry);
  entry.urgency = urgency;
  entry.from = absl::InfinitePast();
  line(copy, entry);
}

void VerifyQueue::put(CopyId copy, VerifyUrgency urgency, uint64_t bytes, absl::Time from) {
  remove(copy);
  const bool counted = urgency != VerifyUrgency::kRecheck;
  const Entry entry{urgency, bytes, from, /*waiting=*/true, counted};
  entries_.emplace(copy, entry);
  line(copy, entry);
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
  release(copy, entry, VerifyUrgency::kRequested);
}

void VerifyQueue::remove(CopyId copy) {
  if (const auto found = entries_.find(copy); found != entries_.end()) {
    if (found->second.counted) bytesTotal_ -= found->second.bytes;
    forget(found);
  }
}

std::optional<CopyId> VerifyQueue::next(absl::Time now) {
  const auto releaseDue = [this](CopyId due) {
    Entry& entry = entries_.find(due)->second;
    release(due, entry, entry.urgency);
  };
  while (!later_.empty() && later_.begin()->first <= now) releaseDue(later_.begin()->second);
  while (!later_.empty() && later_.rbegin()->first > now + kLongestWait) {
    releaseDue(later_.rbegin()->second);
  }
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
  if (entry->second.waiting) unline(entry->first, entry->second);
  if (entry->second.counted) bytesLeft_ -= entry->second.bytes;
  entries_.erase(entry);
}

}  // namespace roost
