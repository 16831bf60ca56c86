#include "cluster/bulk_server.h"

#include <kj/debug.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstring>
#include <map>
#include <set>
#include <vector>

#include "absl/time/clock.h"
#include "cluster/peer_dialer.h"
#include "protocol/convert.h"
#include "protocol/errors.h"
#include "protocol/kj_await.h"
#include "protocol/limits.h"
#include "protocol/roost.capnp.h"
#include "protocol/rpc_link.h"

namespace roost {

namespace asio = boost::asio;

namespace {

constexpr size_t kReadersPerLinkMax = 1024;  // a client keeps 128
constexpr absl::Duration kMeasurePeriod = absl::Milliseconds(100);

// Counts a connection from when it is accepted to its end, whatever that is.
struct Counted {
  explicit Counted(std::atomic<int>& links) : count(links) { ++count; }
  ~Counted() { --count; }
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;
  std::atomic<int>& count;
};

wire::SwarmState toWireState(SwarmState state) {
  return static_cast<wire::SwarmState>(state);
}

wire::ReadOutcome toWireOutcome(ReadOutcome outcome) {
  return static_cast<wire::ReadOutcome>(outcome);
}

}  // namespace

class BulkServer::Impl : public std::enable_shared_from_this<BulkServer::Impl> {
 public:
  Impl(asio::io_context& io, const TlsContext* tls, WorkPool& pool, BlobProvider& provider,
       ServeCounters& counters, PageCacheRoom& pages, absl::Duration openAtRestMax)
      : io_(io),
        tls_(tls),
        pool_(pool),
        provider_(provider),
        counters_(counters),
        pages_(pages),
        openAtRestMax_(openAtRestMax),
        measuring_{asio::steady_timer(io), &Impl::measureAll},
        resting_{asio::steady_timer(io), &Impl::closeResting} {}

  struct Link {
    std::unique_ptr<RpcLink> rpc;
    std::optional<NodeId> peer;
    size_t readers = 0;
    size_t underWay = 0;                           // bytes of reads that are not answered yet
    size_t unsentCounted = 0;                      // its part of counters.unsentBytes
    std::shared_ptr<asio::steady_timer> patience;  // for the caller's name
  };
  // Room for the bytes of one read, from when it is taken on to when its answer is with the link.
  class Room {
   public:
    Room(std::weak_ptr<Link> link, size_t bytes) : link_(std::move(link)), bytes_(bytes) {
      if (const auto owner = link_.lock()) owner->underWay += bytes_;
    }
    ~Room() {
      if (const auto owner = link_.lock()) owner->underWay -= bytes_;
    }
    Room(const Room&) = delete;
    Room& operator=(const Room&) = delete;

   private:
    std::weak_ptr<Link> link_;
    const size_t bytes_;
  };
  using Bytes = std::vector<uint8_t>;
  // What a read came to: an outcome, and bytes with kData.
  struct Answer {
    ReadOutcome outcome = ReadOutcome::kGone;
    Bytes bytes;
  };

  void accept(DetachedSocket socket) {
    asio::co_spawn(io_, runAccept(shared_from_this(), std::move(socket)), asio::detached);
  }

  void stop() {
    stopped_ = true;
    measuring_.timer.cancel();
    resting_.timer.cancel();
    pending_.clear();
    for (const auto& link : links_) retire(link);
    links_.clear();
  }

  // Asks the provider for a complete copy.
  kj::Promise<std::shared_ptr<const LocalBlob>> open(const NodeId& peer, const BlobId& blob) {
    auto paf = kj::newPromiseAndFulfiller<std::shared_ptr<const LocalBlob>>();
    const auto deliver = later<std::shared_ptr<const LocalBlob>>(kj::mv(paf.fulfiller));
    provider_.open(peer, blob, deliver);
    return kj::mv(paf.promise);
  }

  // Reads a piece of a complete copy on a work thread.
  kj::Promise<Answer> readOnWorker(std::shared_ptr<const LocalBlob> blob, uint64_t offset,
                                   uint32_t length) {
    auto paf = kj::newPromiseAndFulfiller<Answer>();
    const auto deliver = later<Answer>(kj::mv(paf.fulfiller));
    const absl::Status submitted =
        pool_.submit({"serve", WorkPriority::kReaderWaits, ""},
                     [self = shared_from_this(), deliver, blob = std::move(blob), offset, length] {
                       deliver(self->readWhole(*blob, offset, length));
                     });
    if (!submitted.ok()) deliver(Answer{ReadOutcome::kBusy, {}});
    return kj::mv(paf.promise);
  }

  bool tellsPlaces() const { return provider_.tellsPlaces(); }

  kj::Promise<std::optional<FilePlace>> placeOnWorker(std::shared_ptr<const LocalBlob> blob,
                                                      const std::string& fileSystem) {
    auto paf = kj::newPromiseAndFulfiller<std::optional<FilePlace>>();
    const auto deliver = later<std::optional<FilePlace>>(kj::mv(paf.fulfiller));
    const absl::Status submitted = pool_.submit({"place", WorkPriority::kNormal, ""},
                                                [deliver, blob = std::move(blob), fileSystem] {
                                                  auto place = placeOf(*blob);
                                                  if (place && place->fileSystem != fileSystem)
                                                    place.reset();
                                                  deliver(place);
                                                });
    if (!submitted.ok()) deliver(std::nullopt);
    return kj::mv(paf.promise);
  }

  // A piece of a blob that is still arriving.
  kj::Promise<Answer> readArriving(const NodeId& peer, const BlobId& blob, uint64_t offset,
                                   uint32_t length) {
    auto paf = kj::newPromiseAndFulfiller<Answer>();
    const auto deliver = later<Answer>(kj::mv(paf.fulfiller));
    provider_.askPiece(peer, blob, offset / kPieceBytes,
                       [&pool = pool_, deliver, offset, length](
                           ReadOutcome outcome, std::shared_ptr<const BlobWriter> writer) {
                         if (outcome != ReadOutcome::kData) return deliver(Answer{outcome, {}});
                         const absl::Status submitted =
                             pool.submit({"serve", WorkPriority::kReaderWaits, ""},
                                         [deliver, writer = std::move(writer), offset, length] {
                                           deliver(readPart(*writer, offset, length));
                                         });
                         if (!submitted.ok()) deliver(Answer{ReadOutcome::kBusy, {}});
                       });
    return kj::mv(paf.promise);
  }

  kj::Promise<SwarmWord> swarm(const NodeId& peer, const BlobId& blob) {
    auto paf = kj::newPromiseAndFulfiller<SwarmWord>();
    const auto deliver = later<SwarmWord>(kj::mv(paf.fulfiller));
    provider_.swarm(peer, blob, deliver);
    return kj::mv(paf.promise);
  }

  kj::Promise<std::vector<std::string>> provenances(const NodeId& peer,
                                                    std::vector<RepresentationKey> keys) {
    auto paf = kj::newPromiseAndFulfiller<std::vector<std::string>>();
    const auto deliver = later<std::vector<std::string>>(kj::mv(paf.fulfiller));
    provider_.provenances(peer, std::move(keys), deliver);
    return kj::mv(paf.promise);
  }

  // Small blobs, in one job of a work thread.
  kj::Promise<std::vector<Answer>> readSmall(std::vector<std::shared_ptr<const LocalBlob>> blobs) {
    auto paf = kj::newPromiseAndFulfiller<std::vector<Answer>>();
    const auto deliver = later<std::vector<Answer>>(kj::mv(paf.fulfiller));
    std::vector<Answer> none(blobs.size(), Answer{ReadOutcome::kBusy, {}});
    const absl::Status submitted =
        pool_.submit({"serve", WorkPriority::kReaderWaits, ""},
                     [self = shared_from_this(), deliver, blobs = std::move(blobs)] {
                       deliver(self->readEach(blobs));
                     });
    if (!submitted.ok()) deliver(std::move(none));
    return kj::mv(paf.promise);
  }

  bool tooMuchUnsent(const std::weak_ptr<Link>& weak) {
    const auto link = weak.lock();
    if (!link || !link->rpc) return true;
    measure(*link);
    return link->unsentCounted > kUnsentBytesPerLinkMax || counters_.unsentBytes > kUnsentBytesMax;
  }

  // Fulfilled when so many bytes may be sent: true; or at once: false, they may not be soon.
  kj::Promise<bool> uploadTurn(uint64_t bytes, bool background) {
    const auto wait = counters_.turns.take(bytes, background, absl::Now());
    if (!wait) return false;
    if (*wait == absl::ZeroDuration()) return true;
    auto paf = kj::newPromiseAndFulfiller<bool>();
    auto timer = std::make_shared<asio::steady_timer>(io_, absl::ToChronoNanoseconds(*wait));
    timer->async_wait([timer, deliver = later<bool>(kj::mv(paf.fulfiller))](
                          const boost::system::error_code&) { deliver(true); });
    return kj::mv(paf.promise);
  }

  BlobProvider& provider() { return provider_; }
  ServeCounters& counters() { return counters_; }

 private:
  class Door;
  class Source;
  class Reader;

  // Something to look at a while later, once however often it is asked for.
  struct Look {
    asio::steady_timer timer;
    void (Impl::*what)();
    bool awaited = false;
  };
  void lookLater(Look& look, absl::Duration wait) {
    if (stopped_ || std::exchange(look.awaited, true)) return;
    look.timer.expires_after(absl::ToChronoNanoseconds(wait));
    look.timer.async_wait([weak = weak_from_this(), &look](const boost::system::error_code& ec) {
      const auto self = weak.lock();
      if (ec || !self) return;
      look.awaited = false;
      ((*self).*look.what)();
    });
  }

  // Closes the files of those who read nothing for a while.
  void closeResting();

  // Fulfils from any thread, by number: KJ's fulfillers must not leave the lane.
  template <typename T>
  std::function<void(T)> later(kj::Own<kj::PromiseFulfiller<T>> fulfiller) {
    const uint64_t id = ++lastPending_;
    auto shared = std::make_shared<kj::Own<kj::PromiseFulfiller<T>>>(kj::mv(fulfiller));
    pending_.emplace(id, shared);
    // Only the number and a weak reference travel; the fulfiller stays on the lane.
    return [weak = weak_from_this(), &io = io_, id, raw = shared.get()](T value) {
      asio::post(io, [weak, id, raw, value = std::move(value)]() mutable {
        const auto self = weak.lock();
        if (!self || self->pending_.find(id) == self->pending_.end()) return;
        (*raw)->fulfill(kj::mv(value));
        self->pending_.erase(id);
      });
    };
  }

  void measure(Link& link) {
    const size_t unsent = link.underWay + (link.rpc ? link.rpc->unsentBytes() : 0);
    counters_.unsentBytes += unsent - link.unsentCounted;  // wraps correctly when it fell
    link.unsentCounted = unsent;
    if (unsent > 0) lookLater(measuring_, kMeasurePeriod);
  }

  // A link that is asked nothing more must not count for ever what it had unsent when last asked.
  void measureAll() {
    for (const auto& link : links_) measure(*link);
  }

  Answer readWhole(const LocalBlob& blob, uint64_t offset, uint32_t length) {
    Answer answer{ReadOutcome::kData, Bytes(length)};
    const bool keepCached = pages_.take(length, absl::Now());
    const absl::Status status = blob.read(offset, absl::MakeSpan(answer.bytes), keepCached);
    if (!status.ok()) answer = {failed(blob.blob().id, status), {}};
    return answer;
  }

 public:
  ReadOutcome failed(const BlobId& blob, const absl::Status& why) {
    provider_.foundBad(blob, why);
    return why.code() == absl::StatusCode::kDataLoss ? ReadOutcome::kCorrupt : ReadOutcome::kGone;
  }

 private:
  static Answer readPart(const BlobWriter& writer, uint64_t offset, uint32_t length) {
    const uint64_t piece = offset / kPieceBytes;
    const size_t inPiece = offset % kPieceBytes;
    Bytes whole(kPieceBytes);
    const auto got = writer.readPiece(piece, absl::MakeSpan(whole));
    if (!got.ok() || inPiece + length > *got) return {ReadOutcome::kNotMine, {}};
    if (inPiece == 0) {
      whole.resize(length);
      return {ReadOutcome::kData, std::move(whole)};
    }
    const auto first = whole.begin() + static_cast<ptrdiff_t>(inPiece);
    return {ReadOutcome::kData, Bytes(first, first + length)};
  }

  std::vector<Answer> readEach(const std::vector<std::shared_ptr<const LocalBlob>>& blobs) {
    std::vector<Answer> answers;
    size_t total = 0;
    for (const auto& blob : blobs) {
      if (!blob || blob->blob().size > kInlineBlobBytesMax) {
        answers.push_back({ReadOutcome::kGone, {}});
      } else if (total + blob->blob().size > kInlineAnswerBytesMax) {
        answers.push_back({ReadOutcome::kBusy, {}});
      } else {
        answers.push_back(readWhole(*blob, 0, static_cast<uint32_t>(blob->blob().size)));
        total += answers.back().bytes.size();
      }
    }
    return answers;
  }

  void retire(const std::shared_ptr<Link>& link) {
    counters_.unsentBytes -= link->unsentCounted;
    link->unsentCounted = 0;
    if (link->patience) link->patience->cancel();
    // Without it nothing more is read or counted. By post: this may run inside the RPC system.
    asio::post(io_,
               [rpc = std::shared_ptr<RpcLink>(std::move(link->rpc))]() mutable { rpc.reset(); });
  }

  void end(const std::shared_ptr<Link>& link) {
    if (links_.erase(link) != 0) retire(link);
  }

  static asio::awaitable<void> runAccept(std::shared_ptr<Impl> self, DetachedSocket detached);
  static asio::awaitable<void> expectCaller(std::shared_ptr<Impl> self, std::shared_ptr<Link> link);

  asio::io_context& io_;
  const TlsContext* tls_;
  WorkPool& pool_;
  BlobProvider& provider_;
  ServeCounters& counters_;
  PageCacheRoom& pages_;
  const absl::Duration openAtRestMax_;
  Look measuring_;
  Look resting_;
  std::set<Reader*> readers_;  // all
  bool stopped_ = false;
  uint64_t lastPending_ = 0;
  std::map<uint64_t, std::shared_ptr<void>> pending_;
  std::set<std::shared_ptr<Link>> links_;
};

// One blob that a peer reads.
class BulkServer::Impl::Reader final : public wire::BlobReader::Server {
 public:
  Reader(std::shared_ptr<Impl> server, std::weak_ptr<Link> link, NodeId peer, BlobId blob,
         std::shared_ptr<const LocalBlob> local)
      : server_(std::move(server)), link_(std::move(link)), peer_(peer), blob_(blob) {
    server_->readers_.insert(this);
    hold(std::move(local));
  }
  ~Reader() {
    server_->readers_.erase(this);
    if (const auto link = link_.lock()) --link->readers;
  }

  // Says whether a file is still open.
  bool closeIfResting(absl::Time now) {
    if (local_ == nullptr || now - usedAt_ < server_->openAtRestMax_) {
      return local_ != nullptr;
    }
    // Not here: the last one to close a deleted file waits until its space is given back.
    (void)server_->pool_.submit({"close", WorkPriority::kNormal, ""},
                                [local = std::exchange(local_, nullptr)] {});
    return false;
  }

  kj::Promise<void> pieces(PiecesContext context) override {
    return whenOpened([this, context]() mutable { return answerPieces(context); });
  }

  kj::Promise<void> place(PlaceContext context) override {
    const auto asked = context.getParams().getFileSystem();
    const std::string fileSystem(asked.begin(), asked.size());
    context.releaseParams();
    if (!server_->tellsPlaces()) return kj::READY_NOW;
    return whenOpened(
        [this, context, fileSystem]() mutable { return answerPlace(context, fileSystem); });
  }

  kj::Promise<void> swarm(SwarmContext context) override {
    return server_->swarm(peer_, blob_).then([this, context](const SwarmWord& word) mutable {
      const size_t bytes = word.tree ? word.tree->layer.size() * sizeof(Sha256) : 0;
      auto results = context.getResults(capnp::MessageSize{bytes / 8 + 64, 0});
      results.setPort(word.port);
      if (word.state != SwarmState::kReady || !word.tree) {
        results.setState(toWireState(word.state));
        return;
      }
      if (server_->tooMuchUnsent(link_)) return results.setState(wire::SwarmState::NOT_YET);
      results.setState(wire::SwarmState::READY);
      results.setRoot(toData(word.tree->root));
      results.setPieceBytes(word.pieceBytes);
      auto layer = results.initLayer(static_cast<uint32_t>(bytes));
      if (bytes > 0) std::memcpy(layer.begin(), word.tree->layer.data(), bytes);
    });
  }

  kj::Promise<void> read(ReadContext context) override {
    const uint64_t offset = context.getParams().getOffset();
    const uint32_t length = context.getParams().getLength();
    const bool background = context.getParams().getBackground();
    context.releaseParams();
    if (length == 0 || length > kPieceBytes || offset > kBlobBytesMax ||
        offset / kPieceBytes != (offset + length - 1) / kPieceBytes) {
      return KJ_EXCEPTION(FAILED, "a read is 1 byte to 1 MiB and within one piece");
    }
    if (server_->tooMuchUnsent(link_)) return answer(context, ReadOutcome::kBusy);
    auto room = kj::heap<Room>(link_, length);
    usedAt_ = absl::Now();
    if (local_) return readInTurn(context, offset, length, background).attach(kj::mv(room));
    return server_->readArriving(peer_, blob_, offset, length)
        .then([this, context, offset, length, background](Answer got) mutable -> kj::Promise<void> {
          if (got.outcome == ReadOutcome::kData) {
            return copyInTurn(context, std::move(got), background);
          }
          const bool lacks =
              got.outcome == ReadOutcome::kGone || got.outcome == ReadOutcome::kNotMine;
          if (!lacks) return answer(context, got.outcome);
          // It may have been completed and published since this reader was opened.
          return server_->open(peer_, blob_)
              .then([this, context, offset, length, background, outcome = got.outcome](
                        std::shared_ptr<const LocalBlob> local) mutable -> kj::Promise<void> {
                if (!local) return answer(context, outcome);
                hold(std::move(local));
                return readInTurn(context, offset, length, background);
              });
        })
        .attach(kj::mv(room));
  }

 private:
  void hold(std::shared_ptr<const LocalBlob> local) {
    local_ = std::move(local);
    usedAt_ = absl::Now();
    if (local_) server_->lookLater(server_->resting_, server_->openAtRestMax_ / 2);
  }

  // `then` finds the file open, if there is one.
  template <typename Then>
  kj::Promise<void> whenOpened(Then then) {
    if (local_) return then();
    return server_->open(peer_, blob_)
        .then([this, then = std::move(then)](std::shared_ptr<const LocalBlob> local) mutable {
          hold(std::move(local));
          return then();
        });
  }

  // A local blob has its list only if it was hashed here.
  kj::Promise<void> answerPieces(PiecesContext& context) {
    const std::vector<PieceHash>* pieces = local_ ? local_->pieces() : nullptr;
    const size_t bytes = pieces == nullptr ? 0 : pieces->size() * sizeof(PieceHash);
    if (bytes > kPieceListBytesMax || server_->tooMuchUnsent(link_)) return kj::READY_NOW;
    auto data = context.getResults(capnp::MessageSize{bytes / 8 + 64, 0})
                    .initHashes(static_cast<uint32_t>(bytes));
    if (bytes > 0) std::memcpy(data.begin(), pieces->data(), bytes);
    return kj::READY_NOW;
  }

  kj::Promise<void> answerPlace(PlaceContext& context, const std::string& fileSystem) {
    if (!local_) return kj::READY_NOW;
    return server_->placeOnWorker(local_, fileSystem)
        .then([context](const std::optional<FilePlace>& place) mutable {
          if (!place) return;
          auto results = context.getResults();
          results.setPath(place->path.c_str());
          results.setInode(place->inode);
          results.setMtimeNs(place->mtimeNs);
        });
  }

  kj::Promise<void> answer(ReadContext& context, ReadOutcome outcome) {
    context.getResults().setOutcome(toWireOutcome(outcome));
    return kj::READY_NOW;
  }

  kj::Promise<void> copy(ReadContext& context, const Answer& got) {
    auto results = context.getResults(capnp::MessageSize{got.bytes.size() / 8 + 64, 0});
    results.setOutcome(toWireOutcome(got.outcome));
    if (got.outcome == ReadOutcome::kData) {
      results.setData(toData(got.bytes));
      server_->counters().bytesOut += got.bytes.size();
    }
    return kj::READY_NOW;
  }

  kj::Promise<void> copyInTurn(ReadContext& context, Answer got, bool background) {
    return server_->uploadTurn(got.bytes.size(), background)
        .then([this, context, got = std::move(got)](bool may) mutable -> kj::Promise<void> {
          return may ? copy(context, got) : answer(context, ReadOutcome::kBusy);
        });
  }

  kj::Promise<void> readInTurn(ReadContext& context, uint64_t offset, uint32_t length,
                               bool background) {
    if (server_->counters().uploads.rate() == 0) return readLocal(context, offset, length);
    return server_->uploadTurn(length, background)
        .then([this, context, offset, length](bool may) mutable -> kj::Promise<void> {
          // Another read may have found meanwhile that the copy is no good.
          if (!may || !local_) return answer(context, ReadOutcome::kBusy);
          return readLocal(context, offset, length);
        });
  }

  kj::Promise<void> readLocal(ReadContext& context, uint64_t offset, uint32_t length) {
    if (offset + length > local_->blob().size) {
      return KJ_EXCEPTION(FAILED, "a read beyond the end of the blob");
    }
    // Straight from the page cache into the message.
    auto results = context.getResults(capnp::MessageSize{length / 8 + 64, 0});
    auto data = results.initData(length);
    const auto done = local_->tryRead(offset, absl::MakeSpan(data.begin(), data.size()));
    if (!done.ok()) {
      results.disownData();
      results.setOutcome(toWireOutcome(server_->failed(blob_, done.status())));
      local_ = nullptr;
      return kj::READY_NOW;
    }
    if (*done) {
      server_->counters().bytesOut += length;
      return kj::READY_NOW;
    }
    return server_->readOnWorker(local_, offset, length).then([this, context](Answer got) mutable {
      auto late = context.getResults();
      late.setOutcome(toWireOutcome(got.outcome));
      if (got.outcome == ReadOutcome::kData) {
        std::copy(got.bytes.begin(), got.bytes.end(), late.getData().begin());
        server_->counters().bytesOut += got.bytes.size();
      } else {
        late.disownData();
        local_ = nullptr;
      }
    });
  }

  std::shared_ptr<Impl> server_;
  std::weak_ptr<Link> link_;
  const NodeId peer_;
  const BlobId blob_;
  std::shared_ptr<const LocalBlob> local_;
  absl::Time usedAt_;
};

void BulkServer::Impl::closeResting() {
  bool more = false;
  for (Reader* reader : readers_) more |= reader->closeIfResting(absl::Now());
  if (more) lookLater(resting_, openAtRestMax_ / 2);
}

class BulkServer::Impl::Source final : public wire::BlobSource::Server {
 public:
  Source(std::shared_ptr<Impl> server, std::weak_ptr<Link> link, NodeId peer)
      : server_(std::move(server)), link_(std::move(link)), peer_(peer) {}

  kj::Promise<void> open(OpenContext context) override {
    const auto blob = fromWire(context.getParams().getId());
    if (!blob.ok()) return kjExceptionOf(blob.status());
    context.releaseParams();
    const auto link = link_.lock();
    if (!link || link->readers >= kReadersPerLinkMax) {
      return KJ_EXCEPTION(OVERLOADED, "too many blobs open on one link");
    }
    ++link->readers;
    return server_->open(peer_, *blob)
        .then([this, context, id = *blob](std::shared_ptr<const LocalBlob> local) mutable {
          context.getResults().setReader(
              kj::heap<Reader>(server_, link_, peer_, id, std::move(local)));
        });
  }

  kj::Promise<void> small(SmallContext context) override {
    const auto ids = context.getParams().getIds();
    if (ids.size() > kInlineIdsMax) return KJ_EXCEPTION(FAILED, "too many blobs at once");
    if (server_->tooMuchUnsent(link_)) return KJ_EXCEPTION(OVERLOADED, "too much unsent");
    auto room = kj::heap<Room>(link_, kInlineAnswerBytesMax);
    auto opened = kj::heapArrayBuilder<kj::Promise<std::shared_ptr<const LocalBlob>>>(ids.size());
    for (auto id : ids) {
      const auto blob = fromWire(id);
      if (!blob.ok()) return kjExceptionOf(blob.status());
      opened.add(server_->open(peer_, *blob));
    }
    context.releaseParams();
    return kj::joinPromises(opened.finish())
        .then([this](kj::Array<std::shared_ptr<const LocalBlob>> blobs) {
          return server_->readSmall({blobs.begin(), blobs.end()});
        })
        .then([this](std::vector<Answer> answers) { return inTurn(std::move(answers)); })
        .then([this, context](std::vector<Answer> answers) mutable {
          auto list = context.getResults().initBlobs(static_cast<uint32_t>(answers.size()));
          for (uint32_t i = 0; i < list.size(); ++i) {
            list[i].setOutcome(toWireOutcome(answers[i].outcome));
            list[i].setData(toData(answers[i].bytes));
            server_->counters().bytesOut += answers[i].bytes.size();
          }
        })
        .attach(kj::mv(room));
  }

  // Small blobs have one turn together.
  kj::Promise<std::vector<Answer>> inTurn(std::vector<Answer> answers) {
    uint64_t bytes = 0;
    for (const Answer& one : answers) bytes += one.bytes.size();
    return server_->uploadTurn(bytes, false).then([answers = std::move(answers)](bool may) mutable {
      for (Answer& one : answers) {
        if (!may && one.outcome == ReadOutcome::kData) one = {ReadOutcome::kBusy, {}};
      }
      return std::move(answers);
    });
  }

  kj::Promise<void> provenances(ProvenancesContext context) override {
    const auto list = context.getParams().getKeys();
    if (list.size() > kProvenancesAskedMax) return KJ_EXCEPTION(FAILED, "too many keys at once");
    if (server_->tooMuchUnsent(link_)) return KJ_EXCEPTION(OVERLOADED, "too much unsent");
    std::vector<RepresentationKey> keys;
    for (auto bytes : list) {
      const auto key = keyFromWire(bytes);
      if (!key.ok()) return kjExceptionOf(key.status());
      keys.push_back(*key);
    }
    context.releaseParams();
    auto room = kj::heap<Room>(link_, keys.size() * kProvenanceBytesMax);
    return server_->provenances(peer_, std::move(keys))
        .then([this, context](std::vector<std::string> texts) mutable {
          uint64_t bytes = 0;
          for (const std::string& text : texts) bytes += text.size();
          server_->counters().uploads.take(bytes, absl::Now());
          auto to = context.getResults().initProvenances(static_cast<uint32_t>(texts.size()));
          for (uint32_t i = 0; i < to.size(); ++i) {
            to.set(i, {reinterpret_cast<const kj::byte*>(texts[i].data()), texts[i].size()});
          }
        })
        .attach(kj::mv(room));
  }

 private:
  std::shared_ptr<Impl> server_;
  std::weak_ptr<Link> link_;
  const NodeId peer_;
};

class BulkServer::Impl::Door final : public wire::Door::Server {
 public:
  Door(std::shared_ptr<Impl> server, std::weak_ptr<Link> link)
      : server_(std::move(server)), link_(std::move(link)) {}

  kj::Promise<void> bulk(BulkContext context) override {
    const auto peer = nodeIdFromWire(context.getParams().getCaller());
    const auto link = link_.lock();
    if (!peer.ok() || !link || link->peer) return KJ_EXCEPTION(FAILED, "not a proper caller");
    link->peer = *peer;
    if (link->patience) link->patience->cancel();
    context.getResults().setSource(kj::heap<Source>(server_, link_, *peer));
    return kj::READY_NOW;
  }

 private:
  std::shared_ptr<Impl> server_;
  std::weak_ptr<Link> link_;
};

asio::awaitable<void> BulkServer::Impl::expectCaller(std::shared_ptr<Impl> self,
                                                     std::shared_ptr<Link> link) {
  if (!self->links_.contains(link)) co_return;  // it has ended before its coroutine began
  const auto timer =
      std::make_shared<asio::steady_timer>(self->io_, absl::ToChronoNanoseconds(kHandshakeTimeout));
  link->patience = timer;
  boost::system::error_code ignored;
  co_await timer->async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  if (!link->peer) self->end(link);
}

asio::awaitable<void> BulkServer::Impl::runAccept(std::shared_ptr<Impl> self,
                                                  DetachedSocket detached) {
  const Counted counted(self->counters_.links);
  auto socket = std::move(detached).attach(self->io_.get_executor());
  if (!socket.ok()) co_return;
  auto stream = co_await answerPeer(*std::move(socket), self->tls_);
  if (!stream.ok() || self->stopped_) co_return;
  auto link = std::make_shared<Link>();
  self->links_.insert(link);
  link->rpc = std::make_unique<RpcLink>(*kj::mv(stream), LinkSide::kAccepted,
                                        capnp::Capability::Client(kj::heap<Door>(self, link)));
  asio::co_spawn(self->io_, expectCaller(self, link), asio::detached);
  co_await awaitPromise(link->rpc->onDisconnect());
  self->end(link);
}

BulkServer::BulkServer(asio::io_context& io, const TlsContext* tls, WorkPool& pool,
                       BlobProvider& provider, ServeCounters& counters, PageCacheRoom& pages,
                       absl::Duration openAtRestMax)
    : impl_(std::make_shared<Impl>(io, tls, pool, provider, counters, pages, openAtRestMax)) {}
BulkServer::~BulkServer() {
  impl_->stop();
}
void BulkServer::accept(DetachedSocket socket) {
  impl_->accept(std::move(socket));
}
void BulkServer::stop() {
  impl_->stop();
}

}  // namespace roost
