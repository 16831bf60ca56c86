#include "cluster/follower.h"

#include <variant>

#include "absl/strings/str_cat.h"
#include "protocol/limits.h"

namespace roost {
namespace {

// An answer without news that comes sooner is not a long poll: don't spin on it.
constexpr absl::Duration kAskPeriodMin = absl::Seconds(1);

}  // namespace

void Follower::restored(Turn& turn, const CatalogRestored& event) {
  Peer& peer = peers_[event.peer];
  peer.position = event.position;
  catalog_.apply(turn, event.peer, true, event.changes);
}

void Follower::linkUp(Turn& turn, const NodeId& id) {
  Peer& peer = peers_[id];
  peer.linked = true;
  peer.caughtUp = false;
  ++peer.link;
  ask(turn, id, peer);
}

void Follower::linkDown(const NodeId& id) {
  const auto it = peers_.find(id);
  if (it == peers_.end()) return;
  it->second.linked = false;
  it->second.askAgainAt = absl::InfiniteFuture();
}

void Follower::ask(Turn& turn, const NodeId& id, Peer& peer) {
  peer.askedAt = turn.now();
  peer.askAgainAt = absl::InfiniteFuture();
  turn.call(id, FollowRequest{peer.position}, CallPurpose::kFollow, peer.link);
}

std::string Follower::fault(const Peer& peer, const FollowReply& reply, size_t adverts) {
  if (reply.changes.size() > kAdvertPageMax) return "a page is too long";
  if (adverts + reply.changes.size() > kAdvertsPerNodeMax) return "too many adverts";
  uint64_t last = reply.reset ? 0 : peer.position.sequence;
  for (const AdvertChange& change : reply.changes) {
    if (change.sequence <= last) return "sequence numbers don't ascend";
    last = change.sequence;
  }
  if (reply.next.sequence < last) return "its position goes back";
  if (!reply.reset && reply.next.logId != peer.position.logId) return "another log without a reset";
  // A page may be empty because it has only kinds that this version does not know.
  if (reply.more && reply.next.sequence <= (reply.reset ? 0 : peer.position.sequence)) {
    return "a page that promises more and does not go on";
  }
  return "";
}

bool Follower::answered(Turn& turn, const NodeId& id, uint64_t link,
                        const absl::StatusOr<Reply>& reply) {
  const auto it = peers_.find(id);
  if (it == peers_.end() || !it->second.linked || it->second.link != link) return false;
  Peer& peer = it->second;
  const FollowReply* page = reply.ok() ? std::get_if<FollowReply>(&*reply) : nullptr;
  if (page == nullptr) {
    peer.askAgainAt = turn.now() + kAskPeriodMin;
    return false;
  }
  const std::string wrong = fault(peer, *page, page->reset ? 0 : catalog_.advertsOf(id));
  if (!wrong.empty()) {
    turn.warn(absl::StrCat("the adverts of ", id.shortHex(), " make no sense: ", wrong,
                           ". Its link is closed"));
    turn.emit(Hangup{id, wrong});
    return false;
  }
  const bool news = page->reset || !page->changes.empty();
  if (news) {
    catalog_.apply(turn, id, page->reset, page->changes);
    turn.emit(SaveCatalog{id, page->reset, page->changes, page->next});
  }
  peer.position = page->next;
  if (!page->more) peer.caughtUp = true;
  if (news || page->more || turn.now() - peer.askedAt >= kAskPeriodMin) {
    ask(turn, id, peer);
  } else {
    peer.askAgainAt = turn.now() + kAskPeriodMin;
  }
  return news;
}

void Follower::tick(Turn& turn) {
  for (auto& [id, peer] : peers_) {
    if (peer.linked && peer.askAgainAt <= turn.now()) ask(turn, id, peer);
  }
}

bool Follower::caughtUp(absl::Time now) const {
  for (const auto& [id, peer] : peers_) {
    // A poll that is being held means that there is nothing new.
    if (peer.linked && !peer.caughtUp && now - peer.askedAt < kAskPeriodMin) return false;
  }
  return true;
}

}  // namespace roost
