// Routing only: which part hears of which event.
#include "cluster/core.h"

#include <utility>

#include "cluster/advert_log.h"
#include "cluster/catalog.h"
#include "cluster/fetches.h"
#include "cluster/follower.h"
#include "cluster/jobs.h"
#include "cluster/members.h"
#include "cluster/obtains.h"
#include "cluster/readers.h"
#include "cluster/registrar.h"
#include "cluster/turn.h"
#include "cluster/wants.h"
#include "protocol/limits.h"

namespace roost {

struct Core::Parts {
  Parts(Options options, absl::BitGenRef random)
      : members(std::move(options.self), options.seeds, random),
        log(options.logId),
        follower(catalog),
        registrar(members),
        wants(members, registrar),
        fetches({members, catalog, follower, wants, distrust, reads, random, options.hubAllowed,
                 options.swarmNodes, options.swarmByOrder}),
        obtains(fetches, members),
        readers(fetches, members),
        jobs(members, obtains) {
    catalog.setPresent(members.self().id, true);
    reads.downloads = options.downloads;
  }

  void on(Turn& turn, const LinkUp& event) {
    if (!members.linkUp(turn, event)) return;
    catalog.setPresent(event.peer.id, true);
    follower.linkUp(turn, event.peer.id);
    membersChanged(turn);
  }
  void on(Turn& turn, const LinkDown& event) {
    members.linkDown(turn, event.peer);
    follower.linkDown(event.peer);
    log.linkDown(event.peer);
    membersChanged(turn);
  }
  void on(Turn& turn, const DialFailed& event) { members.dialFailed(turn, event); }
  void on(Turn& turn, const Asked& event) {
    members.heard(event.peer, turn.now());
    std::visit([&](const auto& request) { asked(turn, event, request); }, event.request);
  }
  void on(Turn& turn, const Answered& event);
  void on(Turn& turn, const Tick&);
  void on(Turn& turn, const LocalChanged& event) {
    const std::vector<AdvertChange> changes = log.append(turn, event.changes);
    if (changes.empty()) return;
    catalog.apply(turn, members.self().id, false, changes);
  }
  void on(Turn& turn, const SummaryChanged& event) { members.setSummary(turn, event.summary); }
  void on(Turn& turn, const CatalogRestored& event) { follower.restored(turn, event); }
  void on(Turn& turn, const WriterOpened& event) { fetches.on(turn, event); }
  void on(Turn& turn, const WriterShared& event) { fetches.on(turn, event); }
  void on(Turn& turn, const WriterLost& event) { fetches.on(turn, event); }
  void on(Turn& turn, const PieceRead& event) {
    if (event.outcome.ok() && event.answered) members.heard(event.source, turn.now());
    fetches.on(turn, event);
  }
  void on(Turn& turn, const SmallRead& event) { fetches.on(turn, event); }
  void on(Turn& turn, const HubPiece& event) { fetches.on(turn, event); }
  void on(Turn& turn, const HubEnded& event) { fetches.on(turn, event); }
  void on(Turn& turn, const SwarmKnown& event) { fetches.on(turn, event); }
  void on(Turn& turn, const SwarmEnded& event) { fetches.on(turn, event); }
  void on(Turn& turn, const SwarmPiece& event) { fetches.on(turn, event); }
  void on(Turn& turn, const SwarmSeen& event) { fetches.on(turn, event); }
  void on(Turn& turn, const BlobVerified& event) { fetches.on(turn, event); }
  void on(Turn& turn, const BlobFinished& event) { fetches.on(turn, event); }
  void on(Turn& turn, const PresenceKnown& event) { obtains.on(turn, event); }
  void on(Turn& turn, const RepoPublished& event) { obtains.on(turn, event); }
  void on(Turn& turn, const PieceAsked& event) { fetches.on(turn, event); }
  void on(Turn& turn, const ReaderBegan& event) { readers.on(turn, event); }
  void on(Turn& turn, const PieceWanted& event) { readers.on(turn, event); }
  void on(Turn& turn, const ReaderGone& event) { readers.on(turn, event); }
  void on(Turn& turn, const JobOrdered& event) { jobs.on(turn, event); }
  void on(Turn& turn, const JobRestored& event) { jobs.on(turn, event); }
  void on(Turn& turn, const JobCancelled& event) { jobs.on(turn, event); }
  void on(Turn& turn, const JobLimited& event) { jobs.on(turn, event); }
  void on(Turn& turn, const SeedsFound& event) { members.addSeeds(event.seeds, turn.now()); }

  void asked(Turn& turn, const Asked& event, const HeartbeatRequest& request) {
    respond(turn, event, members.onHeartbeat(turn, event.peer, request));
  }
  void asked(Turn& turn, const Asked& event, const MembersRequest&) {
    respond(turn, event, members.onMembersRequest());
  }
  void asked(Turn& turn, const Asked& event, const FollowRequest& request) {
    log.follow(turn, event.peer, event.ask, request);
  }
  // Listings and the hub's words are content, which the core does not have, and leases to compute
  // are of the representations (compute_leases.h): the agent answers before it comes here.
  void asked(Turn& turn, const Asked& event, const ListingRequest&) {
    turn.emit(Respond{event.peer, event.ask, absl::UnimplementedError("no listings here")});
  }
  void asked(Turn& turn, const Asked& event, const HubQuestionRequest&) {
    turn.emit(Respond{event.peer, event.ask, absl::UnimplementedError("no hub here")});
  }
  void asked(Turn& turn, const Asked& event, const ComputeLeaseRequest&) {
    turn.emit(Respond{event.peer, event.ask, absl::UnimplementedError("no leases here")});
  }
  void asked(Turn& turn, const Asked& event, const WantRequest& request) {
    respond(turn, event, registrar.on(turn.now(), event.peer, request));
  }
  void asked(Turn& turn, const Asked& event, const ObtainRequest& request) {
    if (request.coordinator != event.peer) {
      turn.emit(Respond{event.peer, event.ask,
                        absl::PermissionDeniedError("only a job's coordinator hands it out")});
      return;
    }
    obtains.begin(turn, request);
    respond(turn, event, ObtainReply{});
  }
  void asked(Turn& turn, const Asked& event, const ProgressRequest& request) {
    const ObtainKey key{request.coordinator, request.job};
    if (request.coordinator == event.peer) {
      if (request.cancel) obtains.cancel(turn, key);
      obtains.setLimit(key, request.limit, turn.now());
    }
    obtains.asked(turn, event.peer, event.ask, key, request.held);
  }
  static void respond(Turn& turn, const Asked& event, Reply reply) {
    turn.emit(Respond{event.peer, event.ask, std::move(reply)});
  }

  // A process that was stopped wakes in a cluster that went on without it. Ticks come each second.
  void noteSleep(absl::Time now) {
    const absl::Time before = std::exchange(lastEvent, now);
    if (before == absl::InfinitePast() || now - before < kLeaseDuration) return;
    registrar.slept(now);
    wants.slept(now);
  }
  void membersChanged(Turn& turn) {
    fetches.sourcesChanged();
    wants.membersChanged(turn.now());
  }
  // What follows from an event, in whatever part it began.
  void settle(Turn& turn) {
    tellEnded(turn);
    obtains.pump(turn);
    wants.flush(turn);
    tellEnded(turn);  // a grant may have ended a fetch
    for (const ObtainKey& key : obtains.takeEnded()) {
      if (key.coordinator == members.self().id) jobs.ownPartEnded(turn, key.job);
    }
  }
  void tellEnded(Turn& turn) {
    for (const Fetches::Ended& ended : fetches.takeEnded()) {
      obtains.fetchEnded(turn, ended);
      readers.fetchEnded(ended);
    }
  }
  bool busy() const {
    return fetches.size() > 0 || obtains.running() > 0 || jobs.running() > 0 ||
           registrar.records() > 0;
  }

  CallBook calls;
  Members members;
  AdvertLog log;
  Catalog catalog;
  Follower follower;
  Registrar registrar;
  Wants wants;
  Distrust distrust;
  ReadBudgets reads;
  Fetches fetches;
  Obtains obtains;
  Readers readers;
  Jobs jobs;
  absl::Time lastTick = absl::InfinitePast();
  absl::Time lastEvent = absl::InfinitePast();
};

void Core::Parts::on(Turn& turn, const Answered& event) {
  const std::optional<PendingCall> call = calls.end(event.call);
  if (!call) return;
  if (event.reply.ok()) members.heard(event.peer, turn.now());
  switch (call->purpose) {
    case CallPurpose::kHeartbeat:
      members.heartbeatAnswered(turn, event.peer, event.reply);
      break;
    case CallPurpose::kMembers:
      members.membersAnswered(turn, event.peer, event.reply);
      break;
    case CallPurpose::kFollow:
      if (follower.answered(turn, event.peer, call->tag, event.reply)) fetches.sourcesChanged();
      break;
    case CallPurpose::kWant:
      wants.answered(turn, event.call, *call, event.reply);
      break;
    case CallPurpose::kObtain:
      jobs.obtainAnswered(turn, call->tag, event.peer, event.reply);
      break;
    case CallPurpose::kProgress:
      jobs.progressAnswered(turn, call->tag, event.peer, event.reply);
      break;
  }
}

void Core::Parts::on(Turn& turn, const Tick&) {
  lastTick = turn.now();
  const absl::Time before = members.usableSince();
  for (const NodeId& gone : members.tick(turn, busy())) {
    catalog.setPresent(gone, false);
    registrar.memberGone(gone);
  }
  if (members.usableSince() != before) membersChanged(turn);
  follower.tick(turn);
  log.tick(turn);
  registrar.tick(turn.now());
  fetches.tick(turn);
  obtains.tick(turn);
  jobs.tick(turn);
}

Core::Core(Options options, absl::BitGenRef random)
    : parts_(std::make_unique<Parts>(std::move(options), random)) {}
Core::~Core() = default;

Effects Core::on(const Event& event, absl::Time now) {
  parts_->noteSleep(now);
  Turn turn(now, parts_->calls);
  std::visit([&](const auto& e) { parts_->on(turn, e); }, event);
  parts_->settle(turn);
  return turn.take();
}

absl::Time Core::nextTick() const {
  constexpr absl::Duration kBusy = absl::Milliseconds(100);
  constexpr absl::Duration kIdle = absl::Seconds(1);
  if (parts_->lastTick == absl::InfinitePast()) return absl::InfinitePast();
  return parts_->lastTick + (parts_->busy() ? kBusy : kIdle);
}

bool Core::acquainted(absl::Time now) const {
  return parts_->members.acquainted(now) && parts_->follower.caughtUp(now);
}

LinkVerdict Core::judge(const MemberInfo& peer, bool dialled) const {
  return parts_->members.judge(peer, dialled);
}

std::vector<NodeView> Core::nodes() const {
  return parts_->members.views(parts_->lastTick);
}
const MemberInfo& Core::self() const {
  return parts_->members.self();
}
std::optional<NodeView> Core::node(const NodeId& id) const {
  return parts_->members.view(id, parts_->lastTick);
}
std::vector<NodeId> Core::membersWith(uint64_t feature) const {
  std::vector<NodeId> able;
  for (const NodeId& id : parts_->members.usableMembers()) {
    if (parts_->members.offers(id, feature)) able.push_back(id);
  }
  return able;
}
std::vector<HolderView> Core::holders(const BlobId& blob) const {
  return parts_->catalog.holders(blob);
}
std::optional<uint64_t> Core::sizeOf(const BlobId& blob) const {
  return parts_->catalog.sizeOf(blob);
}
std::vector<NodeId> Core::wantersKnown(const BlobId& blob) const {
  const Fetch* fetch = parts_->fetches.find(blob);
  return fetch == nullptr ? std::vector<NodeId>{} : fetch->wanters();
}
Plan Core::plan(const BlobInfo& blob, const std::optional<BlobSite>& site, SourceRule rule) const {
  return parts_->fetches.plan(blob, site, rule);
}
std::vector<RepoHolderView> Core::repoHolders(const RepoId& repo) const {
  return parts_->catalog.repoHolders(repo);
}
std::vector<std::pair<NodeId, RefState>> Core::refs(const RepoId& repo) const {
  return parts_->catalog.refs(repo);
}
std::vector<RepresentationHolderView> Core::representation(const RepresentationKey& key) const {
  return parts_->catalog.representation(key);
}
void Core::eachRepresentation(absl::FunctionRef<void(const RepresentationKey&)> visit) const {
  parts_->catalog.eachRepresentation(visit);
}
std::vector<RepresentationConflict> Core::representationConflicts() const {
  return parts_->catalog.conflicts();
}
std::vector<RepoId> Core::repos(RepoType type) const {
  return parts_->catalog.repos(type);
}
ClusterTotals Core::totals() const {
  return parts_->catalog.totals([this](const NodeId& id) -> const std::vector<StoreId>* {
    const MemberInfo* info = parts_->members.find(id);
    return info == nullptr ? nullptr : &info->stores;
  });
}
std::vector<JobView> Core::jobs() const {
  return parts_->jobs.views();
}
std::optional<JobView> Core::job(uint64_t id) const {
  return parts_->jobs.view(id);
}
CoreSizes Core::sizes() const {
  return {parts_->calls.size(),   parts_->fetches.size(), parts_->obtains.running(),
          parts_->readers.size(), parts_->jobs.running(), parts_->registrar.records(),
          parts_->wants.size(),   parts_->log.held()};
}

}  // namespace roost
