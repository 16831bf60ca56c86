#include "cluster/wants.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "cluster/rendezvous.h"
#include "protocol/limits.h"

namespace roost {
namespace {

constexpr absl::Duration kEarlyInterval = absl::Milliseconds(150);  // while wanters gather
constexpr int kEarlySends = 4;
constexpr absl::Duration kSourcelessInterval = absl::Milliseconds(300);  // a lease may come
constexpr absl::Duration kHurryInterval = absl::Milliseconds(100);
constexpr absl::Duration kAnswerAwaited = absl::Milliseconds(1'500);  // or the lease would run out
constexpr absl::Duration kUnregisteredMax = absl::Seconds(5);  // then this node registers itself
constexpr absl::Duration kStandInMax = absl::Seconds(20);      // then the registrar is tried again

}  // namespace

void Wants::begin(const BlobId& blob, Wanter* wanter, absl::Time now) {
  Entry entry{};
  entry.wanter = wanter;
  entry.next = now;
  entry.lastGrant = now;
  entries_.insert_or_assign(blob, entry);
  nextDue_ = std::min(nextDue_, now);
}

void Wants::end(const BlobInfo& blob, WantPhase phase) {
  const auto it = entries_.find(blob.id);
  if (it == entries_.end()) return;
  if (it->second.registrar) {
    Want want{blob};
    want.phase = phase;
    ends_.emplace_back(*it->second.registrar, want);
    nextDue_ = absl::InfinitePast();
  }
  entries_.erase(it);
}

void Wants::hurry(const BlobId& blob, absl::Time now) {
  const auto it = entries_.find(blob);
  if (it == entries_.end()) return;
  it->second.next = std::min(it->second.next, std::max(now, it->second.sent + kHurryInterval));
  nextDue_ = std::min(nextDue_, it->second.next);
}

void Wants::membersChanged(absl::Time now) {
  for (auto& [blob, entry] : entries_) {
    if (!entry.registrar || *entry.registrar == rendezvousWinner(blob, members_.usableMembers())) {
      continue;
    }
    entry.next = now;
    entry.inFlight = false;
    nextDue_ = now;
  }
}

void Wants::slept(absl::Time now) {
  for (auto& [blob, entry] : entries_) {
    entry.lastGrant = entry.next = now;
    entry.gaveUp.reset();
    entry.inFlight = false;
  }
  nextDue_ = now;
}

NodeId Wants::registrarOf(const BlobId& blob, Entry& entry, absl::Time now) const {
  const NodeId registrar = rendezvousWinner(blob, members_.usableMembers());
  if (now - entry.lastGrant <= kUnregisteredMax) return registrar;
  if (!entry.gaveUp) entry.gaveUp = {registrar, now};
  const auto& [gaveUp, at] = *entry.gaveUp;
  if (gaveUp == registrar && now - at < kStandInMax) return members_.self().id;
  // Another one has taken its place, or it has had time to come back: it has an answer's time.
  entry.gaveUp.reset();
  entry.lastGrant = now - kUnregisteredMax + kAnswerAwaited;
  return registrar;
}

absl::Duration Wants::interval(const Entry& entry) const {
  if (entry.sends < kEarlySends) return kEarlyInterval;
  return entry.wanter->contented() ? kLeaseRenewal : kSourcelessInterval;
}

void Wants::flush(Turn& turn) {
  if (nextDue_ > turn.now()) return;
  const NodeId self = members_.self().id;
  absl::btree_map<NodeId, std::pair<WantRequest, std::vector<BlobId>>> batches;
  std::vector<BlobId> own;
  for (const auto& [registrar, want] : std::exchange(ends_, {})) {
    if (registrar == self) {
      own_.on(turn.now(), self, want);
    } else if (members_.linked(registrar)) {
      batches[registrar].first.wants.push_back(want);
      batches[registrar].second.push_back(want.blob.id);
    }
  }
  nextDue_ = absl::InfiniteFuture();
  for (auto& [blob, entry] : entries_) {
    const bool waits = entry.inFlight && turn.now() - entry.sent < kAnswerAwaited;
    if (!waits && entry.next <= turn.now()) {
      const NodeId registrar = registrarOf(blob, entry, turn.now());
      entry.registrar = registrar;
      entry.sent = turn.now();
      ++entry.sends;
      entry.next = turn.now() + interval(entry);
      if (registrar == self) {
        own.push_back(blob);
      } else {
        entry.inFlight = true;
        batches[registrar].first.wants.push_back(entry.wanter->want());
        batches[registrar].second.push_back(blob);
      }
    }
    nextDue_ = std::min(nextDue_, entry.next);
  }
  for (auto& [registrar, batch] : batches) {
    auto& [request, blobs] = batch;
    for (size_t from = 0; from < blobs.size(); from += kWantsMax) {
      const size_t to = std::min(from + kWantsMax, blobs.size());
      const auto begin = static_cast<std::ptrdiff_t>(from);
      const auto end = static_cast<std::ptrdiff_t>(to);
      WantRequest page;
      page.wants.assign(request.wants.begin() + begin, request.wants.begin() + end);
      const CallId call = turn.call(registrar, std::move(page), CallPurpose::kWant);
      asked_[call].assign(blobs.begin() + begin, blobs.begin() + end);
    }
  }
  for (const BlobId& blob : own) {
    const Entry& entry = entries_.at(blob);
    const absl::Time lastGrant = entry.lastGrant;
    const auto gaveUp = entry.gaveUp;
    deliver(turn, blob, own_.on(turn.now(), self, entry.wanter->want()), turn.now());
    // Standing in for a registrar that can't be reached doesn't make it reachable.
    const auto it = entries_.find(blob);
    if (it != entries_.end() && rendezvousWinner(blob, members_.usableMembers()) != self) {
      it->second.lastGrant = lastGrant;
      it->second.gaveUp = gaveUp;
    }
  }
}

void Wants::deliver(Turn& turn, const BlobId& blob, const Grant& grant, absl::Time sentAt) {
  const auto it = entries_.find(blob);
  if (it == entries_.end()) return;
  Entry& entry = it->second;
  entry.inFlight = false;
  if (grant.notRegistrar) {
    entry.next = turn.now() + kHurryInterval;
    nextDue_ = std::min(nextDue_, entry.next);
    return;
  }
  entry.lastGrant = turn.now();
  entry.gaveUp.reset();
  entry.wanter->granted(turn, grant, sentAt);
}

void Wants::answered(Turn& turn, CallId call, const PendingCall& pending,
                     const absl::StatusOr<Reply>& reply) {
  const auto it = asked_.find(call);
  if (it == asked_.end()) return;
  const std::vector<BlobId> blobs = std::move(it->second);
  asked_.erase(it);
  const WantReply* answer = reply.ok() ? std::get_if<WantReply>(&*reply) : nullptr;
  for (size_t i = 0; i < blobs.size(); ++i) {
    if (answer != nullptr && i < answer->grants.size()) {
      deliver(turn, blobs[i], answer->grants[i], pending.sentAt);
      continue;
    }
    const auto entry = entries_.find(blobs[i]);
    if (entry == entries_.end()) continue;
    entry->second.inFlight = false;
    entry->second.next = turn.now() + kHurryInterval;
    nextDue_ = std::min(nextDue_, entry->second.next);
  }
}

}  // namespace roost
