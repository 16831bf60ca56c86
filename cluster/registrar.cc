#include "cluster/registrar.h"

#include <algorithm>
#include <tuple>

#include "cluster/rendezvous.h"
#include "protocol/limits.h"

namespace roost {
namespace {

// A wanter that was not heard for so long has gone without saying so (it asks each second).
constexpr absl::Duration kWanterSilent = absl::Seconds(5);
// A candidate for the lease must have asked this recently, or it may never fetch its grant.
constexpr absl::Duration kCandidateFresh = absl::Milliseconds(1'600);
// Wanters of a new blob are collected first, so that the shards of one model spread over them.
constexpr absl::Duration kCollecting = absl::Milliseconds(250);
// Somebody may still hold a lease from the registrar before: wait for its claim.
constexpr absl::Duration kClaimsAwaited = absl::Milliseconds(1'500);
// The same where that registrar was silent for about as long as its leases last: all but those that
// it renewed since its last word to this node are over.
constexpr absl::Duration kLateClaimsAwaited = absl::Milliseconds(500);
constexpr absl::Duration kAdvertGoesRound = absl::Milliseconds(1'500);

}  // namespace

Registrar::Registrar(const Members& members)
    : members_(members), lastFence_(members.self().epoch << 32) {}

WantReply Registrar::on(absl::Time now, const NodeId& from, const WantRequest& request) {
  WantReply reply;
  reply.grants.reserve(std::min(request.wants.size(), kWantsMax));
  for (const Want& want : request.wants) {
    if (reply.grants.size() == kWantsMax) break;
    reply.grants.push_back(on(now, from, want));
  }
  return reply;
}

Grant Registrar::on(absl::Time now, const NodeId& from, const Want& want) {
  Grant grant;
  const NodeId self = members_.self().id;
  if (from != self && rendezvousWinner(want.blob.id, members_.usableMembers()) != self) {
    grant.notRegistrar = true;
    remove(want.blob.id, from);
    return grant;
  }
  if (want.phase != WantPhase::kWanted) {
    remove(want.blob.id, from);
    // It is a holder now, or will be when its advert has gone round.
    if (const auto done = records_.find(want.blob.id);
        want.phase == WantPhase::kDone && done != records_.end()) {
      done->second.grantsFrom = std::max(done->second.grantsFrom, now + kAdvertGoesRound);
    }
    return grant;
  }
  auto it = records_.find(want.blob.id);
  if (it == records_.end()) {
    if (records_.size() >= kWantedBlobsMax) {  // alone, it fetches what holders have
      grant.wanters = {from};
      return grant;
    }
    it = records_.emplace(want.blob.id, Record{}).first;
    Record& record = it->second;
    record.grantsFrom = members_.usableMembers().size() > 1 ? now + kCollecting : now;
    noteMembers();
    record.grantsFrom = std::max(record.grantsFrom, claimsUntil_);
  }
  Record& record = it->second;
  auto wanter = std::find_if(record.wanters.begin(), record.wanters.end(),
                             [&](const Wanter& w) { return w.node == from; });
  if (wanter == record.wanters.end()) {
    wanter = record.wanters.insert(record.wanters.end(), Wanter{from, want, now});
  } else {
    wanter->want = want;
    wanter->seen = now;
  }
  const Wanter asker = *wanter;
  dropSilent(now, record);
  settleLease(now, record, asker);

  if (record.lease) {
    grant.leaseholder = record.lease->holder;
    if (record.lease->holder == from) grant.fence = record.lease->fence;
  }
  const auto at = std::find_if(record.wanters.begin(), record.wanters.end(),
                               [&](const Wanter& w) { return w.node == from; });
  const size_t number = static_cast<size_t>(at - record.wanters.begin());
  const size_t group = number / kStripeWantersMax * kStripeWantersMax;
  const size_t end = std::min(group + kStripeWantersMax, record.wanters.size());
  grant.number = static_cast<uint32_t>(number - group);
  for (size_t i = group; i < end; ++i) {
    grant.wanters.push_back(record.wanters[i].node);
    grant.have.push_back(record.wanters[i].want.have);
  }
  return grant;
}

void Registrar::settleLease(absl::Time now, Record& record, const Wanter& asker) {
  if (record.lease && record.lease->expires <= now) record.lease.reset();
  const uint64_t held = asker.want.heldFence;
  if (held != 0 && (!record.lease || held > record.lease->fence)) {
    // Granted by the registrar before this one: it goes on.
    record.lease = Lease{asker.node, held, now + kLeaseDuration};
    lastFence_ = std::max(lastFence_, held);
    return;
  }
  if (record.lease && record.lease->holder == asker.node) {
    const bool wantsIt = held == record.lease->fence ||
                         (held == 0 && asker.want.canUseHub && !asker.want.peersHaveIt);
    if (wantsIt) {
      record.lease->expires = now + kLeaseDuration;
      return;
    }
    record.lease.reset();
  }
  if (record.lease || !mayGrant(now, record)) return;
  const Wanter* best = candidate(now, record);
  if (best == nullptr || best->node != asker.node) return;
  record.lease = Lease{asker.node, ++lastFence_, now + kLeaseDuration};
}

void Registrar::noteMembers() {
  if (members_.usableSince() == membersSince_) return;
  membersSince_ = members_.usableSince();
  const std::vector<NodeId>& usable = members_.usableMembers();
  const auto onlySuspected = [&](const NodeId& id) {
    return std::binary_search(usable.begin(), usable.end(), id) || members_.linked(id);
  };
  const bool late =
      std::all_of(usableBefore_.begin(), usableBefore_.end(), onlySuspected) &&
      std::includes(usableBefore_.begin(), usableBefore_.end(), usable.begin(), usable.end());
  usableBefore_ = usable;
  const absl::Time until = membersSince_ + (late ? kLateClaimsAwaited : kClaimsAwaited);
  claimsUntil_ = std::max(claimsUntil_, until);
}

bool Registrar::mayGrant(absl::Time now, const Record& record) const {
  if (now < record.grantsFrom) return false;
  return std::none_of(record.wanters.begin(), record.wanters.end(),
                      [](const Wanter& wanter) { return wanter.want.peersHaveIt; });
}

const Registrar::Wanter* Registrar::candidate(absl::Time now, const Record& record) {
  const Wanter* best = nullptr;
  const auto rank = [](const Wanter& wanter) {
    return std::tuple(wanter.want.prefixBytes, rendezvousWeight(wanter.want.blob.id, wanter.node));
  };
  for (const Wanter& wanter : record.wanters) {
    if (!wanter.want.canUseHub || now - wanter.seen > kCandidateFresh) continue;
    if (best == nullptr || rank(wanter) > rank(*best)) best = &wanter;
  }
  return best;
}

// Who let its lease run out hangs or is gone: what the others ask it for would only make them wait.
void Registrar::dropSilent(absl::Time now, Record& record) {
  std::erase_if(record.wanters, [&](const Wanter& wanter) {
    const absl::Duration silent = now - wanter.seen;
    const bool leads = record.lease && record.lease->holder == wanter.node;
    return silent > kWanterSilent || (leads && silent >= kLeaseDuration);
  });
}

void Registrar::remove(const BlobId& blob, const NodeId& node) {
  const auto it = records_.find(blob);
  if (it == records_.end()) return;
  Record& record = it->second;
  std::erase_if(record.wanters, [&](const Wanter& wanter) { return wanter.node == node; });
  if (record.lease && record.lease->holder == node) record.lease.reset();
  if (record.wanters.empty()) records_.erase(it);
}

void Registrar::memberGone(const NodeId& node) {
  std::vector<BlobId> blobs;
  for (const auto& [blob, record] : records_) blobs.push_back(blob);
  for (const BlobId& blob : blobs) remove(blob, node);
}

void Registrar::slept(absl::Time now) {
  claimsUntil_ = std::max(claimsUntil_, now + kClaimsAwaited);
  for (auto& [blob, record] : records_) {
    record.lease.reset();
    record.grantsFrom = std::max(record.grantsFrom, claimsUntil_);
  }
}

void Registrar::tick(absl::Time now) {
  noteMembers();
  for (auto it = records_.begin(); it != records_.end();) {
    const auto current = it++;
    dropSilent(now, current->second);
    if (current->second.wanters.empty()) records_.erase(current);
  }
}

bool Registrar::leases() const {
  return std::any_of(records_.begin(), records_.end(),
                     [](const auto& record) { return record.second.lease.has_value(); });
}

}  // namespace roost
