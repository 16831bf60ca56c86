#include "node/representations.h"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <utility>

#include "cluster/rendezvous.h"
#include "node/on_worker.h"
#include "protocol/errors.h"

namespace roost {

namespace asio = boost::asio;

namespace {

constexpr absl::Duration kPause = absl::Milliseconds(10);
constexpr absl::Duration kSavePeriod = absl::Minutes(1);
constexpr int kGetTries = 3;
constexpr size_t kWarmedMax = 2'048;  // in one call

}  // namespace

// Answers of several registrars to one question.
struct LeaseRound {
  explicit LeaseRound(const asio::any_io_executor& executor) : changed(executor) {}
  std::vector<std::pair<RepresentationKey, ComputeVerdict>> verdicts;
  size_t asking = 0;
  Signal changed;
};

Representations::Representations(Seams seams, std::vector<AdvertChange> told)
    : s_(std::move(seams)),
      told_(std::move(told)),
      work_(std::make_shared<LoopWork>(s_.io, s_.pool)),
      index_(std::make_shared<InOrderOfIndex>(
          work_, [this](const InOrderOfIndex::Job& job) { return s_.index.submit(job); })),
      timers_(s_.io),
      changed_(s_.io.get_executor()),
      store_({.pool = s_.pool,
              .work = work_,
              .index = index_,
              .reservations = s_.reservations,
              .root = s_.root,
              .quota = s_.quota,
              .self = s_.core.self().id,
              .changed = s_.changed,
              .report = s_.report}),
      peers_({.work = work_, .timers = timers_, .lanes = s_.lanes, .addressesOf = s_.addressesOf}),
      watch_({.work = work_, .timers = timers_, .store = store_, .roots = s_.watched}) {}

// ---- Life

void Representations::start() {
  asio::co_spawn(s_.io, run(), asio::detached);
}

asio::awaitable<void> Representations::run() {
  std::vector<RepresentationRow> watched = co_await store_.load(std::move(told_));
  if (stopped_) co_return;
  watch_.restore(watched);
  store_.settled();
  ready_ = true;
  changed_.notify();
  asio::co_spawn(s_.io, watch_.run(), asio::detached);
  while (!stopped_) {
    co_await timers_.sleep(kSavePeriod);
    store_.saveUses();
  }
}

void Representations::stop() {
  stopped_ = true;
  watch_.stop();
  changed_.notify();
  store_.saveUses();
  store_.stop();
  index_->stop();
  work_->stop();
  timers_.stop();
}

asio::awaitable<void> Representations::becomeReady(bool acquainted) {
  while (!stopped_ && !ready_) co_await changed_.wait();
  while (!stopped_ && acquainted && !s_.core.acquainted(absl::Now())) {
    co_await timers_.sleep(kPause);
  }
}

asio::awaitable<std::shared_ptr<void>> Representations::turn() {
  while (!stopped_ && batches_ >= kRepresentationBatchesMax) co_await changed_.wait();
  ++batches_;
  co_return std::shared_ptr<void>(this, [this](void*) {
    --batches_;
    changed_.notify();
  });
}

std::string Representations::nameOf(const NodeId& node) const {
  const auto view = s_.core.node(node);
  return view ? view->info.name : node.hex();
}

// ---- Who has it

Representations::Usable Representations::usable() const {
  const auto members = s_.core.membersWith(kFeatureRepresentations);
  return {members.begin(), members.end()};
}

Representations::Where Representations::where(const RepresentationKey& key,
                                              const Usable& usable) const {
  Where result;
  const HeldRepresentation* held = store_.table().find(key);
  const NodeId& self = s_.core.self().id;
  const auto claims = s_.core.representation(key);
  const auto counts = [&](const RepresentationHolderView& one) {
    return one.node != self && usable.contains(one.node);
  };
  const auto oldest = std::find_if(claims.begin(), claims.end(), counts);
  if (held != nullptr && (oldest == claims.end() || !isOlder(oldest->claim, held->claim))) {
    result.claim = held->claim;
    result.isHere = true;
  } else if (oldest != claims.end()) {
    result.claim = oldest->claim;
  }
  if (!result.claim) return result;
  for (const auto& one : claims) {
    if (counts(one) && one.claim.blob == result.claim->blob) result.holders.push_back(one.node);
  }
  return result;
}

// ---- Get

asio::awaitable<absl::StatusOr<Representations::Got>> Representations::get(RepresentationKey key,
                                                                           bool headOnly) {
  co_await becomeReady(false);
  for (int tries = 0; tries < kGetTries; ++tries) {
    Where at = where(key, usable());
    if (!at.claim) {
      co_await becomeReady(true);
      at = where(key, usable());
    }
    if (!at.claim || stopped_) break;
    absl::StatusOr<Got> got = absl::NotFoundError("");
    if (at.isHere) {
      got = co_await getHere(key, at, headOnly);
    } else {
      WantedRepresentation wanted{key, *at.claim, at.holders};
      if (headOnly) {
        const std::vector<WantedRepresentation> one(1, wanted);
        const auto said = co_await peers_.provenances(one);
        if (said.front()) got = Got{*at.claim, said.front()->canonical(), nullptr, nullptr};
      } else if (at.claim->blob.size <= kInlineBlobBytesMax) {
        got = co_await getSmall(std::move(wanted));
      } else {
        const absl::Status fetched = co_await fetchLarge(std::move(wanted));
        if (absl::IsOutOfRange(fetched) || absl::IsResourceExhausted(fetched)) co_return fetched;
      }
    }
    if (got.ok()) co_return got;
  }
  co_return absl::NotFoundError("no node has this representation");
}

asio::awaitable<absl::StatusOr<Representations::Got>> Representations::getHere(
    RepresentationKey key, Where at, bool headOnly) {
  Got got{*at.claim, "", nullptr, nullptr};
  if (headOnly) {
    store_.used(key);
  } else if (at.claim->blob.size <= kInlineBlobBytesMax) {
    const std::vector<RepresentationKey> one(1, key);
    const auto values = co_await store_.read(one);
    if (!values.front()) co_return absl::NotFoundError("");  // given up: tried elsewhere
    got.value = values.front();
  } else {
    using Opened = std::shared_ptr<const LocalBlob>;
    const std::function<void(std::function<void(Opened)>)> open =
        [&](std::function<void(Opened)> done) { store_.open(key, std::move(done)); };
    const Opened none;
    got.file = co_await awaitCallback<Opened>(open, none);
    if (!got.file) {
      store_.foundBad(key, absl::AbortedError("its file is gone, or was changed"));
      co_return absl::NotFoundError("");
    }
  }
  got.provenance = co_await store_.provenance(key);
  if (got.provenance.empty()) co_return absl::NotFoundError("");
  co_return got;
}

asio::awaitable<absl::StatusOr<Representations::Got>> Representations::getSmall(
    WantedRepresentation wanted) {
  const std::vector<WantedRepresentation> one(1, wanted);
  const auto values = co_await peers_.small(one);
  if (!values.front()) co_return absl::NotFoundError("");
  const auto said = co_await peers_.provenances(one);
  if (!said.front()) co_return absl::NotFoundError("");
  Got got{wanted.claim, said.front()->canonical(), values.front(), nullptr};
  std::vector<NewRepresentation> toKeep(1, {wanted.claim, said.front(), values.front()});
  asio::co_spawn(s_.io, keepAll(std::move(toKeep)), asio::detached);
  co_return got;
}

// Another request for the same value waits for this one.
asio::awaitable<absl::Status> Representations::fetchLarge(WantedRepresentation wanted) {
  if (flights_.contains(wanted.key)) {
    while (!stopped_ && flights_.contains(wanted.key)) co_await changed_.wait();
    co_return absl::OkStatus();
  }
  flights_.insert(wanted.key);
  absl::Status result = absl::NotFoundError("no node gave it");
  const std::vector<WantedRepresentation> one(1, wanted);
  const auto said = co_await peers_.provenances(one);
  // From all together; if one of them lies, from each alone.
  std::vector<std::vector<NodeId>> tries(1, wanted.holders);
  for (const NodeId& holder : wanted.holders) {
    if (wanted.holders.size() > 1) tries.emplace_back(1, holder);
  }
  for (size_t i = 0; said.front() && i < tries.size() && !stopped_; ++i) {
    auto writer = co_await store_.openWriter(wanted.key, wanted.claim.blob.size);
    if (!writer.ok()) {
      result = writer.status();
      break;
    }
    auto hashes = co_await peers_.large(wanted.claim, tries[i], *writer);
    if (!hashes.ok()) {
      result = hashes.status();
      if (absl::IsDataLoss(result)) s_.report(std::string(result.message()));
      if (i == 0 && !absl::IsDataLoss(result)) break;  // each was asked for what was missing
      continue;
    }
    const NewRepresentation value{wanted.claim, said.front(), nullptr};
    result = co_await store_.keep(*writer, value, std::move(hashes->pieces));
    if (result.ok()) break;
  }
  flights_.erase(wanted.key);
  changed_.notify();
  co_return result;
}

asio::awaitable<Representations::GotMany> Representations::getMany(
    std::vector<RepresentationKey> keys) {
  co_await becomeReady(false);
  GotMany got;
  const std::shared_ptr<void> held = co_await turn();
  std::vector<Value> values(keys.size());
  std::vector<bool> isLeft(keys.size(), false);
  std::vector<size_t> here;
  std::vector<size_t> elsewhere;
  uint64_t room = kRepresentationBundleBytesMax;
  for (int pass = 0; pass < 2; ++pass) {
    here.clear();
    elsewhere.clear();
    std::vector<RepresentationKey> hereKeys;
    std::vector<WantedRepresentation> wanted;
    const Usable others = usable();
    bool unknown = false;
    for (size_t i = 0; i < keys.size(); ++i) {
      if (values[i] || isLeft[i]) continue;
      const Where at = where(keys[i], others);
      unknown = unknown || !at.claim;
      if (!at.claim) continue;
      const uint64_t size = at.claim->blob.size;
      if (size > room || (!at.isHere && size > kInlineBlobBytesMax)) {
        isLeft[i] = true;
        continue;
      }
      room -= size;
      if (at.isHere) {
        here.push_back(i);
        hereKeys.push_back(keys[i]);
      } else {
        elsewhere.push_back(i);
        wanted.push_back({keys[i], *at.claim, at.holders});
      }
    }
    const bool wasReady = s_.core.acquainted(absl::Now());
    if (!here.empty()) {
      auto read = co_await store_.read(std::move(hereKeys));
      for (size_t i = 0; i < here.size(); ++i) values[here[i]] = std::move(read[i]);
    }
    if (!elsewhere.empty()) {
      const auto fetched = co_await peers_.small(wanted);
      for (size_t i = 0; i < elsewhere.size(); ++i) values[elsewhere[i]] = fetched[i];
      asio::co_spawn(s_.io, keepBehind(std::move(wanted), fetched, held), asio::detached);
    }
    // Once more for what was found bad here, or is heard of only now.
    const bool bad = std::any_of(here.begin(), here.end(), [&](size_t i) { return !values[i]; });
    if (!bad && (!unknown || wasReady)) break;
    co_await becomeReady(true);
  }
  for (size_t i = 0; i < keys.size(); ++i) {
    if (values[i]) {
      got.values.emplace_back(keys[i], std::move(values[i]));
    } else {
      (isLeft[i] ? got.left : got.missing).push_back(keys[i]);
    }
  }
  co_return got;
}

// What came from peers is kept here, behind the answer. Its provenance is in the value, or asked
// for.
asio::awaitable<void> Representations::keepBehind(std::vector<WantedRepresentation> wanted,
                                                  std::vector<Value> values,
                                                  std::shared_ptr<void> turn) {
  const std::shared_ptr<void> held = std::move(turn);  // until they are kept
  using Provenances = std::vector<RepresentationPeers::ProvenancePtr>;
  const auto all = std::make_shared<const std::vector<WantedRepresentation>>(std::move(wanted));
  const auto shared = std::make_shared<const std::vector<Value>>(std::move(values));
  const std::function<Provenances()> read = [all, shared] {
    Provenances said(all->size());
    for (size_t i = 0; i < all->size(); ++i) {
      if (!(*shared)[i]) continue;
      const auto form = checkSafetensors(*(*shared)[i]);
      if (!form.ok() || !form->provenance) continue;
      auto parsed = Provenance::parse(*form->provenance);
      if (!parsed.ok() || parsed->key() != (*all)[i].key) continue;
      said[i] = std::make_shared<const Provenance>(*std::move(parsed));
    }
    return said;
  };
  const WorkSpec spec{"representations", WorkPriority::kNormal, ""};
  const auto said = co_await onWorker<Provenances>(work_, spec, read);
  if (!said) co_return;
  std::vector<WantedRepresentation> silent;
  std::vector<size_t> places;
  for (size_t i = 0; i < all->size(); ++i) {
    if (!(*shared)[i] || (*said)[i]) continue;
    silent.push_back((*all)[i]);
    places.push_back(i);
  }
  if (!silent.empty()) {
    const auto asked = co_await peers_.provenances(std::move(silent));
    for (size_t i = 0; i < places.size(); ++i) (*said)[places[i]] = asked[i];
  }
  std::vector<NewRepresentation> toKeep;
  for (size_t i = 0; i < all->size(); ++i) {
    if (!(*shared)[i] || !(*said)[i]) continue;
    toKeep.push_back({(*all)[i].claim, (*said)[i], (*shared)[i]});
  }
  co_await keepAll(std::move(toKeep));
}

// But for those that are being written already.
asio::awaitable<void> Representations::keepAll(std::vector<NewRepresentation> values) {
  std::vector<NewRepresentation> toKeep;
  std::vector<RepresentationKey> keys;
  for (NewRepresentation& one : values) {
    const RepresentationKey key = one.provenance->key();
    if (!writing_.emplace(key, one.claim.blob.id).second) continue;
    keys.push_back(key);
    toKeep.push_back(std::move(one));
  }
  const auto kept = co_await store_.keep(std::move(toKeep));
  for (const RepresentationKey& key : keys) writing_.erase(key);
}

// ---- Warm

asio::awaitable<Representations::Warmed> Representations::warm(
    std::vector<RepresentationKey> keys) {
  co_await becomeReady(true);
  const std::shared_ptr<void> held = co_await turn();
  if (keys.empty()) {
    s_.core.eachRepresentation([&](const RepresentationKey& key) {
      if (store_.table().find(key) == nullptr) keys.push_back(key);
    });
  }
  const Usable others = usable();
  Warmed result;
  // What is kept may not push out what is here.
  uint64_t room = quota() - std::min(quota(), ownBytes());
  uint64_t asked = 0;
  std::vector<WantedRepresentation> small, large;
  for (const RepresentationKey& key : keys) {
    const Where at = where(key, others);
    if (!at.claim) result.unknown.push_back(key);
    if (!at.claim || at.isHere) continue;
    const uint64_t size = at.claim->blob.size;
    const size_t chosen = small.size() + large.size();
    if (size > room) {
      ++result.noRoom;
    } else if (chosen == kWarmedMax ||
               (chosen > 0 && asked + size > kRepresentationBundleBytesMax)) {
      ++result.left;
    } else {
      room -= size;
      asked += size;
      auto& list = size <= kInlineBlobBytesMax ? small : large;
      list.push_back({key, *at.claim, at.holders});
    }
  }
  const auto note = [&](const WantedRepresentation& one) {
    const bool isHere = store_.table().find(one.key) != nullptr;
    ++(isHere ? result.fetched : result.failed);
    if (isHere) result.bytes += one.claim.blob.size;
  };
  if (!small.empty()) {
    const auto values = co_await peers_.small(small);
    co_await keepBehind(small, values, nullptr);
  }
  std::for_each(small.begin(), small.end(), note);
  for (const WantedRepresentation& one : large) {
    if (stopped_) break;
    co_await fetchLarge(one);
    note(one);
  }
  co_return result;
}

// ---- Put

RepresentationClaim Representations::claimOf(const BlobInfo& value) const {
  return {value, absl::FromUnixMillis(absl::ToUnixMillis(absl::Now())), s_.core.self().id};
}

bool Representations::isToBeKept(const RepresentationKey& key, const Usable& usable,
                                 RepresentationClaim& claim, Put& result) {
  std::optional<BlobId> before;
  const auto arriving = writing_.find(key);
  const Where at = where(key, usable);
  if (arriving != writing_.end()) {
    before = arriving->second;
  } else if (at.claim) {
    before = at.claim->blob.id;
  }
  if (!before) {
    writing_.emplace(key, claim.blob.id);
    return true;
  }
  if (*before != claim.blob.id) {
    result.kept = before;
    if (refused_.size() >= kConflictsKept) refused_.erase(refused_.begin());
    auto& conflict = refused_.try_emplace(key, Conflict{key, *before, {}}).first->second;
    conflict.used = *before;
    if (std::find(conflict.others.begin(), conflict.others.end(), claim.blob.id) ==
            conflict.others.end() &&
        conflict.others.size() < 4) {
      conflict.others.push_back(claim.blob.id);
    }
    return false;
  }
  result.known = true;
  if (at.isHere || arriving != writing_.end()) return false;
  claim = *at.claim;
  writing_.emplace(key, claim.blob.id);
  return true;
}

void Representations::wasKept(const RepresentationKey& key, const absl::Status& status) {
  writing_.erase(key);
  if (status.ok()) leases_.done(key);
}

asio::awaitable<std::vector<Representations::Put>> Representations::putMany(
    std::vector<NewRepresentation> values) {
  co_await becomeReady(false);
  std::vector<Put> results;
  std::vector<NewRepresentation> toKeep;
  std::vector<size_t> places;
  const Usable others = usable();
  for (NewRepresentation& value : values) {
    Put result{absl::OkStatus(), value.claim.blob.id, false, std::nullopt};
    if (value.claim.blob.size > quota()) {
      result.status = absl::OutOfRangeError("larger than representations_quota");
    } else if (isToBeKept(value.provenance->key(), others, value.claim, result)) {
      places.push_back(results.size());
      toKeep.push_back(std::move(value));
    }
    results.push_back(std::move(result));
  }
  std::vector<RepresentationKey> keys;
  for (const auto& one : toKeep) keys.push_back(one.provenance->key());
  const auto kept = co_await store_.keep(std::move(toKeep));
  for (size_t i = 0; i < kept.size(); ++i) {
    wasKept(keys[i], kept[i]);
    results[places[i]].status = kept[i];
  }
  co_return results;
}

asio::awaitable<absl::StatusOr<Representations::Writer>> Representations::openWriter(
    RepresentationKey key, std::optional<uint64_t> size) {
  co_await becomeReady(false);
  co_return co_await store_.openWriter(key, size);
}

asio::awaitable<Representations::Put> Representations::put(
    std::shared_ptr<const Provenance> provenance, Writer writer, BlobHashes hashes) {
  NewRepresentation value{claimOf({hashes.id, writer->bytes()}), provenance, nullptr};
  Put result{absl::OkStatus(), hashes.id, false, std::nullopt};
  if (!isToBeKept(provenance->key(), usable(), value.claim, result)) co_return result;
  result.status = co_await store_.keep(writer, value, std::move(hashes.pieces));
  wasKept(provenance->key(), result.status);
  co_return result;
}

// ---- Leases

std::vector<ComputeVerdict> Representations::decide(const ComputeLeaseRequest& request) {
  std::vector<ComputeVerdict> verdicts;
  const absl::Time now = absl::Now();
  for (const RepresentationKey& key : request.keys) {
    ComputeVerdict verdict = ComputeVerdict::kGranted;
    if (request.release) {
      leases_.release(key, request.holder);
    } else if (store_.table().find(key) != nullptr || !s_.core.representation(key).empty()) {
      leases_.done(key);
      verdict = ComputeVerdict::kPresent;
    } else {
      verdict = leases_.ask(now, key, request.holder, request.duration);
    }
    verdicts.push_back(verdict);
  }
  return verdicts;
}

void Representations::leaseAsked(const ComputeLeaseRequest& request, const PeerAnswer& answer) {
  answer(Reply(ComputeLeaseReply{decide(request)}));
}

asio::awaitable<void> Representations::askRegistrar(NodeId registrar, ComputeLeaseRequest request,
                                                    std::shared_ptr<LeaseRound> round) {
  const Request question(request);
  const auto reply = co_await askPeer(s_.call, timers_, registrar, question, kComputeLeasePatience);
  const auto* said = reply.ok() ? std::get_if<ComputeLeaseReply>(&*reply) : nullptr;
  for (size_t i = 0; i < request.keys.size(); ++i) {
    // In doubt something is computed twice.
    const bool answered = said != nullptr && i < said->verdicts.size();
    round->verdicts.emplace_back(request.keys[i],
                                 answered ? said->verdicts[i] : ComputeVerdict::kGranted);
  }
  --round->asking;
  round->changed.notify();
}

asio::awaitable<Representations::Leases> Representations::lease(ComputeLeaseRequest request) {
  co_await becomeReady(!request.release);
  const auto executor = co_await asio::this_coro::executor;
  const auto round = std::make_shared<LeaseRound>(executor);
  const std::vector<NodeId> members = s_.core.membersWith(kFeatureRepresentations);
  const Usable others(members.begin(), members.end());
  std::map<NodeId, std::vector<ComputeLeaseRequest>> questions;
  Leases result;
  ComputeLeaseRequest empty = request;
  empty.keys.clear();
  for (const RepresentationKey& key : request.keys) {
    if (!request.release && where(key, others).claim) {
      result.present.push_back(key);
      continue;
    }
    const NodeId registrar =
        members.empty() ? s_.core.self().id : rendezvousWinner(key.asBlob(), members);
    auto& list = questions[registrar];
    if (list.empty() || list.back().keys.size() >= kComputeLeaseKeysMax) list.push_back(empty);
    list.back().keys.push_back(key);
  }
  for (auto& [registrar, list] : questions) {
    for (ComputeLeaseRequest& question : list) {
      if (registrar == s_.core.self().id) {
        const auto verdicts = decide(question);
        for (size_t i = 0; i < verdicts.size(); ++i) {
          round->verdicts.emplace_back(question.keys[i], verdicts[i]);
        }
        continue;
      }
      ++round->asking;
      asio::co_spawn(executor, askRegistrar(registrar, std::move(question), round), asio::detached);
    }
  }
  while (round->asking > 0) co_await round->changed.wait();
  for (const auto& [key, verdict] : round->verdicts) {
    // Present, as the registrar knows before this node: soon to be had.
    (verdict == ComputeVerdict::kGranted ? result.granted : result.others).push_back(key);
  }
  co_return result;
}

// ---- For peers

void Representations::open(const BlobId& blob,
                           std::function<void(std::shared_ptr<const LocalBlob>)> answer) {
  const auto key = store_.table().keyOf(blob);
  if (!key) return answer(nullptr);
  store_.open(*key, std::move(answer));
}

void Representations::provenances(std::vector<RepresentationKey> keys,
                                  std::function<void(std::vector<std::string>)> answer) {
  index_->submit([keys = std::move(keys), answer = std::move(answer)](Index& index) {
    std::vector<std::string> texts;
    for (const RepresentationKey& key : keys) {
      const auto text = index.provenance(key);
      texts.push_back(text.ok() ? *text : "");
    }
    answer(std::move(texts));
  });
}

void Representations::foundBad(const RepresentationKey& key, const absl::Status& why) {
  store_.foundBad(key, why);
}

void Representations::foundBadBlob(const BlobId& blob, const absl::Status& why) {
  while (const auto key = store_.table().keyOf(blob)) store_.foundBad(*key, why);
}

// ---- For people

std::vector<Representations::Conflict> Representations::conflicts() const {
  std::map<RepresentationKey, Conflict> all = refused_;
  for (const RepresentationConflict& conflict : s_.core.representationConflicts()) {
    Conflict one{conflict.key, conflict.claims.front().claim.blob.id, {}};
    for (const auto& claim : conflict.claims) {
      if (claim.claim.blob.id != one.used) one.others.push_back(claim.claim.blob.id);
    }
    all.insert_or_assign(one.key, std::move(one));
  }
  for (const RepresentationKey& key : store_.table().conflicts()) {
    Conflict one{key, store_.table().find(key)->claim.blob.id, {}};
    for (const auto& claim : store_.table().others(key)) one.others.push_back(claim.blob.id);
    all.try_emplace(key, std::move(one));
  }
  std::vector<Conflict> list;
  for (auto& [key, conflict] : all) list.push_back(std::move(conflict));
  return list;
}

asio::awaitable<std::vector<RepresentationCount>> Representations::count() {
  co_await becomeReady(false);
  const std::function<std::vector<RepresentationCount>(Index&)> read = [](Index& index) {
    auto counts = index.countRepresentations();
    return counts.ok() ? *std::move(counts) : std::vector<RepresentationCount>();
  };
  const auto counts = co_await onQueue(index_, read);
  co_return counts ? *counts : std::vector<RepresentationCount>();
}

RepresentationStore::Evicted Representations::evict(const std::vector<RepresentationKey>& keys) {
  return store_.evict(keys);
}

RepresentationStore::Evicted Representations::evictLeastUsed(uint64_t bytes) {
  return store_.evictLeastUsed(bytes);
}

}  // namespace roost
