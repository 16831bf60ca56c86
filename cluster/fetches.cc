#include "cluster/fetches.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "protocol/limits.h"

namespace roost {

bool Fetches::room(uint64_t blobBytes) const {
  if (blobBytes <= kInlineBlobBytesMax) {
    return small_ < kSmallFetchesActiveMax && smallBytes_ < kSmallFetchBytesMax;
  }
  return flights_.size() - small_ < kFetchesActiveMax;
}

absl::Status Fetches::want(Turn& turn, const BlobInfo& blob, const BlobSite& site, SourceRule rule,
                           const ObtainKey& owner) {
  if (const auto it = byBlob_.find(blob.id); it != byBlob_.end()) {
    Flight& flight = flights_.at(it->second);
    if (flight.fetch->blob().size != blob.size) {
      return absl::InvalidArgumentError(
          absl::StrCat("two sizes are given for ", blob.id.toString(), ": ", blob.size, " and ",
                       flight.fetch->blob().size, " bytes. One of the listings is wrong"));
    }
    if (std::find(flight.owners.begin(), flight.owners.end(), owner) == flight.owners.end()) {
      flight.owners.push_back(owner);
    }
    flight.fetch->widen(rule);
    ownersChanged(flight);
    return absl::OkStatus();
  }
  const FetchId id{next_++};
  auto fetch = std::make_unique<Fetch>(id, blob, site, rule, world_);
  Fetch& begun = *fetch;
  ownersChanged(flights_.emplace(id, Flight{std::move(fetch), {owner}}).first->second);
  byBlob_.emplace(blob.id, id);
  if (begun.small()) {
    ++small_;
    smallBytes_ += blob.size;
  }
  begun.start(turn);
  return absl::OkStatus();
}

void Fetches::release(Turn& turn, const BlobId& blob, const ObtainKey& owner) {
  const auto it = byBlob_.find(blob);
  if (it == byBlob_.end()) return;
  Flight& flight = flights_.at(it->second);
  std::erase(flight.owners, owner);
  ownersChanged(flight);
  if (!flight.owners.empty() || flight.fetch->isVerified()) return;
  flight.fetch->cancel(turn);
  anyEnded_ = true;
}

void Fetches::ownersChanged(Flight& flight) {
  flight.fetch->setReadersOnly(
      std::all_of(flight.owners.begin(), flight.owners.end(),
                  [](const ObtainKey& owner) { return owner.job >= kFirstReaderJob; }));
}

Fetch* Fetches::find(FetchId id) {
  const auto it = flights_.find(id);
  return it == flights_.end() ? nullptr : it->second.fetch.get();
}

const Fetch* Fetches::find(const BlobId& blob) const {
  const auto it = byBlob_.find(blob);
  return it == byBlob_.end() ? nullptr : flights_.at(it->second).fetch.get();
}

void Fetches::on(Turn& turn, const WriterOpened& event) {
  if (Fetch* fetch = find(event.fetch)) {
    fetch->writerOpened(turn, event);
    anyEnded_ |= fetch->ended();
  } else if (event.piecesPresent.ok()) {
    turn.emit(CloseWriter{event.fetch, true});  // cancelled before it was open
  }
}

void Fetches::on(Turn& turn, const WriterShared& event) {
  if (Fetch* fetch = find(event.fetch)) fetch->writerShared(turn, event);
}

void Fetches::on(Turn& turn, const WriterLost& event) {
  const auto it = flights_.find(event.fetch);
  if (it == flights_.end()) return;
  if (it->second.owners.empty()) {
    it->second.fetch->cancel(turn);
    anyEnded_ = true;
  } else {
    it->second.fetch->writerLost(turn);
  }
}

void Fetches::on(Turn& turn, const PieceRead& event) {
  Fetch* fetch = find(event.fetch);
  if (fetch == nullptr) return;
  fetch->pieceRead(turn, event);
  anyEnded_ |= fetch->ended();
}

void Fetches::on(Turn& turn, const SmallRead& event) {
  Fetch* fetch = find(event.fetch);
  if (fetch == nullptr) return;
  fetch->smallRead(turn, event);
  anyEnded_ |= fetch->ended();
}

void Fetches::on(Turn& turn, const HubPiece& event) {
  Fetch* fetch = find(event.fetch);
  if (fetch == nullptr) return;
  fetch->hubPiece(turn, event.piece);
  anyEnded_ |= fetch->ended();
}

void Fetches::on(Turn& turn, const HubEnded& event) {
  Fetch* fetch = find(event.fetch);
  if (fetch == nullptr) return;
  fetch->hubEnded(turn, event.status);
  anyEnded_ |= fetch->ended();
}

void Fetches::on(Turn& turn, const SwarmKnown& event) {
  if (Fetch* fetch = find(event.fetch)) fetch->swarmKnown(turn, event.status);
}

void Fetches::on(Turn& turn, const SwarmEnded& event) {
  Fetch* fetch = find(event.fetch);
  if (fetch == nullptr) return;
  fetch->swarmEnded(turn, event.status);
  anyEnded_ |= fetch->ended();
}

void Fetches::on(Turn& turn, const SwarmPiece& event) {
  Fetch* fetch = find(event.fetch);
  if (fetch == nullptr) return;
  fetch->swarmPiece(turn, event.piece);
  anyEnded_ |= fetch->ended();
}

void Fetches::on(Turn& turn, const BlobVerified& event) {
  if (Fetch* fetch = find(event.fetch)) fetch->verified(turn);
}

void Fetches::on(Turn& turn, const BlobFinished& event) {
  Fetch* fetch = find(event.fetch);
  if (fetch == nullptr) return;
  fetch->finished(turn, event);
  anyEnded_ |= fetch->ended();
}

void Fetches::on(Turn& turn, const PieceAsked& event) {
  const auto it = byBlob_.find(event.blob);
  if (it == byBlob_.end()) {
    // If it has just become whole, whoever serves the piece finds the file itself now.
    turn.emit(AnswerPiece{event.peer, event.ask, ReadOutcome::kGone, std::nullopt});
    return;
  }
  flights_.at(it->second).fetch->pieceAsked(turn, event.peer, event.ask, event.piece);
}

void Fetches::pieceWanted(Turn& turn, const BlobId& blob, AskId ask, uint64_t piece) {
  flights_.at(byBlob_.at(blob)).fetch->pieceWanted(turn, ask, piece);
}

void Fetches::sourcesChanged() {
  for (auto& [id, flight] : flights_) flight.fetch->sourcesChanged();
}

void Fetches::tick(Turn& turn) {
  for (auto& [id, flight] : flights_) {
    flight.fetch->tick(turn);
    anyEnded_ |= flight.fetch->ended();
  }
}

std::vector<Fetches::Ended> Fetches::takeEnded() {
  std::vector<Ended> result;
  if (!std::exchange(anyEnded_, false)) return result;
  for (auto it = flights_.begin(); it != flights_.end();) {
    const Fetch& fetch = *it->second.fetch;
    if (!fetch.ended()) {
      ++it;
      continue;
    }
    result.push_back(
        {fetch.blob(), fetch.result(), std::move(it->second.owners), fetch.received()});
    if (fetch.small()) {
      --small_;
      smallBytes_ -= fetch.blob().size;
    }
    byBlob_.erase(fetch.blob().id);
    it = flights_.erase(it);
  }
  return result;
}

}  // namespace roost
