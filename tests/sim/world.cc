#include "tests/sim/world.h"

#include <algorithm>
#include <cstring>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "protocol/limits.h"

namespace roost::sim {
namespace {

uint64_t mixed(uint64_t x) {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

Address addressOf(NodeIndex node) {
  return {absl::StrCat("node-", node), 8376};
}

uint64_t pieceSize(const BlobInfo& blob, uint64_t piece) {
  return std::min(kPieceBytes, blob.size - std::min(blob.size, piece * kPieceBytes));
}

}  // namespace

Tag rightTag(const BlobId& blob, uint64_t piece) {
  uint64_t head = 0;
  std::memcpy(&head, blob.digest().data(), sizeof(head));
  return mixed(head ^ mixed(piece));
}

BlobId blobOfNumber(uint64_t number) {
  Sha256 digest{};
  for (size_t i = 0; i < 4; ++i) {
    const uint64_t word = mixed(number * 4 + i);
    std::memcpy(digest.data() + 8 * i, &word, 8);
  }
  return BlobId::sha256(digest);
}

Commit commitOfNumber(uint64_t number) {
  return *Commit::parse(absl::StrFormat("%040x", number));
}

World::World(const WorldOptions& options)
    : options_(options),
      now_(absl::FromUnixSeconds(1'700'000'000)),
      flows_(options.seed, [this](uint64_t read) { return beginsToSend(read); }) {
  for (NodeIndex i = 0; i < options.nodes; ++i) {
    std::unique_ptr<Node> node(new Node{MemberInfo{NodeId::ofNumber(i + 1)}});
    node->info.name = absl::StrCat("n", i);
    node->info.addresses = {addressOf(i)};
    if (i < options.stores.size()) node->info.stores = options.stores[i];
    node->random.seed(mixed(options.seed * 1'000 + i));
    node->rate = options.linkBytesPerSecond;
    flows_.setRate(now_, i, node->rate);
    nodes_.push_back(std::move(node));
  }
}

World::~World() = default;

// ---- The clock.

void World::at(absl::Time time, std::function<void()> what) {
  queue_.push({std::max(time, now_), order_++, std::move(what)});
}

void World::runUntil(absl::Time time) {
  runUntilDone(time - now_, [] { return false; });
}

bool World::runUntilDone(absl::Duration most, const std::function<bool()>& done) {
  const absl::Time end = now_ + most;
  uint64_t sinceLook = 0;
  if (done()) return true;
  while (!queue_.empty() && queue_.top().time <= end) {
    const auto what = std::move(const_cast<Scheduled&>(queue_.top()).what);
    now_ = queue_.top().time;
    queue_.pop();
    what();
    if (++sinceLook % 64 == 0 && done()) return true;
  }
  now_ = end;
  return done();
}

void World::send(NodeIndex index, const Event& event) {
  Node& node = *nodes_[index];
  if (!node.core) return;
  ++events_;
  for (Effect& effect : node.core->on(event, now_)) {
    perform(index, effect);
    if (!node.core) return;
  }
  scheduleTick(index);
}

void World::scheduleTick(NodeIndex index) {
  Node& node = *nodes_[index];
  const absl::Time due = std::max(node.core->nextTick(), now_);
  if (node.tickAt <= due && node.tickAt >= now_) return;
  node.tickAt = due;
  const uint64_t life = node.life;
  at(due, [=, this] { tick(index, life); });
}

void World::tick(NodeIndex index, uint64_t life) {
  Node& node = *nodes_[index];
  if (node.life != life || !node.core || node.tickAt != now_) return;
  node.tickAt = absl::InfiniteFuture();
  send(index, Tick{});
}

void World::perform(NodeIndex node, Effect& effect) {
  std::visit([&](const auto& e) { perform(node, e); }, effect);
}

// ---- Nodes.

std::optional<NodeIndex> World::indexOf(const NodeId& id) const {
  for (NodeIndex i = 0; i < nodes_.size(); ++i) {
    if (nodes_[i]->info.id == id) return i;
  }
  return std::nullopt;
}

void World::start(NodeIndex index) {
  Node& node = *nodes_[index];
  ++node.life;
  ++node.info.epoch;
  node.tickAt = absl::InfiniteFuture();
  Core::Options options{node.info};
  if (index != 0) options.seeds.push_back(addressOf(0));
  if (index != 1 && nodes_.size() > 1) options.seeds.push_back(addressOf(1));
  options.hubAllowed = node.hubAllowed;
  options.logId = node.random();
  options.downloads = node.downloads.get();
  node.core = std::make_unique<Core>(options, node.random);
  const auto saved = node.saved;
  for (const auto& [peer, copy] : saved) {
    send(index, CatalogRestored{peer, copy.position, copy.changes});
  }
  NodeSummary summary;
  summary.state = NodeState::kReady;
  summary.stores = node.info.stores;
  send(index, SummaryChanged{summary});
  LocalChanged changed;
  for (const auto& [blob, copy] : node.disk) {
    BlobAdvert advert{{blob, copy.size}};
    advert.unverified = copy.unverified;
    changed.changes.push_back({0, Advert(advert)});
  }
  send(index, changed);
  const auto jobs = node.savedJobs;
  for (const auto& [id, view] : jobs) send(index, JobRestored{AskId{nextAsk_++}, view});
  send(index, Tick{});
}

void World::crash(NodeIndex index) {
  Node& node = *nodes_[index];
  node.core.reset();
  ++node.life;
  node.writers.clear();
  node.hub.clear();
  flows_.drop(now_, index);
  followFlows();
  node.clients.clear();
  node.readUpTo.clear();
  for (NodeIndex other = 0; other < nodes_.size(); ++other) {
    if (other != index && linkOf(index, other) != 0) linkDown(index, other);
  }
  std::vector<uint64_t> broken;
  for (const auto& [id, read] : reads_) {
    if (read.source == index || read.reader == index) broken.push_back(id);
  }
  for (const uint64_t id : broken) {
    const PendingRead read = reads_.at(id);
    if (read.source == index && reachable(read.reader, index)) {
      endRead(id, absl::UnavailableError("the connection was reset"), std::nullopt);
    } else if (read.reader == index) {
      reads_.erase(id);
    }
  }
}

bool World::reachable(NodeIndex a, NodeIndex b) const {
  return side_.contains(a) == side_.contains(b);
}

void World::deliver(NodeIndex a, NodeIndex b, std::function<bool()> alive,
                    std::function<void()> what) {
  if (!alive()) return;
  if (reachable(a, b)) {
    what();
    return;
  }
  later(absl::Milliseconds(200), [=, this] { deliver(a, b, alive, what); });
}

void World::partition(const std::set<NodeIndex>& side) {
  side_ = side;
}

uint64_t& World::linkOf(NodeIndex a, NodeIndex b) {
  return links_[{std::min(a, b), std::max(a, b)}];
}

void World::breakLink(NodeIndex a, NodeIndex b) {
  if (linkOf(a, b) != 0) linkDown(a, b);
}

void World::linkDown(NodeIndex a, NodeIndex b) {
  const uint64_t serial = linkOf(a, b);
  linkOf(a, b) = 0;
  // Both ends hear of it a moment later, after their calls were answered.
  std::vector<PendingCall> lost;
  for (auto it = calls_.begin(); it != calls_.end();) {
    if (it->second.link == serial) {
      lost.push_back(it->second);
      it = calls_.erase(it);
    } else {
      ++it;
    }
  }
  const uint64_t lifeA = nodes_[a]->life;
  const uint64_t lifeB = nodes_[b]->life;
  later(absl::ZeroDuration(), [=, this] {
    for (const PendingCall& call : lost) {
      const uint64_t life = call.caller == a ? lifeA : lifeB;
      if (nodes_[call.caller]->life != life) continue;
      send(call.caller,
           Answered{call.call, idOf(call.callee), absl::UnavailableError("link lost")});
    }
    if (nodes_[a]->life == lifeA) send(a, LinkDown{idOf(b)});
    if (nodes_[b]->life == lifeB) send(b, LinkDown{idOf(a)});
  });
}

void World::perform(NodeIndex node, const Dial& effect) {
  const uint64_t life = nodes_[node]->life;
  later(options_.latency * 2, [=, this] {
    if (nodes_[node]->life != life) return;
    NodeIndex target = 0;
    while (target < nodes_.size() && addressOf(target) != effect.address) ++target;
    if (target == nodes_.size() || !up(target) || !reachable(node, target)) {
      send(node, DialFailed{effect.address, absl::UnavailableError("refused"), std::nullopt});
      return;
    }
    const MemberInfo callerInfo = nodes_[node]->info;
    const MemberInfo targetInfo = nodes_[target]->info;
    const LinkVerdict theirs = core(target).judge(callerInfo, false);
    const LinkVerdict ours = core(node).judge(targetInfo, true);
    const auto takes = [](LinkVerdict verdict) {
      return verdict == LinkVerdict::kAccept || verdict == LinkVerdict::kReplace;
    };
    if (node == target || !takes(theirs) || !takes(ours)) {
      send(node, DialFailed{effect.address, absl::AlreadyExistsError("refused"), targetInfo.id});
      return;
    }
    if (linkOf(node, target) != 0) linkDown(node, target);
    later(absl::ZeroDuration(), [=, this] {
      if (nodes_[node]->life != life || !up(target) || linkOf(node, target) != 0) return;
      if (nodes_[target]->info.epoch != targetInfo.epoch) return;
      linkOf(node, target) = nextSerial_++;
      send(target, LinkUp{callerInfo, std::nullopt});
      send(node, LinkUp{targetInfo, effect.address});
    });
  });
}

void World::perform(NodeIndex node, const Hangup& effect) {
  const auto other = indexOf(effect.peer);
  if (other && linkOf(node, *other) != 0) linkDown(node, *other);
}

// ---- Messages.

void World::perform(NodeIndex node, const Call& effect) {
  const auto callee = indexOf(effect.peer);
  const uint64_t serial = callee ? linkOf(node, *callee) : 0;
  const uint64_t life = nodes_[node]->life;
  if (serial == 0) {
    later(absl::ZeroDuration(), [=, this] {
      if (nodes_[node]->life != life) return;
      send(node, Answered{effect.call, effect.peer, absl::UnavailableError("no link")});
    });
    return;
  }
  const AskId ask{nextAsk_++};
  calls_.emplace(ask, PendingCall{node, *callee, effect.call, serial});
  later(options_.latency, [=, this] {
    deliver(
        node, *callee, [=, this] { return calls_.contains(ask); },
        [=, this] {
          send(*callee, Asked{idOf(node), ask, effect.request});
        });
  });
}

void World::perform(NodeIndex node, const Respond& effect) {
  const auto it = calls_.find(effect.ask);
  if (it == calls_.end()) return;  // the link was lost
  if (it->second.callee != node) {
    violations_.push_back("somebody answered another's question");
    return;
  }
  const NodeIndex caller = it->second.caller;
  later(options_.latency, [=, this] {
    deliver(
        caller, node, [=, this] { return calls_.contains(effect.ask); },
        [=, this] {
          const PendingCall pending = calls_.at(effect.ask);
          calls_.erase(effect.ask);
          send(pending.caller, Answered{pending.call, idOf(node), effect.reply});
        });
  });
}

// ---- Disks.

void World::putOnHub(const BlobInfo& blob) {
  hubBlobs_[blob.id] = blob.size;
}

void World::putOnDisk(NodeIndex index, const BlobInfo& blob, bool unverified,
                      const std::set<uint64_t>& wrongPieces) {
  Copy copy{blob.size, {}, unverified};
  for (uint64_t piece = 0; piece < pieceCount(blob.size); ++piece) {
    copy.tags.push_back(rightTag(blob.id, piece) ^ (wrongPieces.contains(piece) ? 0xbad : 0));
  }
  nodes_[index]->disk[blob.id] = copy;
  if (up(index)) advertise(index, blob.id);
}

void World::setFree(NodeIndex node, uint64_t bytes) {
  nodes_[node]->freeBytes = bytes;
}
void World::setRate(NodeIndex node, double bytesPerSecond) {
  nodes_[node]->rate = bytesPerSecond;
  flows_.setRate(now_, node, bytesPerSecond);
  followFlows();
}
void World::setZone(NodeIndex node, const std::string& zone) {
  nodes_[node]->info.zone = zone;
}
void World::setHubAllowed(NodeIndex node, bool allowed) {
  nodes_[node]->hubAllowed = allowed;
}

bool World::published(NodeIndex node, const BlobId& blob) const {
  return nodes_[node]->disk.contains(blob);
}

bool World::holdsRight(NodeIndex node, const BlobId& blob) const {
  const auto it = nodes_[node]->disk.find(blob);
  if (it == nodes_[node]->disk.end()) return false;
  for (uint64_t piece = 0; piece < it->second.tags.size(); ++piece) {
    if (it->second.tags[piece] != rightTag(blob, piece)) return false;
  }
  return true;
}

bool World::repoPublished(NodeIndex node, const Commit& commit) const {
  return nodes_[node]->repos.contains(commit.hex());
}

void World::advertise(NodeIndex index, const BlobId& blob) {
  const Copy& copy = nodes_[index]->disk.at(blob);
  BlobAdvert advert{{blob, copy.size}};
  advert.unverified = copy.unverified;
  send(index, LocalChanged{{AdvertChange{0, Advert(advert)}}});
}

void World::perform(NodeIndex index, const OpenWriter& effect) {
  const uint64_t life = nodes_[index]->life;
  later(absl::Microseconds(100), [=, this] {
    Node& node = *nodes_[index];
    if (node.life != life) return;
    node.writers.insert_or_assign(effect.fetch, Writer{effect.blob});
    Partial& partial = node.partials[effect.blob.id];
    partial.tags.resize(pieceCount(effect.blob.size));
    std::vector<uint64_t> present;
    for (uint64_t piece = 0; piece < partial.tags.size(); ++piece) {
      if (partial.tags[piece]) present.push_back(piece);
    }
    send(index, WriterOpened{effect.fetch, present});
  });
}

void World::perform(NodeIndex index, const FinishBlob& effect) {
  const uint64_t life = nodes_[index]->life;
  later(absl::Milliseconds(1), [=, this] {
    Node& node = *nodes_[index];
    if (node.life != life) return;
    const auto writer = node.writers.find(effect.fetch);
    if (writer == node.writers.end()) {
      violations_.push_back("a blob was finished without a writer");
      return;
    }
    const BlobInfo blob = writer->second.blob;
    const Partial& partial = node.partials[blob.id];
    BlobFinished event{effect.fetch, absl::OkStatus(), {}};
    Copy copy{blob.size, {}, false};
    for (uint64_t piece = 0; piece < partial.tags.size(); ++piece) {
      if (!partial.tags[piece]) {
        violations_.push_back("a blob was finished with a piece missing");
        return;
      }
      copy.tags.push_back(*partial.tags[piece]);
      event.pieceHashes.push_back(hashOf(*partial.tags[piece]));
      if (*partial.tags[piece] != rightTag(blob.id, piece)) {
        event.status = absl::DataLossError("the hash does not match");
      }
    }
    if (event.status.ok()) {
      node.disk[blob.id] = copy;
      node.partials.erase(blob.id);
      node.writers.erase(writer);
    }
    send(index, event);
    if (event.status.ok() && up(index)) advertise(index, blob.id);
  });
}

std::array<uint8_t, 16> World::hashOf(Tag tag) const {
  std::array<uint8_t, 16> hash{};
  std::memcpy(hash.data(), &tag, sizeof(tag));
  return hash;
}

void World::perform(NodeIndex index, const RestartBlob& effect) {
  Node& node = *nodes_[index];
  const auto writer = node.writers.find(effect.fetch);
  if (writer == node.writers.end()) return;
  Partial& partial = node.partials[writer->second.blob.id];
  std::fill(partial.tags.begin(), partial.tags.end(), std::nullopt);
}

void World::perform(NodeIndex index, const CloseWriter& effect) {
  Node& node = *nodes_[index];
  const auto writer = node.writers.find(effect.fetch);
  if (writer == node.writers.end()) return;
  if (!effect.keepPartial) node.partials.erase(writer->second.blob.id);
  node.writers.erase(writer);
}

void World::perform(NodeIndex index, const CheckPresent& effect) {
  const uint64_t life = nodes_[index]->life;
  later(absl::Microseconds(500), [=, this] {
    Node& node = *nodes_[index];
    if (node.life != life) return;
    PresenceKnown event{effect.obtain, absl::OkStatus(), {}, node.freeBytes};
    for (const FileEntry& file : effect.listing.files) {
      event.present.push_back(node.disk.contains(file.blob.id));
    }
    send(index, event);
  });
}

void World::perform(NodeIndex index, const PublishRepo& effect) {
  const uint64_t life = nodes_[index]->life;
  later(absl::Microseconds(500), [=, this] {
    Node& node = *nodes_[index];
    if (node.life != life) return;
    for (const FileEntry& file : effect.listing.files) {
      if (!node.disk.contains(file.blob.id)) {
        violations_.push_back(
            absl::StrCat(node.info.name, " published a repo without ", file.path.text()));
      }
    }
    node.repos.insert(effect.listing.commit.hex());
    send(index, RepoPublished{effect.obtain, absl::OkStatus()});
  });
}

// ---- Reads between nodes.

void World::perform(NodeIndex index, const ReadPiece& effect) {
  const auto source = indexOf(effect.source);
  const uint64_t id = nextSerial_++;
  const BlobInfo blob = nodes_[index]->writers.at(effect.fetch).blob;
  reads_.emplace(id, PendingRead{index, *source, nodes_[index]->life, effect.fetch, blob,
                                 effect.piece, false, effect.background});
  later(options_.latency, [=, this] { readArrives(id); });
  later(effect.deadline,
        [=, this] { endRead(id, absl::DeadlineExceededError("no answer in time"), std::nullopt); });
}

void World::perform(NodeIndex index, const ReadSmall& effect) {
  const auto source = indexOf(effect.source);
  const uint64_t id = nextSerial_++;
  reads_.emplace(
      id, PendingRead{index, *source, nodes_[index]->life, effect.fetch, effect.blob, 0, true});
  later(options_.latency, [=, this] { readArrives(id); });
  later(absl::Seconds(30),
        [=, this] { endRead(id, absl::DeadlineExceededError("no answer in time"), std::nullopt); });
}

void World::readArrives(uint64_t id) {
  const auto it = reads_.find(id);
  if (it == reads_.end()) return;
  const PendingRead read = it->second;
  if (!reachable(read.reader, read.source)) return;  // its deadline ends it
  if (!up(read.source)) {
    endRead(id, absl::UnavailableError("connection refused"), std::nullopt);
    return;
  }
  const Node& source = *nodes_[read.source];
  const auto copy = source.disk.find(read.blob.id);
  if (copy != source.disk.end()) {
    const bool there = read.piece < copy->second.tags.size() || read.blob.size == 0;
    answerRead(
        id, there ? ReadOutcome::kData : ReadOutcome::kGone,
        there && read.blob.size > 0 ? std::optional(copy->second.tags[read.piece]) : std::nullopt);
    return;
  }
  if (read.small) {
    answerRead(id, ReadOutcome::kGone, std::nullopt);
    return;
  }
  const AskId ask{nextAsk_++};
  pieceAsks_.emplace(ask, id);
  send(read.source, PieceAsked{idOf(read.reader), ask, read.blob.id, read.piece});
}

void World::perform(NodeIndex index, const AnswerPiece& effect) {
  const auto it = pieceAsks_.find(effect.ask);
  if (it == pieceAsks_.end()) {
    violations_.push_back("a piece was answered twice");
    return;
  }
  const uint64_t id = it->second;
  pieceAsks_.erase(it);
  const auto read = reads_.find(id);
  if (read == reads_.end()) return;
  std::optional<Tag> tag;
  if (effect.outcome == ReadOutcome::kData) {
    Node& node = *nodes_[index];
    const BlobId& blob = read->second.blob.id;
    if (const auto copy = node.disk.find(blob); copy != node.disk.end()) {
      tag = copy->second.tags[read->second.piece];
    } else if (const auto partial = node.partials.find(blob); partial != node.partials.end()) {
      tag = partial->second.tags[read->second.piece];
    }
    if (!tag) {
      violations_.push_back("a piece was answered that is not there");
      return;
    }
  }
  answerRead(id, effect.outcome, tag);
}

void World::answerRead(uint64_t id, absl::StatusOr<ReadOutcome> outcome, std::optional<Tag> tag) {
  const auto it = reads_.find(id);
  if (it == reads_.end()) return;
  const NodeIndex from = it->second.source;
  if (outcome.ok() && *outcome == ReadOutcome::kData) {
    const uint64_t bytes = pieceSize(it->second.blob, it->second.piece);
    const auto turn = nodes_[from]->turns.take(bytes, it->second.background, now_);
    if (turn) {
      later(*turn, [=, this, life = nodes_[from]->life, reader = it->second.reader] {
        if (nodes_[from]->life != life || !reads_.contains(id)) return;
        PendingRead& read = reads_.at(id);
        read.tag = tag;
        flows_.push(now_, from, reader, id, bytes);
        followFlows();
      });
      return;
    }
    outcome = ReadOutcome::kBusy;
  }
  later(options_.latency, [=, this] {
    const auto again = reads_.find(id);
    if (again == reads_.end() || !reachable(again->second.reader, again->second.source)) return;
    endRead(id, outcome, tag);
  });
}

bool World::beginsToSend(uint64_t id) {
  const auto it = reads_.find(id);
  if (it == reads_.end()) return false;  // its reader has given it up
  const auto& [from, to] = std::pair(it->second.source, it->second.reader);
  const uint64_t bytes = pieceSize(it->second.blob, it->second.piece);
  nodes_[from]->sent += bytes;
  if (nodes_[from]->info.zone != nodes_[to]->info.zone) crossed_ += bytes;
  return true;
}

void World::followFlows() {
  if (flows_.next() == absl::InfiniteFuture()) return;
  at(flows_.next(), [this, turn = ++flowTurn_] {
    if (turn != flowTurn_) return;
    for (const uint64_t id : flows_.advance(now_)) {
      later(options_.latency, [this, id] {
        const auto read = reads_.find(id);
        if (read == reads_.end()) return;
        if (reachable(read->second.reader, read->second.source)) {
          endRead(id, ReadOutcome::kData, read->second.tag);
        }
      });
    }
    followFlows();
  });
}

void World::endRead(uint64_t id, absl::StatusOr<ReadOutcome> outcome, std::optional<Tag> tag) {
  const auto it = reads_.find(id);
  if (it == reads_.end()) return;
  const PendingRead read = it->second;
  reads_.erase(it);
  Node& reader = *nodes_[read.reader];
  if (reader.life != read.readerLife) return;
  const bool data = outcome.ok() && *outcome == ReadOutcome::kData;
  if (data) reader.received += pieceSize(read.blob, read.piece);
  if (read.small) {
    if (data && read.blob.size > 0 && tag != rightTag(read.blob.id, 0)) {
      outcome = absl::DataLossError("the hash does not match");
    } else if (data) {
      Copy copy{read.blob.size, {}, false};
      if (read.blob.size > 0) copy.tags = {*tag};
      reader.disk[read.blob.id] = copy;
    }
    const bool landed = outcome.ok() && data;
    send(read.reader, SmallRead{read.fetch, idOf(read.source), outcome});
    if (landed && up(read.reader)) advertise(read.reader, read.blob.id);
    return;
  }
  const auto writer = reader.writers.find(read.fetch);
  if (data && writer != reader.writers.end()) {
    // As the agent does: bytes of a piece that is there already are dropped.
    auto& slot = reader.partials[read.blob.id].tags[read.piece];
    if (!slot) slot = tag;
  }
  send(read.reader, PieceRead{read.fetch, idOf(read.source), read.piece, outcome});
}

// ---- The hub.

uint64_t World::hubServed(const BlobId& blob) const {
  const auto it = hubServedBy_.find(blob);
  return it == hubServedBy_.end() ? 0 : it->second;
}

void World::perform(NodeIndex index, const HubDownload& effect) {
  Node& node = *nodes_[index];
  if (node.hub.contains(effect.fetch)) violations_.push_back("two hub downloads of one fetch");
  const uint64_t serial = nextSerial_++;
  node.hub.insert_or_assign(effect.fetch,
                            HubJob{effect.pieces, 0, serial, effect.blob, effect.pace});
  const uint64_t life = node.life;
  const FetchId fetch = effect.fetch;
  later(absl::Milliseconds(20), [=, this] { hubStep(index, life, fetch, serial); });
}

void World::perform(NodeIndex index, const LimitHub& effect) {
  const auto it = nodes_[index]->hub.find(effect.fetch);
  if (it != nodes_[index]->hub.end()) it->second.pace = effect.pace;
}

void World::perform(NodeIndex index, const StopHub& effect) {
  nodes_[index]->hub.erase(effect.fetch);
}

void World::hubStep(NodeIndex index, uint64_t life, FetchId fetch, uint64_t serial) {
  Node& node = *nodes_[index];
  if (node.life != life) return;
  const auto it = node.hub.find(fetch);
  if (it == node.hub.end() || it->second.serial != serial) return;
  HubJob& job = it->second;
  const BlobInfo blob = job.blob;
  if (hubDown_ || !hubBlobs_.contains(blob.id)) {
    const absl::Status why = hubDown_ ? absl::UnavailableError("the hub does not answer")
                                      : absl::NotFoundError("the hub does not have it");
    node.hub.erase(it);
    send(index, HubEnded{fetch, why});
    return;
  }
  if (job.next == job.pieces.size()) {
    node.hub.erase(it);
    send(index, HubEnded{fetch, absl::OkStatus()});
    return;
  }
  absl::Duration wait = node.downloads->left(now_);
  if (job.pace) wait = std::max(wait, job.pace->left(now_));
  if (wait > absl::ZeroDuration()) {
    later(std::min(wait, absl::Milliseconds(250)),
          [=, this] { hubStep(index, life, fetch, serial); });
    return;
  }
  const uint64_t piece = job.pieces[job.next++];
  const uint64_t bytes = pieceSize(blob, piece);
  node.downloads->take(bytes, now_);
  if (job.pace) job.pace->take(bytes, now_);
  const absl::Duration time =
      absl::Seconds(static_cast<double>(bytes) / options_.hubBytesPerSecond);
  later(time, [=, this] {
    Node& then = *nodes_[index];
    if (then.life != life) return;
    const auto still = then.hub.find(fetch);
    if (still == then.hub.end() || still->second.serial != serial) return;
    hubServed_ += bytes;
    then.received += bytes;
    hubServedBy_[blob.id] += bytes;
    auto& slot = then.partials[blob.id].tags[piece];
    if (!slot) slot = rightTag(blob.id, piece);
    send(index, HubPiece{fetch, piece});
    hubStep(index, life, fetch, serial);
  });
}

// ---- Jobs and reports.

uint64_t World::order(NodeIndex coordinator, const JobOrder& order) {
  const AskId ask{nextAsk_++};
  send(coordinator, JobOrdered{ask, order});
  return nodes_[coordinator]->accepted.at(static_cast<uint64_t>(ask));
}

void World::cancel(NodeIndex coordinator, uint64_t job) {
  send(coordinator, JobCancelled{job});
}

void World::limitJob(NodeIndex coordinator, uint64_t job, uint64_t rate) {
  send(coordinator, JobLimited{job, rate});
}

// ---- Clients.

void World::read(NodeIndex index, const BlobInfo& blob) {
  const ReaderId reader{nextSerial_++};
  const BlobSite site{*RepoId::make(HubOrigin::huggingFace(), RepoType::kModel, "org/model"),
                      commitOfNumber(7), *RelativePath::parse("read")};
  send(index, ReaderBegan{reader, blob, site});
  wantNext(index, {reader, blob});
}

void World::wantNext(NodeIndex index, Client client) {
  const AskId ask{nextAsk_++};
  nodes_[index]->readUpTo[client.blob.id] = client.next;
  nodes_[index]->clients.emplace(ask, client);
  send(index, PieceWanted{client.reader, ask, client.next});
}

// It comes back for the next piece a moment later, when it has sent this one on.
void World::perform(NodeIndex index, const AnswerReader& effect) {
  Node& node = *nodes_[index];
  const auto it = node.clients.find(effect.ask);
  if (it == node.clients.end()) return;
  Client client = it->second;
  node.clients.erase(it);
  if (!effect.status.ok()) {
    violations_.push_back(absl::StrCat("a client was failed: ", effect.status.ToString()));
  }
  const bool all = !effect.from || client.next++ == pieceCount(client.blob.size);
  later(absl::Microseconds(100), [=, this, life = node.life] {
    if (nodes_[index]->life != life) return;
    if (all) {
      nodes_[index]->readUpTo.erase(client.blob.id);
      return send(index, ReaderGone{client.reader});
    }
    wantNext(index, client);
  });
}

uint64_t World::readUpTo(NodeIndex index, const BlobId& blob) const {
  const auto it = nodes_[index]->readUpTo.find(blob);
  return it == nodes_[index]->readUpTo.end() ? UINT64_MAX : it->second;
}

void World::perform(NodeIndex index, const JobAccepted& effect) {
  nodes_[index]->accepted[static_cast<uint64_t>(effect.ask)] = effect.id;
}

void World::perform(NodeIndex index, const JobChanged& effect) {
  if (!effect.structural) return;
  if (const auto view = nodes_[index]->core->job(effect.id)) {
    nodes_[index]->savedJobs.insert_or_assign(effect.id, *view);
  }
}

std::optional<JobView> World::job(NodeIndex node, uint64_t id) const {
  if (!nodes_[node]->core) return std::nullopt;
  return nodes_[node]->core->job(id);
}

void World::perform(NodeIndex index, const SaveCatalog& effect) {
  SavedCatalog& saved = nodes_[index]->saved[effect.peer];
  if (effect.reset) saved.changes.clear();
  saved.changes.insert(saved.changes.end(), effect.changes.begin(), effect.changes.end());
  saved.position = effect.position;
}

void World::perform(NodeIndex index, const Report& effect) {
  nodes_[index]->reports.push_back(effect.text);
}

size_t World::fullMeshLinks() const {
  return static_cast<size_t>(std::count_if(links_.begin(), links_.end(),
                                           [](const auto& link) { return link.second != 0; }));
}

}  // namespace roost::sim
