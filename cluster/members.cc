#include "cluster/members.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "absl/random/distributions.h"
#include "absl/strings/str_cat.h"
#include "protocol/limits.h"

namespace roost {
namespace {

constexpr absl::Duration kDialBackoffMin = absl::Milliseconds(200);
constexpr absl::Duration kDialBackoffMax = absl::Seconds(30);
constexpr absl::Duration kDialTimeout = absl::Seconds(30);    // an unanswered Dial counts as failed
constexpr absl::Duration kOtherSideDials = absl::Seconds(1);  // head start of who dials first
constexpr absl::Duration kExchangePeriod = absl::Seconds(10);
constexpr size_t kLinksAskedAtOnce = 8;  // later links bring few new members
constexpr absl::Duration kForgetUnreached = absl::Minutes(10);
constexpr absl::Duration kForgetGone = absl::Hours(24);
constexpr absl::Duration kAcquaintMax = absl::Seconds(2);  // a seed that is there links far sooner
constexpr absl::Duration kNewsPeriodMin = absl::Milliseconds(250);

// Rates and free space move all the time; the rest is news.
bool isNews(const NodeSummary& before, const NodeSummary& now) {
  const auto lasting = [](const NodeSummary& s) {
    return std::tie(s.state, s.blobs, s.heldBytes, s.savedBytes, s.problems, s.stores);
  };
  // A pause that the hub asks for, or makes longer; that it runs out is none.
  return lasting(before) != lasting(now) || now.hubRest > before.hubRest;
}

}  // namespace

Members::Members(MemberInfo self, const std::vector<Address>& seeds, absl::BitGenRef random)
    : self_(std::move(self)), random_(random) {
  addSeeds(seeds, absl::InfinitePast());
  usable_.push_back(self_.id);
}

void Members::addSeeds(const std::vector<Address>& seeds, absl::Time now) {
  for (const Address& seed : seeds) {
    if (targets_.size() >= kMembersMax * 4) return;
    DialTarget target;
    target.next = now;
    target.since = absl::InfiniteFuture();
    targets_.emplace(seed, target).first->second.seed = true;
  }
}

absl::Duration Members::period(bool busy) const {
  if (busy) return kHeartbeatPeriodMin;
  return std::max(kHeartbeatPeriodMin,
                  kHeartbeatPerMember * static_cast<int64_t>(peers_.size() + 1));
}

absl::Duration Members::jittered(absl::Duration duration) {
  return duration * absl::Uniform(random_, 0.5, 1.5);
}

LinkVerdict Members::judge(const MemberInfo& peer, bool dialled) const {
  if (peer.id == self_.id) {
    return peer.epoch == self_.epoch && peer.addresses == self_.addresses ? LinkVerdict::kSelf
                                                                          : LinkVerdict::kClone;
  }
  const auto it = peers_.find(peer.id);
  if (it == peers_.end()) {
    return peers_.size() >= kMembersMax ? LinkVerdict::kFull : LinkVerdict::kAccept;
  }
  const Peer& known = it->second;
  if (peer.epoch < known.info.epoch) return LinkVerdict::kStale;
  if (!known.linked) return LinkVerdict::kAccept;
  if (peer.epoch > known.info.epoch) return LinkVerdict::kReplace;
  if (!peer.addresses.empty() && !known.info.addresses.empty() &&
      peer.addresses != known.info.addresses) {
    return LinkVerdict::kClone;
  }
  // Both dialled at once: both sides keep the link that the smaller id dialled.
  const bool dialledBySmaller = dialled == (self_.id < peer.id);
  const bool knownBySmaller = known.dialledByUs == (self_.id < peer.id);
  if (dialledBySmaller == knownBySmaller) return LinkVerdict::kReplace;  // the old one is dead
  return dialledBySmaller ? LinkVerdict::kReplace : LinkVerdict::kDuplicate;
}

bool Members::linkUp(Turn& turn, const LinkUp& event) {
  const NodeId id = event.peer.id;
  const bool dialled = event.dialled.has_value();
  const LinkVerdict verdict = judge(event.peer, dialled);
  if (verdict != LinkVerdict::kAccept && verdict != LinkVerdict::kReplace) {
    if (verdict == LinkVerdict::kClone) {
      turn.warn(absl::StrCat(
          "node ", id.hex(), " (", event.peer.name, ") is started twice with the same identity, ",
          "here and at another address: a copied state folder. Remove the copy's node id"));
    }
    turn.emit(Hangup{id, "this node's identity or epoch does not fit what is known of it"});
    return false;
  }
  Peer& peer = peers_.try_emplace(id, Peer{event.peer}).first->second;
  if (!peer.linked) ++linkedCount_;
  const bool sameProcess = peer.info.instance == event.peer.instance;
  std::vector<StoreId> stores = sameProcess ? peer.info.stores : event.peer.stores;
  peer.info = event.peer;
  peer.info.stores = std::move(stores);  // it may have more of them since its start
  if (peer.info.addresses.size() > kAddressesMax) {
    peer.info.addresses.erase(peer.info.addresses.begin() + kAddressesMax,
                              peer.info.addresses.end());
  }
  if (peer.info.addresses.empty() && dialled) peer.info.addresses.push_back(*event.dialled);
  peer.linked = true;
  peer.dialledByUs = dialled;
  peer.heard = peer.exchanged = turn.now();
  peer.calling = peer.suspected = peer.gone = false;
  for (const Address& address : peer.info.addresses) {
    addTarget(address, id, absl::InfiniteFuture());
  }
  if (dialled) addTarget(*event.dialled, id, absl::InfiniteFuture());
  refreshUsable(turn.now());
  beat(turn, id, peer);
  if (linkedCount_ <= kLinksAskedAtOnce) turn.call(id, MembersRequest{}, CallPurpose::kMembers);
  return true;
}

void Members::setSummary(Turn& turn, const NodeSummary& summary) {
  news_ |= isNews(summary_, summary);
  summary_ = summary;
  self_.stores = summary.stores;
  if (!news_) return;
  news_ = false;
  for (auto& [id, peer] : peers_) {
    if (!peer.linked) continue;
    if (peer.calling || turn.now() - peer.exchanged < std::max(kNewsPeriodMin, period(false) / 4)) {
      news_ = true;  // with the next summary
      continue;
    }
    beat(turn, id, peer);
  }
}

void Members::beat(Turn& turn, const NodeId& id, Peer& peer) {
  peer.calling = true;
  turn.call(id, HeartbeatRequest{summary_}, CallPurpose::kHeartbeat);
}

bool Members::acquainted(absl::Time now) const {
  if (startedAt_ == absl::InfinitePast()) return targets_.empty();
  if (now - startedAt_ >= kAcquaintMax) return true;
  return std::all_of(targets_.begin(), targets_.end(), [&](const auto& entry) {
    const DialTarget& target = entry.second;
    if (!target.seed || target.failures > 0) return true;
    return target.node && (*target.node == self_.id || linked(*target.node));
  });
}

void Members::linkDown(Turn& turn, const NodeId& id) {
  const auto it = peers_.find(id);
  if (it == peers_.end() || !it->second.linked) return;
  Peer& peer = it->second;
  peer.linked = peer.calling = peer.suspected = false;
  peer.downSince = turn.now();
  --linkedCount_;
  refreshUsable(turn.now());
  redialSoon(id, peer, turn.now());
}

void Members::redialSoon(const NodeId& id, const Peer& peer, absl::Time now) {
  const absl::Duration wait =
      jittered(kDialBackoffMin) + (peer.dialledByUs ? absl::ZeroDuration() : kOtherSideDials);
  for (const Address& address : peer.info.addresses) addTarget(address, id, now + wait);
  for (auto& [address, target] : targets_) {
    if (target.node != id) continue;
    target.next = now + wait;
    target.since = now;
    target.failures = 0;
  }
}

void Members::dialFailed(Turn& turn, const DialFailed& event) {
  const auto it = targets_.find(event.address);
  if (it == targets_.end()) return;
  DialTarget& target = it->second;
  target.inFlight = false;
  if (event.peer) target.node = event.peer;
  if (event.peer == self_.id) {
    target.next = absl::InfiniteFuture();
    return;
  }
  const absl::Duration backoff =
      std::min(kDialBackoffMax, kDialBackoffMin * (int64_t{1} << std::min(target.failures, 10)));
  ++target.failures;
  target.since = std::min(target.since, turn.now());
  target.next = turn.now() + jittered(backoff);
}

void Members::heard(const NodeId& id, absl::Time now) {
  const auto it = peers_.find(id);
  if (it == peers_.end() || !it->second.linked) return;
  it->second.heard = now;
  if (!it->second.suspected) return;
  it->second.suspected = false;
  refreshUsable(now);
}

void Members::tellOf(Peer& peer, const NodeSummary& summary, absl::Time now) {
  peer.summary = summary;
  peer.info.stores = summary.stores;
  peer.exchanged = now;
}

HeartbeatReply Members::onHeartbeat(Turn& turn, const NodeId& id, const HeartbeatRequest& request) {
  const auto it = peers_.find(id);
  if (it != peers_.end()) {
    tellOf(it->second, request.summary, turn.now());
  }
  return HeartbeatReply{summary_};
}

void Members::heartbeatAnswered(Turn& turn, const NodeId& id, const absl::StatusOr<Reply>& reply) {
  const auto it = peers_.find(id);
  if (it == peers_.end()) return;
  it->second.calling = false;
  if (!reply.ok()) return;
  if (const auto* answer = std::get_if<HeartbeatReply>(&*reply)) {
    tellOf(it->second, answer->summary, turn.now());
  }
}

MembersReply Members::onMembersRequest() const {
  // Only who is there now: the names of the dead must not go round for ever.
  MembersReply reply;
  reply.members.reserve(linkedCount_ + 1);
  reply.members.push_back(self_);
  for (const auto& [id, peer] : peers_) {
    if (peer.linked && !peer.suspected && !peer.info.addresses.empty()) {
      reply.members.push_back(peer.info);
    }
  }
  return reply;
}

void Members::membersAnswered(Turn& turn, const NodeId& id, const absl::StatusOr<Reply>& reply) {
  if (!reply.ok()) return;
  const auto* answer = std::get_if<MembersReply>(&*reply);
  if (answer == nullptr) return;
  if (answer->members.size() > kMembersMax) {
    turn.warn(absl::StrCat(nameOf(id), " names ", answer->members.size(), " members; the limit is ",
                           kMembersMax, ". Its list is ignored"));
    return;
  }
  for (const MemberInfo& info : answer->members) learn(info, turn.now());
}

void Members::learn(const MemberInfo& info, absl::Time now) {
  if (info.id == self_.id) return;
  const auto it = peers_.find(info.id);
  if (it != peers_.end() && it->second.linked) return;
  // The smaller id dials first, so that both rarely do at once.
  const absl::Duration wait = self_.id < info.id ? absl::ZeroDuration() : jittered(kOtherSideDials);
  size_t taken = 0;
  for (const Address& address : info.addresses) {
    if (++taken > kAddressesMax) break;
    addTarget(address, info.id, now + wait);
  }
}

void Members::addTarget(const Address& address, const NodeId& node, absl::Time next) {
  const auto it = targets_.find(address);
  if (it != targets_.end()) {
    it->second.node = node;
    if (next == absl::InfiniteFuture()) {  // linked
      it->second.inFlight = false;
      it->second.failures = 0;
      it->second.since = absl::InfiniteFuture();
    } else if (it->second.next == absl::InfiniteFuture()) {
      it->second.next = next;
    }
    return;
  }
  if (targets_.size() >= kMembersMax * 4) return;
  DialTarget target;
  target.node = node;
  target.next = next;
  target.since = absl::InfiniteFuture();
  targets_.emplace(address, target);
}

void Members::dialDue(Turn& turn) {
  for (auto it = targets_.begin(); it != targets_.end();) {
    DialTarget& target = it->second;
    const bool own = target.node == self_.id;
    if (own || (target.node && linked(*target.node)) || target.next > turn.now()) {
      ++it;
      continue;
    }
    const bool wanted =
        target.seed || target.since == absl::InfiniteFuture() ||
        turn.now() - target.since <
            (target.node && find(*target.node) != nullptr ? kForgetGone : kForgetUnreached);
    if (!wanted) {
      it = targets_.erase(it);
      continue;
    }
    if (target.inFlight) ++target.failures;  // the dial before was never answered
    target.inFlight = true;
    target.since = std::min(target.since, turn.now());
    target.next = turn.now() + kDialTimeout;
    turn.emit(Dial{it->first});
    ++it;
  }
}

void Members::askForMembers(Turn& turn) {
  if (turn.now() < nextExchange_ || linkedCount_ == 0) return;
  nextExchange_ = turn.now() + jittered(kExchangePeriod);
  std::vector<NodeId> linked;
  linked.reserve(linkedCount_);
  for (const auto& [id, peer] : peers_) {
    if (peer.linked) linked.push_back(id);
  }
  turn.call(linked[absl::Uniform<size_t>(random_, 0, linked.size())], MembersRequest{},
            CallPurpose::kMembers);
}

std::vector<NodeId> Members::tick(Turn& turn, bool busy) {
  if (startedAt_ == absl::InfinitePast()) startedAt_ = turn.now();
  const absl::Duration beatPeriod = period(busy);
  const absl::Duration expected = period(false);
  std::vector<NodeId> goneNow;
  bool changed = false;
  for (auto it = peers_.begin(); it != peers_.end();) {
    const NodeId id = it->first;
    Peer& peer = it->second;
    const absl::Duration silent = turn.now() - peer.heard;
    if (!peer.linked && silent > kForgetGone) {
      it = peers_.erase(it);
      continue;
    }
    ++it;
    if (!peer.gone && silent > expected * kGoneAfterPeriods) {
      peer.gone = true;
      goneNow.push_back(id);
      if (peer.linked) turn.emit(Hangup{id, "silent for too long"});
    }
    if (!peer.linked) continue;
    if (!peer.suspected && silent > expected * kSuspectedAfterPeriods) {
      peer.suspected = changed = true;
    }
    if (!peer.calling && turn.now() - peer.exchanged >= beatPeriod) beat(turn, id, peer);
  }
  if (changed) refreshUsable(turn.now());
  dialDue(turn);
  askForMembers(turn);
  return goneNow;
}

void Members::refreshUsable(absl::Time now) {
  usable_.clear();
  usable_.push_back(self_.id);
  for (const auto& [id, peer] : peers_) {
    if (peer.linked && !peer.suspected) usable_.push_back(id);
  }
  std::sort(usable_.begin(), usable_.end());  // self is among them somewhere
  usableSince_ = now;
}

bool Members::linked(const NodeId& id) const {
  const auto it = peers_.find(id);
  return it != peers_.end() && it->second.linked;
}

bool Members::usable(const NodeId& id) const {
  const auto it = peers_.find(id);
  return it != peers_.end() && it->second.linked && !it->second.suspected;
}

bool Members::draining(const NodeId& id) const {
  const auto it = peers_.find(id);
  return it != peers_.end() && it->second.summary.state == NodeState::kDraining;
}

bool Members::gone(const NodeId& id) const {
  if (id == self_.id) return false;
  const auto it = peers_.find(id);
  return it == peers_.end() || it->second.gone;
}

const MemberInfo* Members::find(const NodeId& id) const {
  if (id == self_.id) return &self_;
  const auto it = peers_.find(id);
  return it == peers_.end() ? nullptr : &it->second.info;
}

bool Members::offers(const NodeId& id, uint64_t feature) const {
  const MemberInfo* info = find(id);
  return info != nullptr && (info->features & feature) != 0;
}

std::string Members::nameOf(const NodeId& id) const {
  const MemberInfo* info = find(id);
  return info == nullptr || info->name.empty() ? id.shortHex() : info->name;
}

NodeView Members::viewOf(const Peer& peer) const {
  NodeView view{peer.info, peer.summary.state, peer.summary, peer.heard, false};
  if (peer.gone) {
    view.state = NodeState::kGone;
  } else if (!peer.linked || peer.suspected) {
    view.state = NodeState::kSuspected;
  }
  return view;
}

std::vector<NodeView> Members::views(absl::Time now) const {
  std::vector<NodeView> views;
  views.reserve(peers_.size() + 1);
  views.push_back({self_, summary_.state, summary_, now, true});
  for (const auto& [id, peer] : peers_) views.push_back(viewOf(peer));
  std::sort(views.begin() + 1, views.end(), [](const NodeView& a, const NodeView& b) {
    return std::tie(a.info.name, a.info.id) < std::tie(b.info.name, b.info.id);
  });
  return views;
}

std::optional<NodeView> Members::view(const NodeId& id, absl::Time now) const {
  if (id == self_.id) return NodeView{self_, summary_.state, summary_, now, true};
  const auto it = peers_.find(id);
  if (it == peers_.end()) return std::nullopt;
  return viewOf(it->second);
}

}  // namespace roost
