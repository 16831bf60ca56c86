#include "cluster/advert_log.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "absl/time/time.h"
#include "protocol/limits.h"

namespace roost {
namespace {

constexpr absl::Duration kFollowHeld = absl::Seconds(25);

}  // namespace

std::vector<AdvertChange> AdvertLog::append(Turn& turn, const std::vector<AdvertChange>& changes) {
  std::vector<AdvertChange> applied;
  for (const AdvertChange& given : changes) {
    const AdvertKey key = keyOf(given);
    const bool withdrawn = std::holds_alternative<AdvertKey>(given.what);
    const auto it = latest_.find(key);
    if (it == latest_.end() && withdrawn) continue;  // nobody knows of it
    if (it != latest_.end()) {
      if (given.sequence == 0 && log_.at(it->second).what == given.what) continue;
      log_.erase(it->second);
      tombstones_.erase(it->second);
    }
    head_ = std::max(head_ + 1, given.sequence);
    AdvertChange change = given;
    change.sequence = head_;
    latest_[key] = head_;
    if (withdrawn) tombstones_.insert(head_);
    applied.push_back(change);
    log_.emplace(head_, std::move(change));
  }
  trimTombstones();
  if (applied.empty()) return applied;
  const auto waiting = std::exchange(held_, {});
  for (const auto& [peer, held] : waiting) {
    turn.emit(Respond{peer, held.ask, Reply(page(peer, held.from))});
  }
  return applied;
}

void AdvertLog::trimTombstones() {
  while (tombstones_.size() > kTombstonesMax) {
    const uint64_t oldest = *tombstones_.begin();
    tombstones_.erase(tombstones_.begin());
    const auto it = log_.find(oldest);
    latest_.erase(keyOf(it->second));
    log_.erase(it);
    forgottenUpTo_ = oldest;
  }
}

bool AdvertLog::mustReset(const NodeId& peer, const LogPosition& from) const {
  if (from.logId != logId_ || from.sequence > head_) return true;
  if (from.sequence >= forgottenUpTo_) return false;
  const auto it = snapshotFrom_.find(peer);
  return it == snapshotFrom_.end() || it->second != forgottenUpTo_;
}

FollowReply AdvertLog::page(const NodeId& peer, const LogPosition& from) {
  FollowReply reply;
  reply.reset = mustReset(peer, from);
  const uint64_t start = reply.reset ? 0 : from.sequence;
  if (reply.reset) snapshotFrom_[peer] = forgottenUpTo_;
  auto it = log_.upper_bound(start);
  for (; it != log_.end() && reply.changes.size() < kAdvertPageMax; ++it) {
    reply.changes.push_back(it->second);
  }
  reply.more = it != log_.end();
  reply.next = {logId_, reply.more ? reply.changes.back().sequence : head_};
  return reply;
}

void AdvertLog::follow(Turn& turn, const NodeId& peer, AskId ask, const FollowRequest& request) {
  if (const auto it = held_.find(peer); it != held_.end()) {  // one poll a peer
    turn.emit(Respond{peer, it->second.ask, Reply(FollowReply{false, {}, it->second.from, false})});
    held_.erase(it);
  }
  if (!mustReset(peer, request.from) && request.from.sequence >= head_) {
    held_.emplace(peer, Held{ask, request.from, turn.now() + kFollowHeld});
    return;
  }
  turn.emit(Respond{peer, ask, Reply(page(peer, request.from))});
}

void AdvertLog::linkDown(const NodeId& peer) {
  held_.erase(peer);
  snapshotFrom_.erase(peer);
}

void AdvertLog::tick(Turn& turn) {
  for (auto it = held_.begin(); it != held_.end();) {
    if (it->second.until > turn.now()) {
      ++it;
      continue;
    }
    turn.emit(
        Respond{it->first, it->second.ask, Reply(FollowReply{false, {}, it->second.from, false})});
    it = held_.erase(it);
  }
}

}  // namespace roost
