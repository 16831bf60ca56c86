#include "cluster/bulk_client.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <cstring>
#include <deque>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
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

using ReadResponse = capnp::Response<wire::BlobReader::ReadResults>;
using SmallResponse = capnp::Response<wire::BlobSource::SmallResults>;
using PiecesResponse = capnp::Response<wire::BlobReader::PiecesResults>;
using PlaceResponse = capnp::Response<wire::BlobReader::PlaceResults>;
using SwarmResponse = capnp::Response<wire::BlobReader::SwarmResults>;
using ProvenancesResponse = capnp::Response<wire::BlobSource::ProvenancesResults>;
using BulkResponse = capnp::Response<wire::Door::BulkResults>;

constexpr size_t kReadsPerLinkMax = 16;
constexpr size_t kReadersPerLinkMax = 128;  // opened blobs remembered

// KJ objects belong to their lane: the last owner, on any thread, sends them home.
template <typename Response>
std::shared_ptr<const Response> keepOnLane(asio::io_context& io, Response response) {
  return {new Response(kj::mv(response)), [&io](const Response* last) {
            asio::post(io, [owned = std::unique_ptr<const Response>(last)] {});
          }};
}

absl::StatusOr<ReadOutcome> outcomeOf(wire::ReadOutcome outcome) {
  const auto number = static_cast<uint16_t>(outcome);
  if (number > static_cast<uint16_t>(ReadOutcome::kCorrupt)) {
    return absl::InvalidArgumentError("malformed message: unknown read outcome");
  }
  return static_cast<ReadOutcome>(number);
}

}  // namespace

class BulkClient::Impl : public std::enable_shared_from_this<BulkClient::Impl> {
 public:
  Impl(asio::io_context& io, NodeId self, uint64_t epoch, const TlsContext* tls)
      : io_(io), self_(self), epoch_(epoch), tls_(tls) {}

  using Job = std::function<void(absl::Status)>;  // ok: the link is up, go on

  struct Peer {
    std::vector<Address> addresses;
    enum class Phase { kDown, kDialling, kUp } phase = Phase::kDown;
    std::unique_ptr<RpcLink> rpc;
    kj::Maybe<wire::BlobSource::Client> source;
    absl::flat_hash_map<BlobId, wire::BlobReader::Client> readers;
    std::deque<Job> waiting;
    size_t underWay = 0;
  };

  void read(const PeerTarget& target, const ReadQuestion& question, absl::Duration deadline,
            ReadHandler handler) {
    ask(target, std::move(handler),
        [self = shared_from_this(), question, deadline](auto peer, auto done) {
          return runRead(self, peer, question, deadline, std::move(done));
        });
  }

  void readSmall(const PeerTarget& target, std::vector<BlobId> ids, absl::Duration deadline,
                 SmallHandler handler) {
    ask(target, std::move(handler),
        [self = shared_from_this(), ids = std::move(ids), deadline](auto peer, auto done) {
          return runSmall(self, peer, ids, deadline, std::move(done));
        });
  }

  void pieces(const PeerTarget& target, const BlobInfo& blob, absl::Duration deadline,
              PiecesHandler handler) {
    ask(target, std::move(handler),
        [self = shared_from_this(), blob, deadline](auto peer, auto done) {
          return runPieces(self, peer, blob, deadline, std::move(done));
        });
  }

  void place(const PeerTarget& target, const BlobId& blob, std::string fileSystem,
             absl::Duration deadline, PlaceHandler handler) {
    ask(target, std::move(handler),
        [self = shared_from_this(), blob, fileSystem = std::move(fileSystem), deadline](auto peer,
                                                                                        auto done) {
          return runPlace(self, peer, blob, fileSystem, deadline, std::move(done));
        });
  }

  void swarm(const PeerTarget& target, const BlobInfo& blob, absl::Duration deadline,
             SwarmHandler handler) {
    ask(target, std::move(handler),
        [self = shared_from_this(), blob, deadline](auto peer, auto done) {
          return runSwarm(self, peer, blob, deadline, std::move(done));
        });
  }

  void provenances(const PeerTarget& target, std::vector<RepresentationKey> keys,
                   absl::Duration deadline, ProvenancesHandler handler) {
    ask(target, std::move(handler),
        [self = shared_from_this(), keys = std::move(keys), deadline](auto peer, auto done) {
          return runProvenances(self, peer, keys, deadline, std::move(done));
        });
  }

  void forget(const NodeId& id) {
    const auto it = peers_.find(id);
    if (it == peers_.end()) return;
    drop(it->second, absl::UnavailableError("the node is gone"));
    peers_.erase(it);
  }

  void stop() {
    stopped_ = true;
    for (auto& [id, peer] : peers_) drop(peer, absl::UnavailableError("stopping"));
    peers_.clear();
  }

 private:
  std::shared_ptr<Peer> peerOf(const PeerTarget& target) {
    auto& peer = peers_[target.id];
    if (!peer) peer = std::make_shared<Peer>();
    peer->addresses = target.addresses;  // they may have changed
    return peer;
  }

  void enqueue(const std::shared_ptr<Peer>& peer, Job job) {
    if (stopped_) return job(absl::UnavailableError("stopping"));
    peer->waiting.push_back(std::move(job));
    if (peer->phase == Peer::Phase::kDown) {
      peer->phase = Peer::Phase::kDialling;
      asio::co_spawn(io_, runDial(shared_from_this(), peer), asio::detached);
    }
    advance(peer);
  }

  void advance(const std::shared_ptr<Peer>& peer) {
    while (peer->phase == Peer::Phase::kUp && peer->underWay < kReadsPerLinkMax &&
           !peer->waiting.empty()) {
      Job job = std::move(peer->waiting.front());
      peer->waiting.pop_front();
      ++peer->underWay;
      job(absl::OkStatus());
    }
  }

  void finished(const std::shared_ptr<Peer>& peer) {
    --peer->underWay;
    advance(peer);
  }

  // The link has ended, or was never made: whoever waits is told.
  void drop(const std::shared_ptr<Peer>& peer, const absl::Status& why) {
    peer->phase = Peer::Phase::kDown;
    peer->readers.clear();
    peer->source = nullptr;
    // By post: this may run inside the RPC system.
    if (peer->rpc) {
      asio::post(io_,
                 [rpc = std::shared_ptr<RpcLink>(std::move(peer->rpc))]() mutable { rpc.reset(); });
    }
    std::deque<Job> waiting = std::move(peer->waiting);
    peer->waiting.clear();
    for (Job& job : waiting) job(why);
  }

  static asio::awaitable<void> runDial(std::shared_ptr<Impl> self, std::shared_ptr<Peer> peer) {
    const std::vector<Address> addresses = peer->addresses;
    auto connection = co_await dialPeer(addresses, LinkKind::kBulk, self->tls_);
    if (self->stopped_ || peer->phase != Peer::Phase::kDialling) co_return;
    if (!connection.ok()) {
      self->drop(peer, absl::UnavailableError(connection.status().message()));
      co_return;
    }
    peer->rpc = std::make_unique<RpcLink>(kj::mv(connection->stream), LinkSide::kDialled, nullptr);
    {
      auto request = peer->rpc->bootstrap().castAs<wire::Door>().bulkRequest();
      request.setCaller(toData(self->self_.bytes()));
      request.setEpoch(self->epoch_);
      // Pipelined: reads are sent before the door has answered.
      peer->source = request.send().getSource();
    }
    peer->phase = Peer::Phase::kUp;
    RpcLink* const mine = peer->rpc.get();
    auto ended = mine->onDisconnect();
    self->advance(peer);
    co_await awaitPromise(kj::mv(ended));
    if (!self->stopped_ && peer->rpc.get() == mine) {
      self->drop(peer, absl::UnavailableError("the bulk link was closed"));
    }
  }

  static wire::BlobReader::Client readerOf(Peer& peer, const BlobId& blob) {
    if (const auto it = peer.readers.find(blob); it != peer.readers.end()) return it->second;
    if (peer.readers.size() >= kReadersPerLinkMax) peer.readers.erase(peer.readers.begin());
    auto request = KJ_ASSERT_NONNULL(peer.source).openRequest();
    toWire(blob, request.initId());
    return peer.readers.emplace(blob, request.send().getReader()).first->second;
  }

  // Runs `run` for the peer when its link is up and there is room on it.
  template <typename Handler, typename Run>
  void ask(const PeerTarget& target, Handler handler, Run run) {
    const auto peer = peerOf(target);
    enqueue(peer, [self = shared_from_this(), peer, handler = std::move(handler),
                   run = std::move(run)](absl::Status status) {
      if (!status.ok()) return handler(status);
      asio::co_spawn(self->io_, run(peer, handler), asio::detached);
    });
  }

  // The link may have ended since.
  template <typename Handler>
  bool wentDown(const std::shared_ptr<Peer>& peer, const Handler& handler) {
    if (peer->phase == Peer::Phase::kUp) return false;
    finished(peer);
    handler(absl::UnavailableError("the bulk link was closed"));
    return true;
  }

  // Sends the question; whatever comes of it, the peer has room for the next one.
  template <typename Response, typename Request>
  static asio::awaitable<absl::StatusOr<Response>> answerTo(std::shared_ptr<Impl> self,
                                                            std::shared_ptr<Peer> peer,
                                                            Request request,
                                                            absl::Duration deadline) {
    absl::StatusOr<Response> response =
        co_await withTimeout(kj::Promise<Response>(request.send()), deadline);
    self->finished(peer);
    co_return response;
  }

  static asio::awaitable<void> runRead(std::shared_ptr<Impl> self, std::shared_ptr<Peer> peer,
                                       ReadQuestion question, absl::Duration deadline,
                                       ReadHandler handler) {
    if (self->wentDown(peer, handler)) co_return;
    auto request = readerOf(*peer, question.blob).readRequest();
    request.setOffset(question.offset);
    request.setLength(question.length);
    request.setBackground(question.background);
    auto response = co_await answerTo<ReadResponse>(self, peer, std::move(request), deadline);
    // After stop() nobody takes bytes that would have to come back to this lane.
    if (self->stopped_) response = absl::UnavailableError("stopping");
    if (!response.ok()) {
      peer->readers.erase(question.blob);
      handler(response.status());
      co_return;
    }
    auto outcome = outcomeOf(response->getOutcome());
    if (!outcome.ok()) {
      handler(outcome.status());
      co_return;
    }
    if (*outcome == ReadOutcome::kGone || *outcome == ReadOutcome::kCorrupt) {
      peer->readers.erase(question.blob);
    }
    ReadAnswer answer{*outcome, {}};
    if (*outcome == ReadOutcome::kData) {
      auto owner = keepOnLane(self->io_, *std::move(response));
      const auto data = owner->getData();
      if (data.size() != question.length) {
        handler(absl::DataLossError(
            absl::StrCat("answered with ", data.size(), " bytes instead of ", question.length)));
        co_return;
      }
      answer.data = {{data.begin(), data.size()}, owner};
    }
    handler(std::move(answer));
  }

  static asio::awaitable<void> runPieces(std::shared_ptr<Impl> self, std::shared_ptr<Peer> peer,
                                         BlobInfo blob, absl::Duration deadline,
                                         PiecesHandler handler) {
    if (self->wentDown(peer, handler)) co_return;
    const auto response = co_await answerTo<PiecesResponse>(
        self, peer, readerOf(*peer, blob.id).piecesRequest(), deadline);
    if (!response.ok()) co_return handler(response.status());
    const auto data = response->getHashes();
    std::vector<PieceHash> hashes(pieceCount(blob.size));
    if (data.size() != hashes.size() * sizeof(PieceHash)) {
      handler(absl::NotFoundError("the peer has no list of this blob's pieces"));
      co_return;
    }
    std::memcpy(hashes.data(), data.begin(), data.size());
    handler(std::move(hashes));
  }

  static asio::awaitable<void> runPlace(std::shared_ptr<Impl> self, std::shared_ptr<Peer> peer,
                                        BlobId blob, std::string fileSystem,
                                        absl::Duration deadline, PlaceHandler handler) {
    if (self->wentDown(peer, handler)) co_return;
    auto request = readerOf(*peer, blob).placeRequest();
    request.setFileSystem(fileSystem.c_str());
    const auto response =
        co_await answerTo<PlaceResponse>(self, peer, std::move(request), deadline);
    if (!response.ok()) co_return handler(response.status());
    const auto path = response->getPath();
    FilePlace place{fileSystem, std::string(path.begin(), path.size()), response->getInode(),
                    response->getMtimeNs()};
    if (place.path.empty()) {
      handler(absl::NotFoundError("the peer does not tell where the file lies"));
      co_return;
    }
    handler(std::move(place));
  }

  static absl::StatusOr<SwarmWord> wordOf(const SwarmResponse& response, const BlobInfo& blob) {
    SwarmWord word{.port = response.getPort()};
    if (response.getState() == wire::SwarmState::NOT_YET) word.state = SwarmState::kNotYet;
    if (response.getState() != wire::SwarmState::READY) return word;
    const auto root = response.getRoot();
    const auto layer = response.getLayer();
    const uint64_t hashes = layer.size() / sizeof(Sha256);
    const auto malformed = absl::DataLossError("the peer told no hash tree of this blob");
    // The number of hashes before anything is made of them.
    if (blob.size == 0 || root.size() != sizeof(Sha256) || layer.size() % sizeof(Sha256) != 0 ||
        response.getPieceBytes() != swarmPieceBytes(blob.size) || hashes > kSwarmPiecesMax) {
      return malformed;
    }
    auto tree = std::make_shared<HashTree>();
    std::memcpy(tree->root.data(), root.begin(), root.size());
    tree->layer.resize(hashes);
    if (hashes > 0) std::memcpy(tree->layer.data(), layer.begin(), layer.size());
    if (!isConsistent(blob.size, *tree)) return malformed;
    word.state = SwarmState::kReady;
    word.pieceBytes = response.getPieceBytes();
    word.tree = std::move(tree);
    return word;
  }

  static asio::awaitable<void> runSwarm(std::shared_ptr<Impl> self, std::shared_ptr<Peer> peer,
                                        BlobInfo blob, absl::Duration deadline,
                                        SwarmHandler handler) {
    if (self->wentDown(peer, handler)) co_return;
    const auto response = co_await answerTo<SwarmResponse>(
        self, peer, readerOf(*peer, blob.id).swarmRequest(), deadline);
    if (!response.ok()) co_return handler(response.status());
    handler(wordOf(*response, blob));
  }

  static asio::awaitable<void> runSmall(std::shared_ptr<Impl> self, std::shared_ptr<Peer> peer,
                                        std::vector<BlobId> ids, absl::Duration deadline,
                                        SmallHandler handler) {
    if (self->wentDown(peer, handler)) co_return;
    auto request = KJ_ASSERT_NONNULL(peer->source).smallRequest();
    auto list = request.initIds(static_cast<uint32_t>(ids.size()));
    for (uint32_t i = 0; i < list.size(); ++i) toWire(ids[i], list[i]);
    auto response = co_await answerTo<SmallResponse>(self, peer, std::move(request), deadline);
    if (self->stopped_) response = absl::UnavailableError("stopping");
    if (!response.ok()) {
      handler(response.status());
      co_return;
    }
    auto owner = keepOnLane(self->io_, *std::move(response));
    std::vector<ReadAnswer> answers;
    if (owner->getBlobs().size() != ids.size()) {
      handler(absl::InvalidArgumentError("malformed message: another number of blobs than asked"));
      co_return;
    }
    for (auto blob : owner->getBlobs()) {
      const auto outcome = outcomeOf(blob.getOutcome());
      if (!outcome.ok()) {
        handler(outcome.status());
        co_return;
      }
      const auto data = blob.getData();
      answers.push_back({*outcome, {{data.begin(), data.size()}, owner}});
    }
    handler(std::move(answers));
  }

  static asio::awaitable<void> runProvenances(std::shared_ptr<Impl> self,
                                              std::shared_ptr<Peer> peer,
                                              std::vector<RepresentationKey> keys,
                                              absl::Duration deadline, ProvenancesHandler handler) {
    if (self->wentDown(peer, handler)) co_return;
    auto request = KJ_ASSERT_NONNULL(peer->source).provenancesRequest();
    auto list = request.initKeys(static_cast<uint32_t>(keys.size()));
    for (uint32_t i = 0; i < list.size(); ++i) list.set(i, toData(keys[i].bytes()));
    const auto response =
        co_await answerTo<ProvenancesResponse>(self, peer, std::move(request), deadline);
    if (!response.ok()) co_return handler(response.status());
    std::vector<std::string> texts;
    for (auto text : response->getProvenances()) {
      texts.emplace_back(text.asChars().begin(), text.size());
    }
    if (texts.size() != keys.size()) {
      handler(absl::InvalidArgumentError("malformed message: another number than asked"));
      co_return;
    }
    handler(std::move(texts));
  }

  asio::io_context& io_;
  const NodeId self_;
  const uint64_t epoch_;
  const TlsContext* tls_;
  bool stopped_ = false;
  absl::flat_hash_map<NodeId, std::shared_ptr<Peer>> peers_;
};

BulkClient::BulkClient(asio::io_context& io, NodeId self, uint64_t epoch, const TlsContext* tls)
    : impl_(std::make_shared<Impl>(io, self, epoch, tls)) {}
BulkClient::~BulkClient() {
  impl_->stop();
}
void BulkClient::read(const PeerTarget& peer, const ReadQuestion& question, absl::Duration deadline,
                      ReadHandler handler) {
  impl_->read(peer, question, deadline, std::move(handler));
}
void BulkClient::readSmall(const PeerTarget& peer, std::vector<BlobId> ids, absl::Duration deadline,
                           SmallHandler handler) {
  impl_->readSmall(peer, std::move(ids), deadline, std::move(handler));
}
void BulkClient::place(const PeerTarget& peer, const BlobId& blob, std::string fileSystem,
                       absl::Duration deadline, PlaceHandler handler) {
  impl_->place(peer, blob, std::move(fileSystem), deadline, std::move(handler));
}
void BulkClient::pieces(const PeerTarget& peer, const BlobInfo& blob, absl::Duration deadline,
                        PiecesHandler handler) {
  impl_->pieces(peer, blob, deadline, std::move(handler));
}
void BulkClient::swarm(const PeerTarget& peer, const BlobInfo& blob, absl::Duration deadline,
                       SwarmHandler handler) {
  impl_->swarm(peer, blob, deadline, std::move(handler));
}
void BulkClient::provenances(const PeerTarget& peer, std::vector<RepresentationKey> keys,
                             absl::Duration deadline, ProvenancesHandler handler) {
  impl_->provenances(peer, std::move(keys), deadline, std::move(handler));
}
void BulkClient::forget(const NodeId& peer) {
  impl_->forget(peer);
}
void BulkClient::stop() {
  impl_->stop();
}

}  // namespace roost
