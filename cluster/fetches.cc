#include "cluster/fetches.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "cluster/plan_input.h"
#include "protocol/limits.h"

namespace roost {

bool Fetches::room(uint64_t blobBytes) const {
  if (blobBytes <= kInlineBlobBytesMax) {
    return small_ < kSmallFetchesActiveMax && smallBytes_ < kSmallFetchBytesMax;
  }
  return flights_.size() - small_ < kFetchesActiveMax;
}

absl::Status Fetches::want(Turn& turn, const BlobInfo& blob, const BlobSite& site, SourceRule rule,
                           const ObtainKey& owner, bool company) {
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
  if (company) begun.expectCompany();
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
  if (readsOf(flight) == 0) flight.fetch->readersGone(turn);
  if (!flight.owners.empty() || flight.fetch->isVerified()) return;
  flight.fetch->cancel(turn);
  anyEnded_ = true;
}

size_t Fetches::readsOf(const Flight& flight) {
  const auto reads = [](const ObtainKey& owner) { return owner.job >= kFirstReaderJob; };
  return static_cast<size_t>(std::count_if(flight.owners.begin(), flight.owners.end(), reads));
}

void Fetches::ownersChanged(Flight& flight) {
  const size_t readers = readsOf(flight);
  flight.fetch->setReadersOnly(readers == flight.owners.size());
  flight.fetch->setBackground(readers == 0);
  flight.fetch->setPace(paceOf(flight));
}

// The widest counts: who sets no limit is not to wait for who does.
std::shared_ptr<RateLimit> Fetches::paceOf(const Flight& flight) const {
  std::shared_ptr<RateLimit> widest;
  for (const ObtainKey& owner : flight.owners) {
    const auto it = paces_.find(owner);
    if (it == paces_.end()) return nullptr;
    if (!widest || widest->rate() < it->second->rate()) widest = it->second;
  }
  return widest;
}

void Fetches::setLimit(const ObtainKey& owner, uint64_t bytesPerSecond, absl::Time now) {
  const auto it = paces_.find(owner);
  const uint64_t before = it == paces_.end() ? 0 : it->second->rate();
  if (before == bytesPerSecond) return;
  if (bytesPerSecond == 0) {
    paces_.erase(it);
  } else if (it == paces_.end()) {
    paces_.emplace(owner, std::make_shared<RateLimit>(bytesPerSecond));
  } else {
    it->second->set(bytesPerSecond, now);
  }
  for (auto& [id, flight] : flights_) {
    if (std::find(flight.owners.begin(), flight.owners.end(), owner) != flight.owners.end()) {
      ownersChanged(flight);
    }
  }
}

Plan Fetches::plan(const BlobInfo& blob, const std::optional<BlobSite>& site,
                   SourceRule rule) const {
  if (const Fetch* fetch = find(blob.id); fetch != nullptr && !fetch->ended()) {
    return fetch->plan();
  }
  return planOf(planInput(world_, blob, site ? &*site : nullptr, rule));
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

void Fetches::on(Turn& turn, const SwarmSeen& event) {
  if (Fetch* fetch = find(event.fetch)) fetch->swarmSeen(turn, event);
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

// Those that clients wait for first: what a limit leaves is theirs.
void Fetches::tick(Turn& turn) {
  for (const bool background : {false, true}) {
    for (auto& [id, flight] : flights_) {
      if (flight.fetch->background() != background) continue;
      flight.fetch->tick(turn);
      anyEnded_ |= flight.fetch->ended();
    }
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
