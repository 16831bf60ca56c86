#include "cluster/transfers.h"

#include <atomic>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <map>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "cache/client_lock.h"
#include "cache/serial_queue.h"
#include "protocol/errors.h"
#include "protocol/limits.h"

namespace roost {

namespace asio = boost::asio;

namespace {

// A client that holds the lock of a blob is downloading it itself. We wait for it a while; after
// that publishing without the lock is as safe as with it (the rename is atomic, the content
// verified), the lock only spares work.
constexpr absl::Duration kLockPause = absl::Milliseconds(200);
constexpr int kLockTriesMax = 25;

// What the hub is asked for at once while other nodes follow: it leaves the hub a second time if
// this node dies. 2 % of the blob, so that with what the others lack yet it stays below 5 %.
uint64_t underWayMax(const BlobInfo& blob, bool followed) {
  constexpr uint64_t kLeast = 4 * kPieceBytes;  // or a small blob would take one connection
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
    std::shared_ptr<BlobWriter> own;
    std::shared_ptr<const BlobWriter> writer;  // the same, for `loop`
    std::optional<HubDownloadId> hub;
    bool fromHub = false;
  };
  using ActivePtr = std::shared_ptr<Active>;

  void open(const OpenWriter& effect) {
    if (stopped_) return;
    auto publisher = s_.publisherOf(effect.site.repo);
    if (!publisher.ok()) return tell(WriterOpened{effect.fetch, publisher.status()});
    auto active = std::make_shared<Active>(Active{.id = effect.fetch,
                                                  .blob = effect.blob,
                                                  .site = effect.site,
                                                  .publisher = *std::move(publisher)});
    active->queue = queueOf(*active);
    active_[effect.fetch] = active;
    submit(active, "open", [self = shared_from_this(), active] {
      auto opened = self->openWriter(*active->publisher, active->site.repo, active->blob,
                                     self->s_.partialFolder);
      if (!opened.ok()) {
        return self->tell(WriterOpened{active->id, opened.status()});
      }
      active->own = *std::move(opened);
      self->post([self, active, writer = active->own, present = active->own->present()] {
        if (self->find(active->id) != active) return;
        active->writer = writer;
        self->tell(WriterOpened{active->id, present});
      });
    });
  }

  void read(const ReadPiece& effect) {
    const ActivePtr active = find(effect.fetch);
    if (!active || s_.lanes.empty()) return;
    const BulkLane& lane = s_.lanes[effect.piece % s_.lanes.size()];
    const PeerTarget peer{effect.source, s_.addressesOf(effect.source)};
    const uint32_t length = pieceLength(active->blob, effect.piece);
    auto handler = [self = shared_from_this(), active, effect](absl::StatusOr<ReadAnswer> answer) {
      self->received(active, effect, std::move(answer));
    };
    lane.thread->post([client = lane.client, peer, effect, length, handler = std::move(handler)] {
      if (*client)
        (*client)->read(peer, effect.blob, effect.piece * kPieceBytes, length, effect.deadline,
                        handler);
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
    if (s_.hub == nullptr) {
      return tell(HubEnded{effect.fetch, absl::UnavailableError("this node uses no hub")});
    }
    stopHub(effect.fetch);
    // Ends are told apart by number: the end of a download that was stopped is not news.
    const uint64_t number = ++downloads_;
    current_[effect.fetch] = number;
    active->fromHub = true;
    active->hub = s_.hub->start(
        {.blob = active->blob,
         .site = active->site,
         .pieces = effect.pieces,
         .token = s_.tokenFor ? s_.tokenFor(active->site.repo) : nullptr,
         .underWayMax = underWayMax(active->blob, effect.followed)},
        [self = shared_from_this(), active](std::shared_ptr<const DownloadedPiece> piece) {
          self->downloaded(active, std::move(piece));
        },
        [self = shared_from_this(), active, number](absl::Status status) {
          // Behind the pieces that are still being written.
          self->submit(active, "hub end", [self, active, number, status] {
            self->post([self, active, number, status] {
              const auto it = self->current_.find(active->id);
              if (it == self->current_.end() || it->second != number) return;
              self->current_.erase(it);
              active->hub.reset();
              self->tell(HubEnded{active->id, status});
            });
          });
        });
  }

  void stopHub(FetchId fetch) {
    current_.erase(fetch);
    const ActivePtr active = find(fetch);
    if (active && active->hub) {
      s_.hub->stop(*active->hub);
      active->hub.reset();
    }
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
          self->tell(BlobFinished{active->id, status, pieces});
        });
      }
      self->publish(active, *std::move(hashes), 0);
    });
  }

  void restart(FetchId fetch) {
    const ActivePtr active = find(fetch);
    if (!active || !active->writer) return;
    submit(active, "restart", [self = shared_from_this(), active] {
      if (!active->own) return;
      const absl::Status status = active->own->restart();
      self->post([self, active, status] {
        absl::StatusOr<std::vector<uint64_t>> present = std::vector<uint64_t>();
        if (!status.ok()) present = status;
        self->tell(WriterOpened{active->id, std::move(present)});
      });
    });
  }

  void close(const CloseWriter& effect) {
    const ActivePtr active = find(effect.fetch);
    if (!active) return;
    stopHub(effect.fetch);
    active->writer.reset();
    active_.erase(effect.fetch);
    submit(active, "close", [active, keep = effect.keepPartial] {
      if (active->own && keep) active->own->keepPartial();
      active->own.reset();
    });
  }

  std::shared_ptr<const BlobWriter> writer(FetchId fetch) const {
    const auto it = active_.find(fetch);
    return it == active_.end() ? nullptr : it->second->writer;
  }

  uint64_t fromPeers() const { return fromPeers_; }

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

  absl::StatusOr<std::unique_ptr<BlobWriter>> openWriter(const HubPublisher& publisher,
                                                         const RepoId& repo, const BlobInfo& blob,
                                                         const std::string& journals) const {
    ROOST_ASSIGN_OR_RETURN(BlobSlot slot, publisher.blobSlot(repo, blob));
    return BlobWriter::open(std::move(slot),
                            {.node = s_.self, .journalFolder = journals, .cancelled = &cancelled_},
                            s_.reservations);
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
    submit(
        active, "write",
        [self = shared_from_this(), active, effect, data = std::move(answer->data)]() mutable {
          const absl::Status status = active->own ? active->own->write(effect.piece, data.bytes)
                                                  : absl::CancelledError("the fetch has ended");
          const uint64_t bytes = data.bytes.size();
          data = {};  // home to its lane before the core asks for more
          self->post([self, effect, status, bytes] {
            self->fromPeers_ += bytes;
            absl::StatusOr<ReadOutcome> outcome = ReadOutcome::kData;
            if (!status.ok()) outcome = status;
            self->s_.tell(PieceRead{effect.fetch, effect.source, effect.piece, std::move(outcome)});
          });
        });
  }

  // On the hub thread.
  void downloaded(const ActivePtr& active, std::shared_ptr<const DownloadedPiece> piece) {
    submit(active, "write", [self = shared_from_this(), active, piece = std::move(piece)] {
      if (!active->own) return;
      const absl::Status status = active->own->write(
          piece->index,
          {reinterpret_cast<const uint8_t*>(piece->bytes.data()), piece->bytes.size()});
      self->post([self, active, index = piece->index, status] {
        if (status.ok()) return self->s_.tell(HubPiece{active->id, index});
        self->s_.tell(WriterOpened{active->id, status});
      });
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
      auto publisher = self->s_.publisherOf(one.site.repo);
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
    ROOST_ASSIGN_OR_RETURN(auto writer, openWriter(publisher, one.site.repo, one.blob, ""));
    if (!bytes.empty()) ROOST_RETURN_IF_ERROR(writer->write(0, bytes));
    ROOST_ASSIGN_OR_RETURN(auto hashes, writer->finish());
    const auto lock = ClientLock::tryAcquire(publisher.root(), one.site.repo, one.blob.id);
    ROOST_ASSIGN_OR_RETURN(auto published, writer->publish());
    ROOST_ASSIGN_OR_RETURN(const BlobSlot slot, publisher.blobSlot(one.site.repo, one.blob));
    return LandedBlob{one.blob, one.site, slot.path(), published, std::move(hashes), false};
  }

  // On a work thread, in the blob's queue.
  void publish(const ActivePtr& active, BlobHashes hashes, int tries) {
    if (!active->own) return;  // closed while it waited for a client's lock
    const auto lock =
        ClientLock::tryAcquire(active->publisher->root(), active->site.repo, active->blob.id);
    if (lock.ok() && !lock->mayPublish() && tries < kLockTriesMax) {
      return post([self = shared_from_this(), active, hashes = std::move(hashes), tries] {
        auto timer = std::make_shared<asio::steady_timer>(self->s_.io,
                                                          absl::ToChronoNanoseconds(kLockPause));
        timer->async_wait([self, active, hashes, tries, timer](boost::system::error_code) {
          if (self->stopped_) return;
          self->submit(active, "publish",
                       [self, active, hashes, tries] { self->publish(active, hashes, tries + 1); });
        });
      });
    }
    auto published = active->own->publish();
    const std::vector<PieceHash> pieces = hashes.pieces;
    const auto slot = active->publisher->blobSlot(active->site.repo, active->blob);
    absl::Status status = published.ok() ? slot.status() : published.status();
    post([self = shared_from_this(), active, status, pieces, published = std::move(published),
          path = slot.ok() ? slot->path() : "", hashes = std::move(hashes)]() mutable {
      if (status.ok()) {
        self->s_.landed(LandedBlob{active->blob, active->site, path, *published, std::move(hashes),
                                   active->fromHub});
      }
      self->s_.tell(BlobFinished{active->id, status, pieces});
      if (status.ok()) self->close({active->id, false});
    });
  }

  bool stopped_ = false;
  std::atomic<bool> cancelled_ = false;  // for work threads: ends the check of a long partial
  uint64_t fromPeers_ = 0;
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
void Transfers::perform(const StopHub& effect) {
  impl_->stopHub(effect.fetch);
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
std::shared_ptr<const BlobWriter> Transfers::writer(FetchId fetch) const {
  return impl_->writer(fetch);
}
uint64_t Transfers::bytesFromPeers() const {
  return impl_->fromPeers();
}
uint64_t Transfers::bytesFromHub() const {
  return impl_->s_.hub == nullptr ? 0 : impl_->s_.hub->bytesDownloaded();
}
void Transfers::stop() {
  impl_->stop();
}

}  // namespace roost
