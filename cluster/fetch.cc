// The life of a fetch: how it begins, the hub, and how it ends. The pieces are in fetch_pieces.cc,
// what follows wrong bytes in fetch_repeat.cc.
#include "cluster/fetch.h"

#include <algorithm>
#include <utility>

#include "absl/random/distributions.h"
#include "absl/strings/str_cat.h"
#include "protocol/errors.h"
#include "protocol/limits.h"

namespace roost {
namespace {

constexpr absl::Duration kHopelessMax = absl::Seconds(15);   // an agent restarts within that
constexpr absl::Duration kRefusedMax = absl::Seconds(3);     // once the hub has said no
constexpr absl::Duration kStandstillMax = absl::Minutes(5);  // whatever sources there seem to be
constexpr int kHubFailuresMax = 3;
constexpr absl::Duration kGatheringMax = absl::Seconds(3);

}  // namespace

Fetch::Fetch(FetchId id, const BlobInfo& blob, const BlobSite& site, SourceRule rule,
             const FetchWorld& world)
    : id_(id), blob_(blob), site_(site), rule_(rule), world_(world), count_(pieceCount(blob.size)) {
  resetPieces();
}

size_t Fetch::pick(size_t count) {
  absl::BitGenRef random = world_.random;
  return absl::Uniform<size_t>(random, 0, count);
}

void Fetch::start(Turn& turn) {
  now_ = hopeAt_ = progressAt_ = begunAt_ = turn.now();
  if (!small() || rule_ == SourceRule::kHubOnly) {
    openWriter(turn);
    return;
  }
  if (!trySmall(turn)) registerWant(turn);
}

void Fetch::widen(SourceRule rule) {
  if (rule != rule_) rule_ = SourceRule::kAny;
  sourcesStale_ = true;
}

void Fetch::registerWant(Turn& turn) {
  if (registered_ || rule_ == SourceRule::kHubOnly) return;
  registered_ = true;
  world_.wants.begin(blob_.id, this, turn.now());
}

// ---- Small blobs.

bool Fetch::trySmall(Turn& turn) {
  refreshHolders();
  std::vector<Sender> holders;
  for (Sender i = 0; i < sources_.size(); ++i) {
    const Source& source = sources_[i];
    if (source.complete && usable(source) && source.coolUntil <= now_) holders.push_back(i);
  }
  if (holders.empty()) {
    state_ = State::kSeeking;
    return false;
  }
  const bool trickles = yields();
  if (!mayTake() || (trickles && world_.reads.smallTrickle >= kTrickleReads)) {
    state_ = State::kSeeking;  // it waits for its turn: the tick tries again
    return true;
  }
  const Sender chosen = holders[pick(holders.size())];
  state_ = State::kReadingSmall;
  charge(blob_.size);
  if (std::exchange(countedTrickle_, trickles) != trickles) {
    world_.reads.smallTrickle += trickles ? 1 : -1;
  }
  turn.emit(ReadSmall{id_, sources_[chosen].node, blob_, site_});
  return true;
}

void Fetch::smallRead(Turn& turn, const SmallRead& event) {
  now_ = turn.now();
  if (state_ != State::kReadingSmall) return;
  if (std::exchange(countedTrickle_, false)) --world_.reads.smallTrickle;
  const std::optional<Sources::Index> index = sources_.find(event.source);
  if (!index) return;
  Source& source = sources_[*index];
  if (event.outcome.ok()) {
    switch (*event.outcome) {
      case ReadOutcome::kData:
        source.bytes += blob_.size;
        bytesHad_ = blob_.size;
        end(turn, absl::OkStatus());
        return;
      case ReadOutcome::kBusy:
        source.coolUntil = now_ + absl::Milliseconds(100);
        break;
      case ReadOutcome::kNotMine:
      case ReadOutcome::kGone:
      case ReadOutcome::kCorrupt:
        source.dead = true;
        break;
    }
  } else if (absl::IsDataLoss(event.outcome.status())) {
    wrongOnce_ = true;
    proveWrong(turn, *index, !source.unverified);
  } else if (absl::IsUnavailable(event.outcome.status()) ||
             absl::IsDeadlineExceeded(event.outcome.status())) {
    source.failed(now_, absl::IsUnavailable(event.outcome.status()));
  } else {
    end(turn, event.outcome.status());
    return;
  }
  if (!trySmall(turn)) registerWant(turn);
}

// ---- The writer.

void Fetch::openWriter(Turn& turn) {
  state_ = State::kOpening;
  turn.emit(OpenWriter{id_, blob_, site_});
}

void Fetch::writerOpened(Turn& turn, const WriterOpened& event) {
  now_ = turn.now();
  // Also later: a write failed.
  if (!event.piecesPresent.ok() && state_ != State::kEnded) {
    end(turn, event.piecesPresent.status());
    return;
  }
  if (state_ != State::kOpening) return;
  writerOpen_ = true;
  state_ = State::kRunning;
  for (const uint64_t piece : *event.piecesPresent) {
    if (piece >= count_ || have(piece)) continue;
    bytesResumed_ += pieceBytes(piece);
    landed(turn, piece, kDiskSender);
  }
  if (haveCount_ > 0) mustGather_ = true;
  hopeAt_ = progressAt_ = now_;
  maybeFinish(turn);
  if (state_ != State::kRunning) return;
  if (rule_ == SourceRule::kHubOnly) {
    // Asked for by hand to distrust the cluster: nobody shares it, so nobody grants it.
    lease_ = 1;
    leaseUntil_ = absl::InfiniteFuture();
    startHub(turn);
    return;
  }
  registerWant(turn);
  if (leased()) startHub(turn);
  pump(turn);
}

void Fetch::writerShared(Turn& turn, const WriterShared& event) {
  now_ = turn.now();
  settled_ = event.settled;
  if (settled_) progressAt_ = now_;
  pump(turn);
}

void Fetch::writerLost(Turn& turn) {
  now_ = turn.now();
  if (state_ != State::kRunning && state_ != State::kFinishing) return;
  stopHub(turn);
  leaveSwarm(turn);
  turn.emit(RestartBlob{id_, false});
  resetPieces();
  verified_ = false;
  settled_.reset();
  sourcesStale_ = true;
  state_ = State::kOpening;  // answered like the first opening
}

// ---- As a wanter.

bool Fetch::hubOpen() const {
  if (!hubAllowed() || rule_ == SourceRule::kClusterOnly) return false;
  if (hubFailures_ >= kHubFailuresMax || now_ < hubAgainAt_) return false;
  // Or it would download what a peer has.
  return world_.members.acquainted(now_) && world_.follower.caughtUp(now_);
}

Want Fetch::want() const {
  Want want{blob_};
  want.canUseHub = hubOpen();
  want.peersHaveIt = anyHolder() && only_ != kHubSender;
  while (prefix_ < count_ && have_[prefix_]) ++prefix_;
  want.prefixBytes = std::min(prefix_ * kPieceBytes, blob_.size);
  want.heldFence = leased() ? lease_ : 0;
  want.have = promised();
  return want;
}

bool Fetch::contented() const {
  // A leaseholder that sends nothing may hang: whoever follows it has to ask soon.
  const bool moving = now_ - progressAt_ < kLeaseRenewal;
  return hubRunning_ || anyHolder() || (anyOrigin() && moving);
}

void Fetch::granted(Turn& turn, const Grant& grant, absl::Time sentAt) {
  now_ = turn.now();
  noteChurn(grant);
  grant_ = grant;
  ++grants_;
  sourcesStale_ = true;
  learnKnown();
  if (grant.leaseholder && *grant.leaseholder != world_.members.self().id) mustGather_ = true;
  if (grant.fence != 0) {
    if (lease_ != 0 && lease_ != grant.fence) stopHub(turn);
    lease_ = grant.fence;
    leaseUntil_ = sentAt + kLeaseDuration;
    if (state_ == State::kSeeking) openWriter(turn);
    if (state_ == State::kRunning && !hubRunning_) startHub(turn);
  } else if (lease_ != 0) {
    dropLease(turn);
  }
  pump(turn);
}

// ---- The hub.

void Fetch::startHub(Turn& turn) {
  if (hubRunning_ || !leased() || state_ != State::kRunning) return;
  if (rule_ != SourceRule::kHubOnly && (!hubOpen() || (anyHolder() && only_ != kHubSender))) {
    dropLease(turn);
    return;
  }
  if (gather()) return;
  std::vector<uint64_t> pieces;
  for (uint64_t piece = 0; piece < count_; ++piece) {
    // Also those that somebody was asked for: nobody is asked again while the hub is read.
    if (!have(piece)) pieces.push_back(piece);
  }
  if (pieces.empty()) return;
  hubRunning_ = true;
  hubDelivered_ = false;
  hubLimit_ = limit();
  hubFollowed_ = followed();
  hubUntil_ = leaseUntil_;
  hubYields_ = yields();
  hubPace_ = pace_;
  turn.emit(HubDownload{id_, blob_, site_, std::move(pieces), lease_, hubFollowed_, hubLimit_,
                        hubUntil_, hubYields_, hubPace_});
}

bool Fetch::gather() {
  if (!mustGather_ || only_ || rule_ == SourceRule::kHubOnly) return false;
  if (!std::exchange(gathering_, true)) {
    gatherUntil_ = now_ + kGatheringMax;
    sourcesStale_ = true;
    for (Source& source : sources_) {
      source.scan = 0;
      source.scanned = false;
      source.coolUntil = now_;
    }
    return true;
  }
  // Not for reads of a wanter that is away: they end by their deadline only.
  const bool asked = std::any_of(asks_.begin(), asks_.end(), [](const auto& entry) {
    return std::any_of(entry.second.begin(), entry.second.end(),
                       [](const Ask& ask) { return !ask.fromOrigin && !ask.abandoned; });
  });
  const bool waiting = asked || std::any_of(sources_.begin(), sources_.end(), [&](const Source& s) {
                         return s.wanter && usable(s) && !s.scanned;
                       });
  if (waiting && now_ < gatherUntil_) return true;
  gathering_ = mustGather_ = false;
  return false;
}

void Fetch::stopHub(Turn& turn) {
  if (!hubRunning_) return;
  hubRunning_ = false;
  turn.emit(StopHub{id_});
}

void Fetch::dropLease(Turn& turn) {
  if (lease_ == 0) return;
  lease_ = 0;
  gathering_ = false;
  stopHub(turn);
  breakPromises(turn);
  world_.wants.hurry(blob_.id, now_);
}

void Fetch::hubPiece(Turn& turn, uint64_t piece) {
  now_ = turn.now();
  if (piece >= count_ || have(piece)) return;
  if (state_ != State::kRunning) return;
  hubDelivered_ = true;
  hubFailures_ = 0;
  landed(turn, piece, kHubSender);
  maybeFinish(turn);
}

void Fetch::hubEnded(Turn& turn, const absl::Status& status) {
  now_ = turn.now();
  if (!hubRunning_) return;  // stopped by us
  hubRunning_ = false;
  if (absl::IsResourceExhausted(status) || absl::IsInternal(status)) {
    end(turn, status);
    return;
  }
  const absl::Status outcome =
      status.ok() && !hubDelivered_
          ? absl::UnavailableError("the hub download ended without a single piece")
          : status;
  if (outcome.ok()) {
    maybeFinish(turn);
    startHub(turn);  // what was under way elsewhere and failed meanwhile
    return;
  }
  if (absl::IsAborted(outcome)) {  // the fence was overtaken
    dropLease(turn);
    return;
  }
  hubError_ = outcome;
  const bool transient = absl::IsUnavailable(outcome) || absl::IsDeadlineExceeded(outcome);
  hubFailures_ = transient ? hubFailures_ + 1 : kHubFailuresMax;
  hubAgainAt_ = now_ + absl::Seconds(1) * hubFailures_;
  if (rule_ == SourceRule::kHubOnly) {
    if (hubFailures_ >= kHubFailuresMax) end(turn, hubError_);
    return;  // the tick starts it again
  }
  dropLease(turn);
}

// ---- Time, and the end.

void Fetch::tick(Turn& turn) {
  now_ = turn.now();
  if (state_ == State::kSeeking && !trySmall(turn)) registerWant(turn);
  if (state_ == State::kRunning) {
    registerWant(turn);  // it may have been the hub's alone until somebody else wanted it
    if (lease_ != 0 && !leased()) dropLease(turn);
    if (rule_ == SourceRule::kHubOnly && now_ >= hubAgainAt_) startHub(turn);
    watchPace();
    pump(turn);
    if (gathering_) startHub(turn);
    hedge(turn);
  }
  const bool whole = state_ == State::kSeeking || state_ == State::kReadingSmall;
  if (whole || state_ == State::kRunning) checkHope(turn);
}

void Fetch::checkHope(Turn& turn) {
  const bool leaseholderThere = grant_.leaseholder &&
                                *grant_.leaseholder != world_.members.self().id &&
                                world_.members.usable(*grant_.leaseholder);
  const bool holderMayReturn =
      rule_ != SourceRule::kHubOnly && !world_.catalog.disputed(blob_.id) && [&] {
        for (const HolderView& holder : world_.catalog.holders(blob_)) {
          if (holder.node == world_.members.self().id) continue;
          const std::optional<Sources::Index> index = sources_.find(holder.node);
          if (!world_.distrust.contains(blob_.id, holder.node) &&
              (!index || !sources_[*index].dead)) {
            return true;
          }
        }
        return false;
      }();
  const bool hubSoon =
      hubAllowed() && rule_ != SourceRule::kClusterOnly && hubFailures_ < kHubFailuresMax;
  if (anyOrigin() || hubRunning_ || hubSoon || leaseholderThere || holderMayReturn) hopeAt_ = now_;
  // After wrong bytes nothing is taken of another's download until it is whole.
  if (leaseholderThere && only_ == kHubSender) progressAt_ = now_;
  const bool refused = !hubError_.ok() && !absl::IsUnavailable(hubError_) &&
                       !absl::IsDeadlineExceeded(hubError_) &&
                       world_.catalog.holders(blob_).empty();
  const absl::Duration patience = refused ? kRefusedMax : kHopelessMax;
  if (now_ - hopeAt_ > patience || now_ - progressAt_ > kStandstillMax) end(turn, hopeless());
}

absl::Status Fetch::hopeless() const {
  const std::string what = absl::StrCat("cannot get ", site_.path.text(), " of ",
                                        site_.repo.toString(), " (", blob_.id.shortHex(), ")");
  if (wrongOnce_) {
    return absl::DataLossError(sentence(what, "every source sent wrong bytes",
                                        "Run `roost verify` on the nodes that have it"));
  }
  if (!hubError_.ok()) {
    return absl::Status(
        hubError_.code(),
        sentence(what, absl::StrCat("no node has it, and the hub failed: ", hubError_.message()),
                 ""));
  }
  if (now_ - hopeAt_ <= kHopelessMax) {
    return absl::DeadlineExceededError(
        sentence(what, absl::StrCat("no byte came for ", absl::FormatDuration(kStandstillMax)),
                 "Look at `roost status` for nodes that hang"));
  }
  return absl::NotFoundError(sentence(
      what, "no node that can be reached has it",
      rule_ == SourceRule::kClusterOnly || !hubAllowed() ? "The hub was not to be asked" : ""));
}

void Fetch::cancel(Turn& turn) {
  now_ = turn.now();
  if (state_ != State::kEnded) end(turn, absl::CancelledError("cancelled"));
}

void Fetch::end(Turn& turn, absl::Status result) {
  result_ = std::move(result);
  stopHub(turn);
  leaveSwarm(turn);
  lease_ = 0;
  const bool opening = state_ == State::kOpening;
  state_ = State::kEnded;
  for (const auto& [piece, asks] : asks_) {
    for (const Ask& ask : asks) settleAsk(ask);
  }
  asks_.clear();
  breakPromises(turn);
  answerReaders(turn, result_);
  if (std::exchange(countedTrickle_, false)) --world_.reads.smallTrickle;
  if (registered_) {
    world_.wants.end(blob_, result_.ok() ? WantPhase::kDone : WantPhase::kGivenUp);
    registered_ = false;
  }
  if ((writerOpen_ || opening) && !result_.ok()) {
    const bool keep = !absl::IsDataLoss(result_) && !absl::IsResourceExhausted(result_);
    turn.emit(CloseWriter{id_, keep});
  }
}

std::vector<std::pair<std::optional<NodeId>, uint64_t>> Fetch::received() const {
  std::vector<std::pair<std::optional<NodeId>, uint64_t>> result;
  for (const Source& source : sources_) {
    if (source.bytes > 0) result.emplace_back(source.node, source.bytes);
  }
  if (swarmBytes_ > 0) result.emplace_back(kSwarmSource, swarmBytes_);
  if (hubBytes_ > 0) result.emplace_back(std::nullopt, hubBytes_);
  return result;
}

}  // namespace roost
