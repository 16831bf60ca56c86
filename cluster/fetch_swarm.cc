// When a fetch takes its blob from a swarm, and how it goes on without one.
//
// A holder is asked for the hash tree; if that takes long, pieces come by the direct lane
// meanwhile. When it is known the wanters exchange pieces in the swarm, and each takes its own
// stripe from the holders by the direct lane, but for what a peer in the swarm has: so a holder,
// which is not in the swarm, sends each byte about once. If nothing comes by it, or it ends, the
// direct lane goes on from what is here.
#include <algorithm>
#include <utility>

#include "cluster/fetch.h"
#include "protocol/limits.h"

namespace roost {
namespace {

constexpr absl::Duration kSwarmStall = absl::Seconds(10);
// So long only its own stripe is asked for while no holder has told of the tree: on a slow link the
// answer waits behind pieces. A large one takes longer to compute than to go without.
constexpr absl::Duration kSwarmPatience = absl::Seconds(2);

}  // namespace

std::vector<NodeId> Fetch::swarmHolders() const {
  std::vector<NodeId> holders;
  for (const Source& source : sources_) {
    if (source.complete && usable(source) && world_.members.offers(source.node, kFeatureSwarm)) {
      holders.push_back(source.node);
    }
  }
  return holders;
}

// Who wants it too, and is to be found in the swarm.
bool Fetch::inSwarm(const NodeId& node) const {
  return world_.members.usable(node) && world_.members.offers(node, kFeatureSwarm);
}

std::vector<NodeId> Fetch::swarmPeers() const {
  std::vector<NodeId> peers;
  for (const Source& source : sources_) {
    if (source.wanter && inSwarm(source.node)) peers.push_back(source.node);
  }
  return peers;
}

// It has a stripe of its own: of very many wanters the registrar does not number all.
bool Fetch::numbered() const {
  return std::find(grant_.wanters.begin(), grant_.wanters.end(), world_.members.self().id) !=
         grant_.wanters.end();
}

// This source is not asked: what it has comes by the swarm. Of holders each wanter takes its own
// stripe all the same, since none of them is in it.
bool Fetch::leftToSwarm(const Source& source) const {
  if (swarm_ == Swarm::kUnasked || swarm_ == Swarm::kOver) return false;
  if (swarm_ == Swarm::kAsked && now_ - swarmAt_ >= kSwarmPatience) return false;
  if (swarm_ != Swarm::kJoined && !swarmMayHelp()) return false;  // the others have gone
  return origin(source) ? !numbered() : inSwarm(source.node);
}

bool Fetch::swarmMayHelp() const {
  if (only_ || settled_ || readersOnly_ || rule_ == SourceRule::kHubOnly) return false;
  return world_.swarmNodes > 0 && grant_.wanters.size() >= world_.swarmNodes && !small();
}

// Looked for once a second: there may be many holders.
bool Fetch::swarmPlanned() {
  if (now_ < swarmLookAt_) return false;
  swarmLookAt_ = now_ + absl::Seconds(1);
  return plan().lane == Lane::kSwarm;
}

// Under a limit all peers send a piece each at once, and none is whole for long.
absl::Duration Fetch::swarmPatience() const {
  uint64_t rate = pace_ ? pace_->rate() : 0;
  if (const RateLimit* node = world_.reads.downloads; node != nullptr && node->rate() > 0) {
    rate = rate == 0 ? node->rate() : std::min(rate, node->rate());
  }
  if (rate == 0) return kSwarmStall;
  const uint64_t underWay = kPieceBytes * (swarmTold_.size() + 1);
  return kSwarmStall + absl::Seconds(static_cast<double>(underWay) / static_cast<double>(rate));
}

// What has arrived others can have: better a piece after the other than all of them at the end. The
// reads of some wanters together keep a holder busy.
int Fetch::swarmWindow() const {
  constexpr size_t kSome = 4;
  return stripes_.size() < kSome ? 2 : 1;
}

void Fetch::followSwarm(Turn& turn) {
  switch (swarm_) {
    case Swarm::kUnasked: {
      if (!swarmMayHelp() || !swarmPlanned()) return;
      std::vector<NodeId> holders = swarmHolders();
      if (holders.empty()) return;
      swarm_ = Swarm::kAsked;
      swarmAt_ = now_;
      turn.emit(SwarmAsk{id_, std::move(holders)});
      return;
    }
    case Swarm::kKnown: {
      if (!swarmMayHelp()) return;
      // What wanters were asked for would come twice.
      for (const auto& [piece, asks] : asks_) {
        for (const Ask& ask : asks) {
          if (!ask.fromOrigin && leftToSwarm(sources_[ask.source])) return;
        }
      }
      swarm_ = Swarm::kJoined;
      swarmAt_ = now_;
      for (Source& source : sources_) {  // they are not asked any more, so nothing would change it
        if (!source.wanter || !inSwarm(source.node)) continue;
        source.failures = source.refusals = 0;
        source.slow = false;
      }
      swarmTold_ = swarmPeers();
      swarmPace_ = pace_;
      turn.emit(SwarmJoin{id_, swarmTold_, pace_});
      return;
    }
    case Swarm::kJoined: {
      if (now_ - swarmAt_ > swarmPatience() || only_) return leaveSwarm(turn);
      if (swarmPace_ != pace_) {
        swarmPace_ = pace_;
        turn.emit(SwarmPace{id_, pace_});
      }
      std::vector<NodeId> more;
      for (const NodeId& peer : swarmPeers()) {
        if (std::find(swarmTold_.begin(), swarmTold_.end(), peer) == swarmTold_.end()) {
          more.push_back(peer);
        }
      }
      if (more.empty()) return;
      swarmTold_.insert(swarmTold_.end(), more.begin(), more.end());
      turn.emit(SwarmPeers{id_, std::move(more)});
      return;
    }
    case Swarm::kAsked:
    case Swarm::kOver:
      return;
  }
}

void Fetch::leaveSwarm(Turn& turn) {
  if (swarm_ == Swarm::kJoined || swarm_ == Swarm::kAsked || swarm_ == Swarm::kKnown) {
    turn.emit(SwarmLeave{id_});
  }
  swarm_ = Swarm::kOver;
  noteSeen({});
}

// A peer may be gone, with what it alone had: then that is needed again.
void Fetch::noteSeen(std::vector<bool> pieces) {
  swarmSeen_ = std::move(pieces);
  std::fill(cursors_.begin(), cursors_.end(), 0);
  for (Source& source : sources_) source.knownScan = 0;
}

void Fetch::swarmKnown(Turn& turn, const absl::Status& status) {
  now_ = turn.now();
  if (swarm_ != Swarm::kAsked) return;
  swarm_ = status.ok() ? Swarm::kKnown : Swarm::kOver;
  pump(turn);
}

void Fetch::swarmPiece(Turn& turn, uint64_t piece) {
  now_ = turn.now();
  if (piece >= count_ || have(piece) || state_ != State::kRunning) return;
  swarmAt_ = now_;
  landed(turn, piece, kSwarmSender);
  maybeFinish(turn);
}

void Fetch::swarmSeen(Turn& turn, const SwarmSeen& event) {
  now_ = turn.now();
  if (swarm_ != Swarm::kJoined) return;
  noteSeen(event.pieces);
  pump(turn);
}

void Fetch::swarmEnded(Turn& turn, const absl::Status& status) {
  now_ = turn.now();
  if (swarm_ != Swarm::kJoined) return;
  if (absl::IsResourceExhausted(status) || absl::IsInternal(status)) {
    end(turn, status);
    return;
  }
  leaveSwarm(turn);
  pump(turn);
}

}  // namespace roost
