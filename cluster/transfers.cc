#include "cluster/transfers.h"

#include <atomic>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <map>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "cache/client_follower.h"
#include "cache/client_lock.h"
#include "cache/file_system.h"
#include "cache/serial_queue.h"
#include "protocol/errors.h"
#include "protocol/limits.h"

namespace roost {

namespace asio = boost::asio;

namespace {

constexpr absl::Duration kPieceListTimeout = absl::Seconds(1);
// Below it the question costs as much as it can save.
constexpr uint64_t kNearbyBytesMin = 8 << 20;
constexpr absl::Duration kPlaceTimeout = absl::Seconds(1);
constexpr absl::Duration kSwarmWordTimeout = absl::Seconds(4);  // longer than kSwarmAnswer
constexpr absl::Duration kSwarmWordPause = absl::Milliseconds(250);
constexpr int kSwarmWordsMax = 100;  // "not yet" of one holder: a tree takes a read of the blob
// How often a client is looked for that downloads the same blob itself: it comes soon after the
// fetch began for it, or some time later. And how often its file, while there is one: the client
// is not to wait for us.
constexpr absl::Duration kLookEarly = absl::Milliseconds(20);
constexpr absl::Duration kEarly = absl::Seconds(2);
constexpr absl::Duration kLookLate = absl::Seconds(1);
constexpr absl::Duration kLookShared = absl::Milliseconds(10);
constexpr absl::Duration kLookSharedMax = absl::Milliseconds(160);  // while nothing is new in it

// What the hub is asked for at once while other nodes follow: it leaves the hub a second time if
// this node dies. 2 % of the blob, so that with what the others lack yet it stays below 5 %. One
// that yields to others: a piece.
uint64_t underWayMax(const BlobInfo& blob, bool followed, bool yields) {
  if (yields) return kPieceBytes;
  constexpr uint64_t kLeast = 2 * kPieceBytes;  // or a small blob would take one connection
  return followed ? std::max(kLeast, blob.size / 50) : UINT64_MAX;
}

uint32_t pieceLength(const BlobInfo& blob, uint64_t piece) {
  return static_cast<uint32_t>(std::min(kPieceBytes, blob.size - piece * kPieceBytes));
}

// Whatever goes wrong between the question and the answer is the source's failure, never this
// node's own: a peer that stops, or breaks its protocol, is one less to ask. Busy is an outcome
// like others.
absl::StatusOr<ReadOutcome> failureOfSource(const absl::Status& status) {
  if (absl::IsAborted(status)) return ReadOutcome::kBusy;
  if (absl::IsDeadlineExceeded(status)) return status;
  return absl::UnavailableError(status.message());
}

}  // namespace

class Transfers::Impl : public std::enable_shared_from_this<Transfers::Impl> {
 public:
  explicit Impl(Seams seams) : s_(std::move(seams)) {}

  // A large blob on its way. `own` is the queue's: its jobs run one at a time, the last closes it.
  struct Active {
    FetchId id;
    BlobInfo blob;
    BlobSite site;
    std::shared_ptr<const HubPublisher> publisher;
    std::shared_ptr<SerialQueue> queue;
    std::shared_ptr<SerialQueue> hashing;  // of pieces that the queue has stored
    std::shared_ptr<BlobWriter> own;
    std::optional<ClientFollower> follower;    // the queue's; none: clients' files are left alone
    bool finishing = false;                    // the queue's: the whole was there
    std::shared_ptr<const BlobWriter> writer;  // the same as `own`, for `loop`
    std::shared_ptr<asio::steady_timer> timer;
    absl::Time opened;
    std::optional<uint64_t> settled;  // as the core knows it
    absl::Duration sharedPause = kLookShared;
    std::string fileSystem;  // that it is written to; known when the writer is open
    // Files of holders that lie there; null: not, or not known yet.
    std::map<NodeId, std::shared_ptr<const HolderFile>> nearby;
    std::optional<HubDownloadId> hub;
    bool fromHub = false;
    std::shared_ptr<asio::steady_timer> swarmTimer;
    std::shared_ptr<const HashTree> tree;  // by which the swarm gives it
    std::optional<SwarmId> swarm;
  };
  using ActivePtr = std::shared_ptr<Active>;

  void open(const OpenWriter& effect) {
    if (stopped_) return;
    auto publisher = s_.publisherOf(effect.site);
    if (!publisher.ok()) return tell(WriterOpened{effect.fetch, publisher.status()});
    auto active = std::make_shared<Active>(Active{.id = effect.fetch,
                                                  .blob = effect.blob,
                                                  .site = effect.site,
                                                  .publisher = *std::move(publisher)});
    active->queue = queueOf(*active);
    // Of no share: what it works on is in memory.
    active->hashing = std::make_shared<SerialQueue>(s_.pool, WorkPriority::kReaderWaits, "");
    active_[effect.fetch] = active;
    submit(active, "open", [self = shared_from_this(), active] {
      const absl::Status opened = self->openShared(*active);
      if (!opened.ok()) {
        return self->post([self, active, opened] {
          self->active_.erase(active->id);
          self->tell(WriterOpened{active->id, opened});
        });
      }
      const ClientFollower::Seen seen = active->follower->look(*active->own, false, absl::Now());
      self->post([self, active, seen, writer = active->own, present = active->own->present()] {
        if (self->find(active->id) != active) return;
        active->writer = writer;
        active->opened = absl::Now();
        active->timer = std::make_shared<asio::steady_timer>(self->s_.io);
        self->seen(active, seen);
        self->tell(WriterOpened{active->id, present});
        self->lookLater(active);
      });
    });
  }

  // ---- Clients that download the same blob.

  // On the queue.
  absl::Status openShared(Active& active) const {
    ROOST_ASSIGN_OR_RETURN(BlobSlot slot,
                           active.publisher->blobSlot(active.site.repo, active.blob));
    active.follower.emplace(active.publisher->root(), active.site.repo, slot);
    ROOST_ASSIGN_OR_RETURN(active.own,
                           BlobWriter::open(std::move(slot),
                                            {.node = s_.self,
                                             .journalFolder = s_.partialFolder,
                                             .cancelled = &cancelled_,
                                             .shared = active.follower->clientAtWork(absl::Now()),
                                             .memory = s_.memory,
                                             .pages = s_.pages},
                                            s_.reservations));
    if (!s_.linkOnly && active.blob.size >= kNearbyBytesMin) {
      const auto folder = realFolder(active.publisher->root().path());
      if (folder.ok()) active.fileSystem = fileSystemNameOf(*folder);
    }
    return absl::OkStatus();
  }

  void lookLater(const ActivePtr& active) {
    const bool early = absl::Now() - active->opened < kEarly;
    const absl::Duration alone = early ? kLookEarly : kLookLate;
    const absl::Duration pause = active->settled ? active->sharedPause : alone;
    active->timer->expires_after(absl::ToChronoNanoseconds(pause));
    active->timer->async_wait([self = shared_from_this(), active](boost::system::error_code ec) {
      if (ec || self->find(active->id) != active) return;
      self->submit(active, "look", [self, active] {
        if (!active->own || active->finishing || !active->follower) return;
        const ClientFollower::Seen seen = active->follower->look(*active->own, false, absl::Now());
        self->post([self, active, seen] {
          if (self->find(active->id) != active) return;
          self->seen(active, seen);
          self->lookLater(active);
        });
      });
    });
  }

  void seen(const ActivePtr& active, const ClientFollower::Seen& seen) {
    if (seen.lost) return tell(WriterLost{active->id});
    const auto settled = seen.shared ? std::optional(seen.settled) : std::nullopt;
    active->sharedPause = settled == active->settled
                              ? std::min(2 * active->sharedPause, kLookSharedMax)
                              : kLookShared;
    if (settled == active->settled) return;
    active->settled = settled;
    tell(WriterShared{active->id, settled});
  }

  void read(const ReadPiece& effect) {
    const ActivePtr active = find(effect.fetch);
    if (!active || s_.lanes.empty()) return;
    if (active->fileSystem.empty()) return readByLink(active, effect);
    const auto [known, isNew] = active->nearby.try_emplace(effect.source, nullptr);
    if (known->second) return copyNearby(active, effect, known->second);
    if (isNew) askPlace(active, effect.source);
    readByLink(active, effect);
  }

  // ---- A holder's file on the same file system.

  void askPlace(const ActivePtr& active, const NodeId& source) {
    askPeer<FilePlace>(
        source,
        [active](BulkClient& client, const PeerTarget& peer, BulkClient::PlaceHandler handler) {
          client.place(peer, active->blob.id, active->fileSystem, kPlaceTimeout,
                       std::move(handler));
        },
        [this, active, source](absl::StatusOr<FilePlace> place) {
          if (!place.ok()) return;
          askPieces(source, active->blob,
                    [this, active, source,
                     place = *std::move(place)](absl::StatusOr<std::vector<PieceHash>> list) {
                      if (list.ok()) openPlace(active, source, place, *std::move(list));
                    });
        });
  }

  void openPlace(const ActivePtr& active, const NodeId& source, const FilePlace& place,
                 std::vector<PieceHash> pieces) {
    // Not on the blob's queue, and of a share of its own: a path that a peer names may hang.
    (void)s_.pool.submit(
        {"place", WorkPriority::kNormal, "place"},
        [self = shared_from_this(), active, source, place, pieces = std::move(pieces)]() mutable {
          auto file = HolderFile::open(place, active->blob, std::move(pieces),
                                       active->publisher->root().path());
          if (!file.ok()) return;
          self->post([active, source, file = *std::move(file)] { active->nearby[source] = file; });
        });
  }

  void copyNearby(const ActivePtr& active, const ReadPiece& effect,
                  std::shared_ptr<const HolderFile> file) {
    submit(active, "copy", [self = shared_from_this(), active, effect, file = std::move(file)] {
      const size_t length = pieceLength(active->blob, effect.piece);
      const std::shared_ptr<uint8_t[]> memory = std::make_shared_for_overwrite<uint8_t[]>(length);
      const absl::Span<uint8_t> bytes(memory.get(), length);
      absl::StatusOr<BlobWriter::Stored> stored = absl::CancelledError("the fetch has ended");
      if (active->own) stored = active->own->copy(effect.piece, *file, bytes);
      // Whatever it is, by the link it may come: a mount that is gone is no reason to end. If it is
      // our own disk, that shows there.
      const bool ended = absl::IsCancelled(stored.status());
      if (!stored.ok() && !ended && !absl::IsResourceExhausted(stored.status())) {
        return self->post([self, active, effect] {
          active->nearby[effect.source] = nullptr;
          if (self->find(active->id) == active) self->readByLink(active, effect);
        });
      }
      const Kept kept = [self, active, effect, length](const absl::Status& status) {
        const uint64_t copied = status.ok() ? length : 0;
        self->copied_ += copied;
        self->landed(active, effect, copied, status, false);
      };
      if (stored.ok()) return self->hash(active, effect.piece, *stored, {bytes, memory}, kept);
      self->post([kept, status = stored.status()] { kept(status); });
    });
  }

  void readByLink(const ActivePtr& active, const ReadPiece& effect) {
    const BulkLane& lane = s_.lanes[effect.piece % s_.lanes.size()];
    const PeerTarget peer{effect.source, s_.addressesOf(effect.source)};
    const ReadQuestion question{effect.blob, effect.piece * kPieceBytes,
                                pieceLength(active->blob, effect.piece), effect.background};
    auto handler = [self = shared_from_this(), active, effect](absl::StatusOr<ReadAnswer> answer) {
      self->received(active, effect, std::move(answer));
    };
    lane.thread->post([client = lane.client, peer, question, deadline = effect.deadline,
                       handler = std::move(handler)] {
      if (*client) (*client)->read(peer, question, deadline, handler);
    });
  }

  void askPieces(const NodeId& source, const BlobInfo& blob, BulkClient::PiecesHandler done) {
    if (s_.lanes.empty()) return done(absl::UnavailableError("there is no lane"));
    askPeer<std::vector<PieceHash>>(
        source,
        [blob](BulkClient& client, const PeerTarget& peer, BulkClient::PiecesHandler handler) {
          client.pieces(peer, blob, kPieceListTimeout, std::move(handler));
        },
        std::move(done));
  }

  // Asks on the first lane; the answer comes on `loop`.
  template <typename Answer>
  void askPeer(const NodeId& node,
               std::function<void(BulkClient&, const PeerTarget&,
                                  std::function<void(absl::StatusOr<Answer>)>)>
                   ask,
               std::function<void(absl::StatusOr<Answer>)> done) {
    const BulkLane& lane = s_.lanes.front();
    const PeerTarget peer{node, s_.addressesOf(node)};
    auto handler = [self = shared_from_this(), done = std::move(done)](absl::StatusOr<Answer> got) {
      self->post([done, got = std::move(got)]() mutable { done(std::move(got)); });
    };
    lane.thread->post(
        [client = lane.client, peer, ask = std::move(ask), handler = std::move(handler)] {
          if (*client) ask(**client, peer, handler);
        });
  }

  // Small reads of one turn to one source travel together.
  void readSmall(const ReadSmall& effect) {
    auto& waiting = small_[effect.source];
    waiting.push_back(effect);
    if (waiting.size() > 1) return;
    asio::post(s_.io, [self = shared_from_this(), source = effect.source] {
      if (!self->stopped_) self->sendSmall(source);
    });
  }

  void download(const HubDownload& effect) {
    const ActivePtr active = find(effect.fetch);
    if (!active) return;
    HubLane* lane = laneOf(*active);
    if (lane == nullptr) {
      return tell(HubEnded{effect.fetch, absl::UnavailableError("this node uses no hub")});
    }
    stopHub(effect.fetch);
    // Ends are told apart by number: the end of a download that was stopped is not news.
    const uint64_t number = ++downloads_;
    current_[effect.fetch] = number;
    active->fromHub = true;
    active->hub = lane->start(
        {.blob = active->blob,
         .site = active->site,
         .pieces = effect.pieces,
         .token =
             s_.tokenFor && active->site.url.empty() ? s_.tokenFor(active->site.repo) : nullptr,
         .underWayMax = underWayMax(active->blob, effect.followed, effect.yields),
         .limit = effect.limit,
         .until = effect.until,
         .yields = effect.yields,
         .pace = effect.pace},
        [self = shared_from_this(), active](std::shared_ptr<const DownloadedPiece> piece) {
          self->downloaded(active, std::move(piece));
        },
        [self = shared_from_this(), active, number](absl::Status status) {
          self->behindPieces(active, [self, active, number, status] {
            const auto it = self->current_.find(active->id);
            if (it == self->current_.end() || it->second != number) return;
            self->current_.erase(it);
            active->hub.reset();
            self->tell(HubEnded{active->id, status});
          });
        });
  }

  HubLane* laneOf(const Active& active) const {
    return active.site.url.empty() ? s_.hub : s_.plain;
  }

  void limitHub(const LimitHub& effect) {
    const ActivePtr active = find(effect.fetch);
    if (active && active->hub) {
      laneOf(*active)->setLimit(*active->hub, effect.limit,
                                underWayMax(active->blob, effect.followed, effect.yields),
                                effect.until, effect.yields, effect.pace);
    }
  }

  void stopHub(FetchId fetch) {
    current_.erase(fetch);
    const ActivePtr active = find(fetch);
    if (active && active->hub) {
      laneOf(*active)->stop(*active->hub);
      active->hub.reset();
    }
  }

  // ---- The swarm.

  void askSwarm(const SwarmAsk& effect) {
    const ActivePtr active = find(effect.fetch);
    if (!active || s_.swarm == nullptr || s_.lanes.empty()) {
      return tell(SwarmKnown{effect.fetch, absl::UnavailableError("this node has no swarm")});
    }
    askTree(active, effect.holders, kSwarmWordsMax);
  }

  void askTree(const ActivePtr& active, std::vector<NodeId> holders, int tries) {
    if (find(active->id) != active) return;
    if (holders.empty()) {
      return tell(SwarmKnown{active->id, absl::NotFoundError("no holder gives it by the swarm")});
    }
    const NodeId holder = holders.back();
    askWord(active, holder,
            [this, active, holders = std::move(holders),
             tries](const absl::StatusOr<SwarmWord>& word) mutable {
              if (find(active->id) != active) return;
              // Late: behind pieces, on a slow link.
              const bool notYet = word.ok() ? word->state == SwarmState::kNotYet
                                            : absl::IsDeadlineExceeded(word.status());
              const bool good = word.ok() && word->tree && !s_.swarm->isBanned(word->tree->root);
              if (good) {
                active->tree = word->tree;
                return tell(SwarmKnown{active->id, absl::OkStatus()});
              }
              if (notYet && tries > 0) {
                active->swarmTimer = std::make_shared<asio::steady_timer>(
                    s_.io, absl::ToChronoNanoseconds(kSwarmWordPause));
                active->swarmTimer->async_wait([self = shared_from_this(), active,
                                                holders = std::move(holders),
                                                tries](boost::system::error_code ec) {
                  if (!ec && !self->stopped_) self->askTree(active, holders, tries - 1);
                });
                return;
              }
              holders.pop_back();
              askTree(active, std::move(holders), kSwarmWordsMax);
            });
  }

  void askWord(const ActivePtr& active, const NodeId& node, BulkClient::SwarmHandler done) {
    askPeer<SwarmWord>(
        node,
        [active](BulkClient& client, const PeerTarget& peer, BulkClient::SwarmHandler handler) {
          client.swarm(peer, active->blob, kSwarmWordTimeout, std::move(handler));
        },
        std::move(done));
  }

  void joinSwarm(const SwarmJoin& effect) {
    const ActivePtr active = find(effect.fetch);
    if (!active || !active->writer || !active->tree || s_.swarm == nullptr) {
      return tell(SwarmEnded{effect.fetch, absl::UnavailableError("this node has no swarm")});
    }
    if (s_.swarmLearnt) s_.swarmLearnt(active->blob, active->tree);
    SwarmLane::Order order{
        .blob = active->blob,
        .tree = active->tree,
        .writer = active->writer,
        .pace = effect.pace,
        .seen = [self = shared_from_this(), id = active->id](std::vector<bool> pieces) {
          self->tell(SwarmSeen{id, std::move(pieces)});
        }};
    for (uint64_t piece = 0; piece < pieceCount(active->blob.size); ++piece) {
      if (active->writer->has(piece)) order.present.push_back(piece);
    }
    active->swarm = s_.swarm->start(
        std::move(order),
        [self = shared_from_this(), active](std::shared_ptr<const DownloadedPiece> piece) {
          self->swarmed(active, std::move(piece));
        },
        [self = shared_from_this(), active](const absl::Status& status) {
          self->behindPieces(active, [self, id = active->id, status] {
            self->s_.tell(SwarmEnded{id, status});
          });
        });
    meet(active, effect.peers);
  }

  void addPeers(const SwarmPeers& effect) {
    const ActivePtr active = find(effect.fetch);
    if (active && active->swarm) meet(active, effect.peers);
  }

  void paceSwarm(const SwarmPace& effect) {
    const ActivePtr active = find(effect.fetch);
    if (active && active->swarm) s_.swarm->setPace(*active->swarm, effect.pace);
  }

  // Each says where its swarm listens; a wanter that has not joined yet is asked again by the lane.
  // Of two the one with the smaller id connects: when both did at once, each closed the connection
  // that the other one kept, and again at each try.
  void meet(const ActivePtr& active, const std::vector<NodeId>& peers) {
    for (const NodeId& node : peers) {
      if (node < s_.self) continue;
      askWord(active, node, [this, active, node](const absl::StatusOr<SwarmWord>& word) {
        if (!word.ok() || word->port == 0 || !active->swarm || s_.swarm == nullptr) return;
        const std::vector<Address> addresses = s_.addressesOf(node);
        if (addresses.empty()) return;
        s_.swarm->connect(active->blob.id, {Address{addresses.front().host, word->port}});
      });
    }
  }

  // On libtorrent's network thread.
  void swarmed(const ActivePtr& active, std::shared_ptr<const DownloadedPiece> piece) {
    const uint64_t size = piece->bytes.size();
    keep(active, std::move(piece), [self = shared_from_this(), size](FetchId id, uint64_t index) {
      self->fromPeers_ += size;
      self->s_.tell(SwarmPiece{id, index});
    });
  }

  void leaveSwarm(const ActivePtr& active) {
    if (active->swarmTimer) active->swarmTimer->cancel();
    if (active->swarm && s_.swarm != nullptr) s_.swarm->stop(*active->swarm);
    active->swarm.reset();
  }
  void leaveSwarm(FetchId fetch) {
    if (const ActivePtr active = find(fetch)) leaveSwarm(active);
  }

  void finish(FetchId fetch) {
    const ActivePtr active = find(fetch);
    if (!active || !active->writer) return;
    submit(active, "verify", [self = shared_from_this(), active] {
      if (!active->own) return;
      auto hashes = active->own->finish();
      const std::vector<PieceHash> pieces = active->own->pieceHashes();
      if (!hashes.ok()) {
        return self->post([self, active, status = hashes.status(), pieces] {
          // Each piece was the tree's: then the tree is not the blob's.
          if (absl::IsDataLoss(status) && active->tree && self->s_.swarmWrong) {
            self->s_.swarmWrong(active->blob);
          }
          self->tell(BlobFinished{active->id, status, pieces});
        });
      }
      active->finishing = true;
      self->tell(BlobVerified{active->id});
      self->publish(active, *std::move(hashes));
    });
  }

  void restart(FetchId fetch) {
    const ActivePtr active = find(fetch);
    if (!active || !active->writer) return;
    submit(active, "restart", [self = shared_from_this(), active] {
      if (!active->own) return;
      active->finishing = false;
      if (active->own->lost()) {  // once is enough
        active->follower.reset();
        active->own->share(false);
      }
      const absl::Status status = active->own->restart();
      self->post([self, active, status] {
        absl::StatusOr<std::vector<uint64_t>> present = std::vector<uint64_t>();
        if (!status.ok()) present = status;
        active->settled.reset();
        self->tell(WriterOpened{active->id, std::move(present)});
        if (active->timer) self->lookLater(active);
      });
    });
  }

  void close(const CloseWriter& effect) {
    const ActivePtr active = find(effect.fetch);
    if (!active) return;
    stopHub(effect.fetch);
    leaveSwarm(active);
    active->writer.reset();
    if (active->timer) active->timer->cancel();
    active_.erase(effect.fetch);
    submit(active, "close", [active, keep = effect.keepPartial, copy = !stopped_] {
      // A stop does not wait for copies.
      if (!active->own) return;
      if (keep && copy) (void)active->own->gather();
      active->own->close(keep);
      active->own.reset();
    });
  }

  std::shared_ptr<const BlobWriter> writer(FetchId fetch) const {
    const auto it = active_.find(fetch);
    return it == active_.end() ? nullptr : it->second->writer;
  }

  uint64_t fromPeers() const { return fromPeers_; }
  uint64_t copied() const { return copied_; }

  void stop() {
    stopped_ = true;
    cancelled_ = true;
    small_.clear();
    while (!active_.empty()) close({active_.begin()->first, true});
  }

  Seams s_;

 private:
  ActivePtr find(FetchId fetch) const {
    const auto it = active_.find(fetch);
    return it == active_.end() ? nullptr : it->second;
  }

  // A fetch that was closed may still be about to let go of the temporary that the next fetch of
  // this blob opens: they share a queue.
  std::shared_ptr<SerialQueue> queueOf(const Active& active) {
    std::erase_if(queues_, [](const auto& entry) { return entry.second.expired(); });
    auto& known = queues_[active.blob.id];
    std::shared_ptr<SerialQueue> queue = known.lock();
    if (!queue) {
      queue = std::make_shared<SerialQueue>(s_.pool, WorkPriority::kReaderWaits,
                                            active.publisher->root().path());
      known = queue;
    }
    return queue;
  }

  void post(std::function<void()> job) {
    asio::post(s_.io, [self = shared_from_this(), job = std::move(job)] {
      if (!self->stopped_) job();
    });
  }

  void tell(Event event) {
    asio::post(s_.io, [self = shared_from_this(), event = std::move(event)]() mutable {
      if (!self->stopped_) self->s_.tell(std::move(event));
    });
  }

  // A queue refuses only when thousands of jobs wait: the fetch then fails as a disk that does not
  // keep up.
  void submit(const ActivePtr& active, const char* name, WorkPool::Job job) {
    const absl::Status status = active->queue->submit(name, std::move(job));
    if (!status.ok()) tell(WriterOpened{active->id, status});
  }

  // On a lane: hands the bytes to the blob's queue, without a copy.
  void received(const ActivePtr& active, const ReadPiece& effect,
                absl::StatusOr<ReadAnswer> answer) {
    if (!answer.ok() || answer->outcome != ReadOutcome::kData) {
      absl::StatusOr<ReadOutcome> outcome = ReadOutcome::kGone;
      if (answer.ok()) {
        outcome = answer->outcome;
      } else {
        outcome = failureOfSource(answer.status());
      }
      return tell(PieceRead{effect.fetch, effect.source, effect.piece, std::move(outcome)});
    }
    const uint64_t bytes = answer->data.bytes.size();
    keep(active, effect.piece, std::move(answer->data),
         [self = shared_from_this(), active, effect, bytes](const absl::Status& status) {
           self->landed(active, effect, bytes, status, true);
         });
  }

  // On `loop`.
  void landed(const ActivePtr& active, const ReadPiece& effect, uint64_t bytes,
              const absl::Status& status, bool answered) {
    fromPeers_ += bytes;
    if (status.ok() && active->swarm) s_.swarm->have(*active->swarm, effect.piece);
    absl::StatusOr<ReadOutcome> outcome = ReadOutcome::kData;
    if (!status.ok()) outcome = status;
    if (absl::IsCancelled(status)) outcome = ReadOutcome::kBusy;  // it is to be asked for again
    s_.tell(PieceRead{effect.fetch, effect.source, effect.piece, std::move(outcome), answered});
  }

  // On the hub thread.
  void downloaded(const ActivePtr& active, std::shared_ptr<const DownloadedPiece> piece) {
    keep(active, std::move(piece), [self = shared_from_this()](FetchId id, uint64_t index) {
      self->s_.tell(HubPiece{id, index});
    });
  }

  // ---- A piece that arrived: stored on the blob's queue, then hashed beside the next one's write.

  // Told on `loop`: it is stored and hashed, or only stored if others before it are missing.
  using Kept = std::function<void(const absl::Status&)>;

  void keep(const ActivePtr& active, uint64_t piece, ReceivedBytes data, Kept kept) {
    submit(active, "write",
           [self = shared_from_this(), active, piece, data = std::move(data),
            kept = std::move(kept)]() mutable {
             absl::StatusOr<BlobWriter::Stored> stored =
                 absl::CancelledError("the fetch has ended");
             if (active->own) stored = active->own->store(piece, data.bytes);
             if (stored.ok()) return self->hash(active, piece, *stored, std::move(data), kept);
             data = {};  // home to its lane before the core asks for more
             self->post([kept, status = stored.status()] { kept(status); });
           });
  }

  // A piece that came as a whole, on whatever thread.
  template <typename Landed>
  void keep(const ActivePtr& active, std::shared_ptr<const DownloadedPiece> piece, Landed landed) {
    const uint64_t index = piece->index;
    const absl::Span<const uint8_t> bytes = piece->span();
    keep(active, index, {bytes, std::move(piece)},
         [self = shared_from_this(), id = active->id, index, landed](const absl::Status& status) {
           if (status.ok()) return landed(id, index);
           if (!absl::IsCancelled(status)) self->s_.tell(WriterOpened{id, status});
         });
  }

  // On the queue.
  void hash(const ActivePtr& active, uint64_t piece, const BlobWriter::Stored& stored,
            ReceivedBytes data, const Kept& kept) {
    auto job = [self = shared_from_this(), active, writer = active->own, piece, stored,
                data = std::move(data), kept]() mutable {
      const bool more = writer->hash(piece, data.bytes, stored);
      data = {};
      const auto begunAgain = absl::CancelledError("the blob has begun again");
      if (writer->forgot(stored)) return self->post([kept, begunAgain] { kept(begunAgain); });
      if (!more) return self->post([kept] { kept(absl::OkStatus()); });
      self->submit(active, "catch up", [self, active, stored, kept, begunAgain] {
        absl::Status status =
            active->own ? active->own->catchUp() : absl::CancelledError("the fetch has ended");
        if (status.ok() && active->own->forgot(stored)) status = begunAgain;
        self->post([kept, status] { kept(status); });
      });
    };
    auto shared = std::make_shared<decltype(job)>(std::move(job));
    // Refused by a busy pool: here, then.
    if (!active->hashing->submit("hash", [shared] { (*shared)(); }).ok()) (*shared)();
  }

  // Runs the job on `loop` when all pieces that were given to keep() are told of.
  void behindPieces(const ActivePtr& active, std::function<void()> job) {
    auto last = [self = shared_from_this(), active, job = std::move(job)] {
      self->submit(active, "behind", [self, job] { self->post(job); });
    };
    submit(active, "behind", [active, last = std::move(last)] {
      if (!active->hashing->submit("behind", last).ok()) last();
    });
  }

  void sendSmall(const NodeId& source) {
    const auto it = small_.find(source);
    if (it == small_.end() || s_.lanes.empty()) return;
    std::vector<ReadSmall> all = std::move(it->second);
    small_.erase(it);
    const PeerTarget peer{source, s_.addressesOf(source)};
    const BulkLane& lane = s_.lanes.front();
    for (size_t first = 0; first < all.size();) {
      auto batch = std::make_shared<std::vector<ReadSmall>>();
      std::vector<BlobId> ids;
      uint64_t bytes = 0;
      while (first < all.size() && ids.size() < kInlineIdsMax &&
             (ids.empty() || bytes + all[first].blob.size <= kInlineAnswerBytesMax)) {
        bytes += all[first].blob.size;
        ids.push_back(all[first].blob.id);
        batch->push_back(all[first++]);
      }
      lane.thread->post([self = shared_from_this(), client = lane.client, peer, batch, ids] {
        if (*client)
          (*client)->readSmall(peer, ids, absl::Seconds(20),
                               [self, batch](absl::StatusOr<std::vector<ReadAnswer>> answers) {
                                 self->smallReceived(*batch, std::move(answers));
                               });
      });
    }
  }

  // On a lane.
  void smallReceived(const std::vector<ReadSmall>& batch,
                     absl::StatusOr<std::vector<ReadAnswer>> answers) {
    for (size_t i = 0; i < batch.size(); ++i) {
      const ReadSmall& one = batch[i];
      if (!answers.ok()) {
        tell(SmallRead{one.fetch, one.source, failureOfSource(answers.status())});
      } else if ((*answers)[i].outcome != ReadOutcome::kData) {
        tell(SmallRead{one.fetch, one.source, (*answers)[i].outcome});
      } else {
        landSmall(one, (*answers)[i].data);
      }
    }
  }

  void landSmall(const ReadSmall& one, ReceivedBytes data) {
    post([self = shared_from_this(), one, data = std::move(data)]() mutable {
      auto publisher = self->s_.publisherOf(one.site);
      if (!publisher.ok()) {
        return self->s_.tell(SmallRead{one.fetch, one.source, publisher.status()});
      }
      const absl::Status submitted = self->s_.pool.submit(
          {"small", WorkPriority::kReaderWaits, (*publisher)->root().path()},
          [self, one, publisher = *publisher, data = std::move(data)]() mutable {
            auto landed = self->writeSmall(*publisher, one, data.bytes);
            const uint64_t bytes = data.bytes.size();
            data = {};
            self->post([self, one, bytes, landed = std::move(landed)]() mutable {
              self->fromPeers_ += bytes;
              absl::StatusOr<ReadOutcome> outcome = ReadOutcome::kData;
              if (!landed.ok()) outcome = landed.status();
              if (landed.ok()) self->s_.landed(*std::move(landed));
              self->s_.tell(SmallRead{one.fetch, one.source, std::move(outcome)});
            });
          });
      if (!submitted.ok()) self->s_.tell(SmallRead{one.fetch, one.source, submitted});
    });
  }

  absl::StatusOr<LandedBlob> writeSmall(const HubPublisher& publisher, const ReadSmall& one,
                                        absl::Span<const uint8_t> bytes) const {
    if (bytes.size() != one.blob.size) {
      return absl::DataLossError(absl::StrCat("received ", bytes.size(), " bytes of ",
                                              one.blob.id.shortHex(), ", which has ",
                                              one.blob.size));
    }
    ROOST_ASSIGN_OR_RETURN(const BlobSlot slot, publisher.blobSlot(one.site.repo, one.blob));
    ROOST_ASSIGN_OR_RETURN(
        auto writer,
        BlobWriter::open(slot, {.node = s_.self, .journalFolder = ""}, s_.reservations));
    if (!bytes.empty()) ROOST_RETURN_IF_ERROR(writer->write(0, bytes));
    ROOST_ASSIGN_OR_RETURN(auto hashes, writer->finish());
    const auto lock = ClientLock::tryAcquire(publisher.root(), one.site.repo, one.blob.id);
    ROOST_ASSIGN_OR_RETURN(auto published, writer->publish());
    return LandedBlob{one.blob, one.site, slot.path(), published, std::move(hashes), false};
  }

  // On a work thread, in the blob's queue. Gives the blob its name, or sees that a client has.
  void publish(const ActivePtr& active, BlobHashes hashes) {
    if (!active->own) return;  // closed while it waited for a client
    if (active->follower) {
      auto adopted = active->own->adopt();
      if (adopted.ok() && *adopted) return published(active, **adopted, std::move(hashes));
      const ClientFollower::Seen seen = active->follower->look(*active->own, true, absl::Now());
      if (seen.lost) return tell(WriterLost{active->id});
      if (seen.shared) return publishLater(active, std::move(hashes));
    }
    // The rename is atomic and the content verified: the lock only spares a client's work.
    const auto lock =
        ClientLock::tryAcquire(active->publisher->root(), active->site.repo, active->blob.id);
    auto done = active->own->publish();
    if (!done.ok() && active->own->lost()) return tell(WriterLost{active->id});
    published(active, std::move(done), std::move(hashes));
  }

  void publishLater(const ActivePtr& active, BlobHashes hashes) {
    post([self = shared_from_this(), active, hashes = std::move(hashes)]() mutable {
      active->timer->expires_after(absl::ToChronoNanoseconds(kLookShared));
      active->timer->async_wait(
          [self, active, hashes = std::move(hashes)](boost::system::error_code ec) mutable {
            if (ec || self->stopped_) return;
            self->submit(active, "publish", [self, active, hashes = std::move(hashes)]() mutable {
              self->publish(active, std::move(hashes));
            });
          });
    });
  }

  void published(const ActivePtr& active, absl::StatusOr<PublishedBlob> done, BlobHashes hashes) {
    const auto slot = active->publisher->blobSlot(active->site.repo, active->blob);
    absl::Status status = done.ok() ? slot.status() : done.status();
    post([self = shared_from_this(), active, status, pieces = hashes.pieces, done = std::move(done),
          path = slot.ok() ? slot->path() : "", hashes = std::move(hashes)]() mutable {
      if (status.ok()) {
        self->s_.landed(LandedBlob{active->blob, active->site, path, *done, std::move(hashes),
                                   active->fromHub});
      }
      self->s_.tell(BlobFinished{active->id, status, pieces});
      if (status.ok()) self->close({active->id, false});
    });
  }

  bool stopped_ = false;
  std::atomic<bool> cancelled_ = false;  // for work threads: ends the check of a long partial
  uint64_t fromPeers_ = 0;
  uint64_t copied_ = 0;
  uint64_t downloads_ = 0;
  std::map<FetchId, ActivePtr> active_;
  std::map<BlobId, std::weak_ptr<SerialQueue>> queues_;
  std::map<FetchId, uint64_t> current_;  // hub downloads that are not stopped
  absl::flat_hash_map<NodeId, std::vector<ReadSmall>> small_;
};

Transfers::Transfers(Seams seams) : impl_(std::make_shared<Impl>(std::move(seams))) {}
Transfers::~Transfers() {
  impl_->stop();
}
void Transfers::perform(const OpenWriter& effect) {
  impl_->open(effect);
}
void Transfers::perform(const ReadPiece& effect) {
  impl_->read(effect);
}
void Transfers::perform(const ReadSmall& effect) {
  impl_->readSmall(effect);
}
void Transfers::perform(const HubDownload& effect) {
  impl_->download(effect);
}
void Transfers::perform(const LimitHub& effect) {
  impl_->limitHub(effect);
}
void Transfers::perform(const StopHub& effect) {
  impl_->stopHub(effect.fetch);
}
void Transfers::perform(const SwarmAsk& effect) {
  impl_->askSwarm(effect);
}
void Transfers::perform(const SwarmJoin& effect) {
  impl_->joinSwarm(effect);
}
void Transfers::perform(const SwarmPeers& effect) {
  impl_->addPeers(effect);
}
void Transfers::perform(const SwarmPace& effect) {
  impl_->paceSwarm(effect);
}
void Transfers::perform(const SwarmLeave& effect) {
  impl_->leaveSwarm(effect.fetch);
}
void Transfers::perform(const FinishBlob& effect) {
  impl_->finish(effect.fetch);
}
void Transfers::perform(const RestartBlob& effect) {
  impl_->restart(effect.fetch);
}
void Transfers::perform(const CloseWriter& effect) {
  impl_->close(effect);
}
void Transfers::askPieces(const NodeId& peer, const BlobInfo& blob,
                          std::function<void(absl::StatusOr<std::vector<PieceHash>>)> done) {
  impl_->askPieces(peer, blob, std::move(done));
}
std::shared_ptr<const BlobWriter> Transfers::writer(FetchId fetch) const {
  return impl_->writer(fetch);
}
uint64_t Transfers::bytesFromPeers() const {
  return impl_->fromPeers();
}
uint64_t Transfers::bytesCopied() const {
  return impl_->copied();
}
uint64_t Transfers::bytesFromHub() const {
  return impl_->s_.hub == nullptr ? 0 : impl_->s_.hub->bytesDownloaded();
}
void Transfers::stop() {
  impl_->stop();
}

}  // namespace roost
