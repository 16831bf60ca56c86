// What a fetch does when the whole was wrong: repeats it from one other source, compares the pieces
// of both attempts, and names who sent the wrong ones. A wanter that passed pieces on is never
// blamed: it cannot have known.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cluster/fetch.h"

namespace roost {

void Fetch::verified(Turn& turn) {
  now_ = turn.now();
  if (state_ != State::kFinishing) return;
  verified_ = true;
  if (const auto waiting = waiting_.extract(count_)) {
    for (const Waiting& reader : waiting.mapped()) {
      turn.emit(AnswerReader{reader.ask, absl::OkStatus(), id_});
    }
    noteReaders();
  }
}

void Fetch::finished(Turn& turn, const BlobFinished& event) {
  now_ = turn.now();
  if (state_ != State::kFinishing) return;
  if (event.status.ok()) {
    if (wrongOnce_) nameLiars(turn, event);
    writerOpen_ = false;
    end(turn, absl::OkStatus());
    return;
  }
  if (!absl::IsDataLoss(event.status)) {
    end(turn, event.status);
    return;
  }
  if (!wrongOnce_) {
    wrongHashes_ = event.pieceHashes;
    wrongSenders_ = senders_;
    for (const Source& source : sources_) {
      wrongVerified_.push_back(source.complete && !source.unverified);
    }
    wrongOnce_ = true;
  }
  repeat(turn);
}

// The one sender of all pieces, if it was one.
std::optional<Fetch::Sender> Fetch::soleSender() const {
  if (only_) return only_;
  if (senders_.empty()) return std::nullopt;
  const Sender first = senders_.front();
  const bool all =
      std::all_of(senders_.begin(), senders_.end(), [&](Sender sender) { return sender == first; });
  if (!all || first == kDiskSender || first == kSwarmSender || first == kNobody) {
    return std::nullopt;
  }
  return first;
}

void Fetch::repeat(Turn& turn) {
  if (const std::optional<Sender> sole = soleSender()) {
    if (*sole == kHubSender) {
      hubFailures_ = 1 << 10;
      hubError_ = absl::DataLossError("what the hub sent does not match its own digest");
    } else if (sources_[*sole].complete) {
      proveWrong(turn, *sole, !sources_[*sole].unverified);
    }
  }
  leaveSwarm(turn);
  state_ = State::kDraining;
  breakPromises(turn);
  if (asks_.empty()) repeatFromNext(turn);
}

// A verified holder that sent wrong bytes is named; one that never hashed the file is corrected
// without blame.
void Fetch::proveWrong(Turn& turn, Sender sender, bool verified) {
  Source& source = sources_[sender];
  source.dead = true;
  if (!world_.distrust.add(blob_.id, source.node)) return;
  const std::string name = world_.members.nameOf(source.node);
  if (verified) {
    turn.warn(absl::StrCat("node ", name, " sent wrong bytes of ", blob_.id.toString(), " (",
                           site_.path.text(), " of ", site_.repo.toString(),
                           "). It is not asked for it again; run `roost verify` there"));
  } else {
    turn.inform(absl::StrCat("the unverified copy of ", blob_.id.toString(), " on node ", name,
                             " is not what its name says; it is not used"));
  }
}

std::optional<Fetch::Sender> Fetch::nextSuspect() {
  std::vector<Sender> fresh;  // sent nothing of the wrong whole
  std::vector<Sender> others;
  for (Sender i = 0; i < sources_.size(); ++i) {
    if (!sources_[i].complete || !usable(sources_[i])) continue;
    const bool took =
        std::find(wrongSenders_.begin(), wrongSenders_.end(), i) != wrongSenders_.end();
    (took ? others : fresh).push_back(i);
  }
  const std::vector<Sender>& from = fresh.empty() ? others : fresh;
  if (!from.empty()) return from[pick(from.size())];
  if (hubOpen()) return kHubSender;
  return std::nullopt;
}

void Fetch::repeatFromNext(Turn& turn) {
  only_.reset();
  refreshHolders();
  const std::optional<Sender> next = nextSuspect();
  if (!next) {
    end(turn, hopeless());
    return;
  }
  only_ = next;
  turn.emit(RestartBlob{id_, true});
  resetPieces();
  settled_.reset();
  state_ = State::kRunning;
  hopeAt_ = progressAt_ = now_;
  sourcesStale_ = true;
  if (*only_ == kHubSender) world_.wants.hurry(blob_.id, now_);
  pump(turn);
}

void Fetch::nameLiars(Turn& turn, const BlobFinished& event) {
  const size_t pieces =
      std::min({wrongHashes_.size(), event.pieceHashes.size(), wrongSenders_.size()});
  for (size_t piece = 0; piece < pieces; ++piece) {
    if (wrongHashes_[piece] == event.pieceHashes[piece]) continue;
    const Sender sender = wrongSenders_[piece];
    if (sender >= wrongVerified_.size()) continue;  // the hub, or an old temporary
    const bool holder = wrongVerified_[sender] || sources_[sender].unverified;
    if (holder) proveWrong(turn, sender, wrongVerified_[sender]);
  }
}

}  // namespace roost
