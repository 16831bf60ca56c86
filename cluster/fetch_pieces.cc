// Which piece a fetch asks whom for, and what it promises to others.
#include <algorithm>
#include <utility>

#include "cluster/fetch.h"
#include "protocol/limits.h"

namespace roost {
namespace {

constexpr uint64_t kReadAhead = 16;  // pieces from where a reader is, asked for before others
// Pieces from where a client's own file ends: what sixteen ranges of the hub need to stay busy.
constexpr uint64_t kSharedLead = 64;
constexpr uint64_t kLimitStep = 4;
// After that a reader's piece is asked of any origin, whosever stripe it is in.
constexpr absl::Duration kReaderPatience = absl::Seconds(1);

}  // namespace

void Fetch::resetPieces() {
  have_.assign(count_, false);
  senders_.assign(count_, kNobody);
  haveCount_ = bytesHad_ = prefix_ = 0;
  owed_.clear();
  takenOver_.clear();
  restartClasses();
}

uint64_t Fetch::pieceBytes(uint64_t piece) const {
  return std::min(kPieceBytes, blob_.size - piece * kPieceBytes);
}

bool Fetch::askedLive(uint64_t piece) const {
  const auto it = asks_.find(piece);
  if (it == asks_.end()) return false;
  return std::any_of(it->second.begin(), it->second.end(),
                     [](const Ask& ask) { return !ask.abandoned; });
}

bool Fetch::askedOfOrigin(uint64_t piece) const {
  const auto it = asks_.find(piece);
  return it != asks_.end() && std::any_of(it->second.begin(), it->second.end(), [](const Ask& ask) {
           return ask.fromOrigin && !ask.abandoned;
         });
}

void Fetch::landed(Turn& turn, uint64_t piece, Sender sender) {
  have_[piece] = true;
  senders_[piece] = sender;
  ++haveCount_;
  --missing_[piece % missing_.size()];
  bytesHad_ += pieceBytes(piece);
  if (sender == kHubSender) hubBytes_ += pieceBytes(piece);
  if (sender == kSwarmSender) swarmBytes_ += pieceBytes(piece);
  owed_.erase(piece);
  progressAt_ = now_;
  if (const auto waiting = waiting_.extract(piece)) {
    for (const Waiting& reader : waiting.mapped()) {
      turn.emit(AnswerReader{reader.ask, absl::OkStatus(), id_});
    }
    noteReaders();
  }
  const auto it = promised_.find(piece);
  if (it == promised_.end()) return;
  for (const Promised& promise : it->second) {
    turn.emit(AnswerPiece{promise.peer, promise.ask, ReadOutcome::kData, id_});
  }
  promisedCount_ -= it->second.size();
  promised_.erase(it);
}

uint64_t Fetch::limit() const {
  // Others would wait for a slow client.
  if (!settled_ || !readersOnly_ || grant_.wanters.size() > 1) return count_;
  uint64_t end = *settled_ + kSharedLead;
  if (!waiting_.empty()) end = std::max(end, waiting_.rbegin()->first + kReadAhead);
  // By steps, or the hub would be asked for a piece at a time.
  return std::min((end + kLimitStep - 1) / kLimitStep * kLimitStep, count_);
}

void Fetch::relimit(Turn& turn) {
  if (!hubRunning_ || (limit() == hubLimit_ && followed() == hubFollowed_ &&
                       leaseUntil_ == hubUntil_ && yields() == hubYields_ && pace_ == hubPace_)) {
    return;
  }
  hubYields_ = yields();
  hubPace_ = pace_;
  hubLimit_ = limit();
  hubFollowed_ = followed();
  hubUntil_ = leaseUntil_;
  turn.emit(LimitHub{id_, hubLimit_, hubFollowed_, hubUntil_, hubYields_, hubPace_});
}

void Fetch::maybeFinish(Turn& turn) {
  if (state_ != State::kRunning || haveCount_ < count_) return;
  state_ = State::kFinishing;
  stopHub(turn);
  turn.emit(FinishBlob{id_});
}

// ---- Reads that end.

void Fetch::pieceRead(Turn& turn, const PieceRead& event) {
  now_ = turn.now();
  const std::optional<Sources::Index> index = sources_.find(event.source);
  const auto it = asks_.find(event.piece);
  if (!index || it == asks_.end()) return;
  const auto ask = std::find_if(it->second.begin(), it->second.end(),
                                [&](const Ask& a) { return a.source == *index; });
  if (ask == it->second.end()) return;
  const absl::Time askedAt = ask->at;
  const bool fromOrigin = ask->fromOrigin;
  const bool fromHolder = ask->fromHolder;
  const bool ownStripe = ask->ownStripe;
  const bool came = event.outcome.ok() && *event.outcome == ReadOutcome::kData;
  const uint64_t bytes = came ? pieceBytes(event.piece) : 0;
  if (ownStripe) ownPace_.ended(now_, bytes);
  settleAsk(*ask);
  it->second.erase(ask);
  if (it->second.empty()) asks_.erase(it);
  Source& source = sources_[*index];
  --source.inFlight;
  source.pace.ended(now_, bytes);

  if (came) {
    source.delivered(pieceBytes(event.piece), askedAt, now_);
    budget(fromOrigin).delivered();
    world_.reads.rates.measured(source.node, source.rate);
    if (!have(event.piece) && state_ == State::kRunning) landed(turn, event.piece, *index);
  } else {
    if (absl::IsDeadlineExceeded(event.outcome.status())) budget(fromOrigin).late(now_);
    readFailed(turn, event, *index, fromHolder, ownStripe);
  }
  if (state_ == State::kDraining && asks_.empty()) {
    repeatFromNext(turn);
    return;
  }
  maybeFinish(turn);
  pump(turn);
  if (gathering_) startHub(turn);
}

void Fetch::readFailed(Turn& turn, const PieceRead& event, Sender index, bool fromHolder,
                       bool ownStripe) {
  Source& source = sources_[index];
  if (!have(event.piece)) giveBack(event.piece);
  if (event.outcome.ok()) {
    switch (*event.outcome) {
      case ReadOutcome::kData:
        break;
      case ReadOutcome::kNotMine:
        if (!gathering_) source.refused(now_);
        if (source.known.has(event.piece, count_)) source.known = {};  // it began again
        // It does not stand in: it is of an older version, or has lost sight of the holders.
        if (!have(event.piece) && isStandIn(index, event.piece)) {
          owed_.insert(event.piece);
        }
        break;
      case ReadOutcome::kBusy:
        if (source.busy(now_) && ownStripe) ownPace_.idled(kBusyPause);
        progressAt_ = now_;  // it keeps a limit, or sends as fast as it can: it is there
        break;
      case ReadOutcome::kGone:
      case ReadOutcome::kCorrupt:
        if (source.complete && fromHolder) {
          source.dead = true;
        } else {
          source.refused(now_);  // has not begun, or has ended: it may hold the whole soon
        }
        sourcesStale_ = true;
        break;
    }
  } else if (absl::IsUnavailable(event.outcome.status()) ||
             absl::IsDeadlineExceeded(event.outcome.status())) {
    source.failed(now_, absl::IsUnavailable(event.outcome.status()));
    if (source.failing()) sourcesStale_ = true;  // others may take its place
  } else if (state_ == State::kRunning) {
    end(turn, event.outcome.status());  // our own disk
    return;
  }
  breakPromises(turn);
}

void Fetch::abandonAsks(absl::FunctionRef<bool(const Ask&)> which) {
  for (auto& [piece, asks] : asks_) {
    bool moved = false;
    for (Ask& ask : asks) {
      if (ask.abandoned || !which(ask)) continue;
      ask.abandoned = moved = true;
    }
    if (moved && needed(piece)) giveBack(piece);
  }
}

void Fetch::giveBack(uint64_t piece) {
  uint64_t& cursor = cursors_[piece % cursors_.size()];
  cursor = std::min(cursor, piece);
  for (Source& source : sources_) source.knownScan = std::min(source.knownScan, piece);
}

// ---- Reads that begin.

void Fetch::ask(Turn& turn, Sender index, uint64_t piece) {
  Source& source = sources_[index];
  const bool fromOrigin = origin(source);
  // Of who is behind a piece may be asked elsewhere at the same time.
  const bool unsure = !fromOrigin && anyOrigin() && out(index);
  const bool ownStripe = fromOrigin && piece % cursors_.size() == mine_;
  asks_[piece].push_back(
      {index, unsure, fromOrigin, source.complete, ownStripe, background_, now_});
  source.pace.began(now_);
  if (ownStripe) ownPace_.began(now_);
  budget(fromOrigin).began(background_);
  charge(pieceBytes(piece));
  ++readsOf(fromOrigin);
  owed_.erase(piece);
  takenOver_.erase(piece);
  turn.emit(ReadPiece{id_, source.node, blob_.id, piece, source.deadline(), background_});
  ++source.inFlight;
}

ReadBudget& Fetch::budget(bool fromOrigin) const {
  return fromOrigin ? world_.reads.origins : world_.reads.wanters;
}

void Fetch::settleAsk(const Ask& ask) {
  budget(ask.fromOrigin).ended(ask.background);
  --readsOf(ask.fromOrigin);
}

std::optional<uint64_t> Fetch::nextOfClass(uint32_t residue) {
  const uint64_t classes = cursors_.size();
  const uint64_t end = limit();
  uint64_t piece = std::max<uint64_t>(cursors_[residue], residue);
  while (piece < end && !needed(piece)) piece += classes;
  cursors_[residue] = piece;
  if (piece >= end) return std::nullopt;
  return piece;
}

std::optional<uint64_t> Fetch::chooseOwed() {
  while (!owed_.empty()) {
    const uint64_t piece = *owed_.begin();
    if (needed(piece)) return piece;
    owed_.erase(owed_.begin());
  }
  return std::nullopt;
}

// Without an origin anybody may have any piece.
std::optional<uint64_t> Fetch::chooseAny(Source& source) {
  while (source.scan < count_ && !needed(source.scan)) ++source.scan;
  if (source.scan < count_) return source.scan++;
  source.scan = 0;
  source.scanned = true;
  source.coolUntil = now_ + absl::Seconds(1);
  return std::nullopt;
}

std::optional<uint64_t> Fetch::chooseForReaders() {
  const bool alone = stripes_.size() <= 1;
  for (const auto& [piece, waiting] : waiting_) {
    if (piece >= count_) break;  // waits for the whole
    const bool late = std::any_of(waiting.begin(), waiting.end(), [&](const Waiting& reader) {
      return now_ - reader.since >= kReaderPatience;
    });
    if (!alone && !late) continue;
    const uint64_t end = std::min(count_, piece + (alone ? kReadAhead : 1));
    for (uint64_t next = piece; next < end; ++next) {
      if (needed(next)) return next;
    }
    // Asked of another wanter, who is late: once more, of an origin.
    if (late && !have(piece) && !askedOfOrigin(piece)) return piece;
  }
  return std::nullopt;
}

std::optional<uint64_t> Fetch::choose(Sender index) {
  Source& source = sources_[index];
  if (!waiting_.empty() && (only_ || origin(source))) {
    if (const auto piece = chooseForReaders()) return piece;
  }
  if (only_) return nextOfClass(0);
  if (!origin(source)) {
    if (!anyOrigin()) return chooseAny(source);
    for (uint32_t residue = 0; residue < stripes_.size(); ++residue) {
      if (stripes_[residue] != index) continue;
      if (!wellAhead(residue)) {
        if (const auto piece = chooseOf(residue, source.known)) return piece;
      }
      if (out(index)) return std::nullopt;
      if (const auto piece = chooseKnown(source)) return piece;
      return chooseForAbsent(residue);
    }
    return std::nullopt;
  }
  if (const auto piece = chooseTakenOver()) return piece;
  if (const auto piece = chooseOf(mine_, {})) return piece;
  if (!settledIn() && stripes_.size() == 1) {  // began in the middle: the part before it
    cursors_[0] = 0;
    if (const auto piece = nextOfClass(0)) return piece;
  }
  if (const auto piece = chooseOwed()) return piece;
  return chooseForAbsent(mine_);
}

// Reads from origins, before the wanters know of one another. The registrar's first word comes at
// once and says where to begin, so only a client's read does not wait for it. If others were told
// to begin as well it is worth waiting for them, where a piece does not come at once.
int Fetch::mayReadUnsettled() const {
  constexpr absl::Duration kWordAwaited = absl::Milliseconds(100);
  constexpr absl::Duration kCompanyAwaited = absl::Milliseconds(500);
  constexpr uint64_t kPiecesMin = 16;
  const absl::Duration since = now_ - begunAt_;
  if (company_ && count_ >= kPiecesMin && since < kCompanyAwaited) return 0;
  if (grants_ == 0 && waiting_.empty() && since < kWordAwaited) return 0;
  return stripes_.size() > 1 ? Source::kFirstWindow : 2 * Source::kFirstWindow;
}

// Asks a source for one piece, if it may be asked for more.
void Fetch::askNext(Turn& turn, Sender index) {
  // Before the wanters know of one another each takes little.
  int window = settledIn() ? sources_[index].window : 2 * Source::kFirstWindow;
  // Reads wait at a leaseholder for the hub, also those that were asked before it was one.
  if (sources_[index].leaseholder) window = kReadWindow;
  if (swarm_ == Swarm::kJoined) window = std::min(window, swarmWindow());
  const bool fromOrigin = origin(sources_[index]);
  if (!fromOrigin && sources_[index].slow) window = 1;
  if (!settledIn() && originReads_ >= mayReadUnsettled()) return;
  if (sources_[index].inFlight >= window || sources_[index].coolUntil > now_ ||
      !budget(fromOrigin).allows(readsOf(fromOrigin), yields()) || !mayTake()) {
    return;
  }
  if (const auto piece = choose(index)) ask(turn, index, *piece);
}

void Fetch::pump(Turn& turn) {
  if (state_ != State::kRunning) return;
  refresh(turn);
  relimit(turn);
  if (state_ != State::kRunning || hubRunning_) return;
  followSwarm(turn);
  // Those that are asked for least come first: where the budget is short, none is left out.
  int most = kReadWindow;
  for (const Source& source : sources_) most = std::max(most, source.window);
  for (int underWay = 0; underWay < most; ++underWay) {
    for (Sender i = 0; i < sources_.size(); ++i) {
      if (sources_[i].inFlight == underWay && mayReadFrom(i)) askNext(turn, i);
    }
  }
}

// Towards the end, what waits longest is asked of a second source, within a small budget.
void Fetch::hedge(Turn& turn) {
  if (hubRunning_ || only_ || state_ != State::kRunning || swarm_ == Swarm::kJoined || yields() ||
      !mayTake()) {
    return;
  }
  // All wanters together.
  const uint64_t budget =
      std::max<uint64_t>(1, count_ * kHedgePercentMax / 100 / std::max<size_t>(1, stripes_.size()));
  if (hedgedPieces_ >= budget || asks_.empty()) return;
  for (Sender i = 0; i < sources_.size() && hedgedPieces_ < budget; ++i) {
    if (!origin(sources_[i]) || !mayReadFrom(i) || sources_[i].inFlight > 0) continue;
    std::optional<std::pair<absl::Time, uint64_t>> oldest;
    for (const auto& [piece, asks] : asks_) {
      if (asks.size() != 1 || have(piece) || asks.front().source == i) continue;
      const Source& slow = sources_[asks.front().source];
      if (now_ - std::max(asks.front().at, slow.lastDone) < slow.deadline() / 2) continue;
      const std::pair<absl::Time, uint64_t> candidate{asks.front().at, piece};
      if (!oldest || candidate < *oldest) oldest = candidate;
    }
    if (!oldest) return;
    ++hedgedPieces_;
    ask(turn, i, oldest->second);
  }
}

// ---- Sources.

bool Fetch::usable(const Source& source) const {
  return !source.dead && world_.members.usable(source.node) &&
         !world_.distrust.contains(blob_.id, source.node);
}

bool Fetch::anyHolder() const {
  return anyHolderBut(world_.members.self().id);  // which is no source
}

bool Fetch::anyHolderBut(const NodeId& node) const {
  return std::any_of(sources_.begin(), sources_.end(), [&](const Source& source) {
    return source.complete && usable(source) && source.node != node;
  });
}

bool Fetch::origin(const Source& source) const {
  return source.complete || (source.leaseholder && !hubRunning_);
}

bool Fetch::anyOrigin() const {
  return std::any_of(sources_.begin(), sources_.end(),
                     [&](const Source& s) { return origin(s) && usable(s); });
}

bool Fetch::mayReadFrom(Sender index) const {
  if (only_) return *only_ == index && usable(sources_[index]);
  const Source& source = sources_[index];
  return (source.complete || source.wanter || source.leaseholder) && usable(source) &&
         !leftToSwarm(source);
}

void Fetch::refresh(Turn& turn) {
  if (!std::exchange(sourcesStale_, false)) return;
  refreshHolders();
  refreshStripes();
  // What was asked of a node that is away may be asked elsewhere.
  abandonAsks([&](const Ask& ask) { return !usable(sources_[ask.source]); });
  if (hubRunning_ && rule_ != SourceRule::kHubOnly && only_ != kHubSender && anyHolder()) {
    dropLease(turn);
  }
  breakPromises(turn);
  // Its one source is away; or, instead of the hub that others may be reading, one of them has it.
  const bool elsewhere =
      only_ == kHubSender ? !hubRunning_ && anyHolder() : only_ && !usable(sources_[*only_]);
  if (elsewhere) {
    state_ = State::kDraining;
    if (asks_.empty()) repeatFromNext(turn);
  }
}

// ---- Promises.

bool Fetch::promisable(uint64_t piece, const NodeId& to) const {
  if (state_ != State::kRunning) return false;
  if (hubRunning_ && leased()) return true;
  if (const auto it = asks_.find(piece); it != asks_.end()) {
    for (const Ask& ask : it->second) {
      const Source& source = sources_[ask.source];
      if (ask.abandoned || source.node == to) continue;
      if (source.complete || source.known.has(piece, count_)) return true;
    }
  }
  if (only_ || !anyHolderBut(to) || (swarm_ == Swarm::kJoined && !numbered())) return false;
  return !askedLive(piece) && (piece % cursors_.size() == mine_ || takenOver_.contains(piece));
}

// For the other wanters: what is here, and what is on its way from a holder.
PieceMap Fetch::promised() const {
  std::vector<bool> promised = have_;
  for (const auto& [piece, asks] : asks_) {
    if (std::any_of(asks.begin(), asks.end(), [&](const Ask& ask) {
          return !ask.abandoned && sources_[ask.source].complete;
        })) {
      promised[piece] = true;
    }
  }
  return PieceMap::of(promised);
}

void Fetch::breakPromises(Turn& turn) {
  for (auto it = promised_.begin(); it != promised_.end();) {
    std::erase_if(it->second, [&](const Promised& promise) {
      if (promisable(it->first, promise.peer)) return false;
      turn.emit(AnswerPiece{promise.peer, promise.ask, ReadOutcome::kNotMine, std::nullopt});
      --promisedCount_;
      return true;
    });
    it = it->second.empty() ? promised_.erase(it) : std::next(it);
  }
}

void Fetch::pieceAsked(Turn& turn, const NodeId& peer, AskId ask, uint64_t piece) {
  now_ = turn.now();
  const auto answer = [&](ReadOutcome outcome) {
    turn.emit(AnswerPiece{peer, ask, outcome,
                          outcome == ReadOutcome::kData ? std::optional(id_) : std::nullopt});
  };
  if (piece >= count_) return answer(ReadOutcome::kGone);
  if (registered_ &&
      std::find(grant_.wanters.begin(), grant_.wanters.end(), peer) == grant_.wanters.end()) {
    world_.wants.hurry(blob_.id, now_);  // a wanter that the registrar has not told us of
  }
  if (writerOpen_ && have(piece)) return answer(ReadOutcome::kData);
  const bool over = !promisable(piece, peer) && takeOver(piece, peer);
  if (!promisable(piece, peer)) return answer(ReadOutcome::kNotMine);
  if (promisedCount_ >= kPromisesMax) return answer(ReadOutcome::kBusy);
  promised_[piece].push_back({peer, ask});
  ++promisedCount_;
  if (over) pump(turn);
}

// ---- Readers of this node.

void Fetch::readersGone(Turn& turn) {
  now_ = turn.now();
  answerReaders(turn, absl::CancelledError("no longer waited for"));
}

void Fetch::answerReaders(Turn& turn, const absl::Status& status) {
  for (const auto& [piece, waiting] : std::exchange(waiting_, {})) {
    for (const Waiting& reader : waiting) {
      turn.emit(AnswerReader{reader.ask, status, std::nullopt});
    }
  }
  noteReaders();
}

void Fetch::pieceWanted(Turn& turn, AskId ask, uint64_t piece) {
  now_ = turn.now();
  if (state_ == State::kEnded) {
    turn.emit(AnswerReader{ask, result_, std::nullopt});
  } else if (writerOpen_ && (piece < count_ ? have(piece) : verified_)) {
    turn.emit(AnswerReader{ask, absl::OkStatus(), id_});
  } else {
    waiting_[piece].push_back({ask, now_});
    noteReaders();
    pump(turn);
  }
}

}  // namespace roost
