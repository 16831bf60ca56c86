// When a fetch takes its blob from a swarm, and how it goes on without one.
//
// A holder is asked for the hash tree; if that takes long, pieces come by the direct lane
// meanwhile. When it is known and the last reads have ended, what is missing is the swarm's. If
// nothing comes by it, or it ends, the direct lane goes on from what is here.
#include <algorithm>

#include "cluster/fetch.h"
#include "protocol/limits.h"

namespace roost {
namespace {

constexpr absl::Duration kSwarmStall = absl::Seconds(10);
// For a tree that is known already. Another is computed meanwhile: a read of the whole blob.
constexpr absl::Duration kSwarmPatience = absl::Milliseconds(500);

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

// Holders that were found, and who wants it too.
std::vector<NodeId> Fetch::swarmPeers() const {
  std::vector<NodeId> peers = swarmHolders();
  for (const NodeId& wanter : grant_.wanters) {
    if (wanter == world_.members.self().id || !world_.members.offers(wanter, kFeatureSwarm))
      continue;
    if (std::find(peers.begin(), peers.end(), wanter) == peers.end()) peers.push_back(wanter);
  }
  return peers;
}

bool Fetch::swarmMayHelp() const {
  if (only_ || settled_ || readersOnly_ || !settledIn() || rule_ == SourceRule::kHubOnly) {
    return false;
  }
  return world_.swarmNodes > 0 && grant_.wanters.size() >= world_.swarmNodes && !small();
}

// Looked for once a second: there may be many holders.
bool Fetch::swarmPlanned() {
  if (now_ < swarmLookAt_) return false;
  swarmLookAt_ = now_ + absl::Seconds(1);
  return plan().lane == Lane::kSwarm;
}

// True while no piece is to be asked of anybody else.
bool Fetch::viaSwarm(Turn& turn) {
  switch (swarm_) {
    case Swarm::kUnasked: {
      if (!swarmMayHelp() || !swarmPlanned()) return false;
      std::vector<NodeId> holders = swarmHolders();
      if (holders.empty()) return false;
      swarm_ = Swarm::kAsked;
      swarmAt_ = now_;
      turn.emit(SwarmAsk{id_, std::move(holders)});
      return true;
    }
    case Swarm::kKnown: {
      if (!swarmMayHelp()) return false;
      if (!asks_.empty()) return true;  // or they would come twice
      swarm_ = Swarm::kJoined;
      swarmAt_ = now_;
      breakPromises(turn);
      swarmTold_ = swarmPeers();
      const auto of = static_cast<uint32_t>(std::max<size_t>(1, stripes_.size()));
      turn.emit(SwarmJoin{id_, swarmTold_, mine_, of});
      return true;
    }
    case Swarm::kJoined: {
      if (now_ - swarmAt_ > kSwarmStall || only_) {
        leaveSwarm(turn);
        return false;
      }
      std::vector<NodeId> more;
      for (const NodeId& peer : swarmPeers()) {
        if (std::find(swarmTold_.begin(), swarmTold_.end(), peer) == swarmTold_.end()) {
          more.push_back(peer);
        }
      }
      if (!more.empty()) {
        swarmTold_.insert(swarmTold_.end(), more.begin(), more.end());
        turn.emit(SwarmPeers{id_, std::move(more)});
      }
      return true;
    }
    case Swarm::kAsked:
      return now_ - swarmAt_ < kSwarmPatience;
    case Swarm::kOver:
      break;
  }
  return false;
}

void Fetch::leaveSwarm(Turn& turn) {
  if (swarm_ == Swarm::kJoined || swarm_ == Swarm::kAsked || swarm_ == Swarm::kKnown) {
    turn.emit(SwarmLeave{id_});
  }
  swarm_ = Swarm::kOver;
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
