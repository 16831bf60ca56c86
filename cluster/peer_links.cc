#include "cluster/peer_links.h"

#include <kj/async.h>
#include <kj/debug.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <map>
#include <set>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "cluster/peer_calls.h"
#include "cluster/peer_dialer.h"
#include "protocol/convert.h"
#include "protocol/errors.h"
#include "protocol/kj_await.h"
#include "protocol/limits.h"
#include "protocol/roost.capnp.h"
#include "protocol/rpc_link.h"

namespace roost {

namespace asio = boost::asio;
using asio::ip::tcp;

namespace {

// A peer that listens on all its addresses does not know which of them we can reach: it is the one
// we talk to.
void fillAddresses(MemberInfo& peer, const std::string& seenHost) {
  for (Address& address : peer.addresses) {
    if (address.host == "0.0.0.0" || address.host == "::") address.host = seenHost;
  }
}

bool versionsMeet(const MemberInfo& a, const MemberInfo& b) {
  return a.versionMin <= b.versionMax && b.versionMin <= a.versionMax;
}

}  // namespace

class PeerLinks::Impl : public std::enable_shared_from_this<PeerLinks::Impl> {
 public:
  // One connection. Until `peer` is known it may only call the Door.
  struct Link {
    uint64_t serial = 0;
    bool weDialled = false;
    std::optional<Address> dialled;
    std::string seenHost;
    std::optional<MemberInfo> peer;
    std::unique_ptr<RpcLink> rpc;
    kj::Maybe<wire::Peer::Client> calls;
    std::set<uint64_t> asks;  // questions of this link that still wait for respond()
    std::shared_ptr<asio::steady_timer> patience;  // for the hello of who called us
    // What a peer asks right behind its hello waits until that is admitted.
    std::vector<kj::Own<kj::PromiseFulfiller<void>>> admitted;
  };

  Impl(asio::io_context& io, MemberInfo self, const TlsContext* tls, Handlers handlers,
       absl::Duration helloTimeout)
      : io_(io),
        self_(std::move(self)),
        tls_(tls),
        handlers_(std::move(handlers)),
        helloTimeout_(helloTimeout) {}

  void dial(const Address& address) {
    asio::co_spawn(io_, runDial(shared_from_this(), address), asio::detached);
  }
  void accept(tcp::socket socket) {
    asio::co_spawn(io_, runAccept(shared_from_this(), std::move(socket)), asio::detached);
  }

  void hangup(const NodeId& peer) {
    if (const auto it = linked_.find(peer); it != linked_.end()) end(it->second);
  }

  bool linked(const NodeId& peer) const { return linked_.contains(peer); }
  int accepted() const { return accepted_; }

  void call(const NodeId& peer, const Request& request, Answer answer) {
    const auto it = linked_.find(peer);
    if (it == linked_.end()) {
      answer(absl::UnavailableError("no link to that node"));
      return;
    }
    auto client = KJ_ASSERT_NONNULL(it->second->calls);
    asio::co_spawn(io_, callPeer(client, request),
                   [self = shared_from_this(), answer = std::move(answer)](
                       std::exception_ptr thrown, absl::StatusOr<Reply> reply) {
                     if (self->stopped_) return;
                     if (thrown) reply = absl::InternalError("a call ended with an exception");
                     answer(std::move(reply));
                   });
  }

  void respond(AskId ask, absl::StatusOr<Reply> reply) {
    const auto it = waiting_.find(static_cast<uint64_t>(ask));
    if (it == waiting_.end()) return;  // the link that asked has ended
    if (const auto link = it->second.link.lock()) link->asks.erase(it->first);
    it->second.fulfiller->fulfill(kj::mv(reply));
    waiting_.erase(it);
  }

  // Called by the Peer capability of a link. The promise is kept by the RPC system.
  kj::Promise<absl::StatusOr<Reply>> ask(const std::weak_ptr<Link>& weak, Request request) {
    const auto link = weak.lock();
    if (!link || !link->rpc || stopped_) {
      return absl::StatusOr<Reply>(absl::UnavailableError("the link is closing"));
    }
    if (link->asks.size() + link->admitted.size() >= kAsksPerLinkMax ||
        link->rpc->unsentBytes() > kUnsentBytesPerLinkMax) {
      return absl::StatusOr<Reply>(absl::AbortedError("too many questions at once"));
    }
    if (!link->peer) {
      auto admitted = kj::newPromiseAndFulfiller<void>();
      link->admitted.push_back(kj::mv(admitted.fulfiller));
      return admitted.promise.then(
          [self = shared_from_this(), weak, request = std::move(request)]() mutable {
            return self->ask(weak, std::move(request));
          });
    }
    auto paf = kj::newPromiseAndFulfiller<absl::StatusOr<Reply>>();
    const uint64_t id = ++lastAsk_;
    waiting_.emplace(id, Waiting{kj::mv(paf.fulfiller), weak});
    link->asks.insert(id);
    // By post: whoever answers may hang up, which must not happen inside the RPC system's own call.
    asio::post(io_, [self = shared_from_this(), id, peer = link->peer->id,
                     request = std::move(request)]() mutable {
      if (!self->stopped_ && self->waiting_.contains(id)) {
        self->handlers_.asked(peer, AskId{id}, std::move(request));
      }
    });
    return kj::mv(paf.promise);
  }

  // Both hellos are known: does this link stay? Ok: yes. kAborted: no, and nothing is wrong.
  // kFailedPrecondition: people must do something.
  absl::Status admit(const std::shared_ptr<Link>& link, MemberInfo peer) {
    if (stopped_) return absl::UnavailableError("the agent is stopping");
    fillAddresses(peer, link->seenHost);
    if (!versionsMeet(self_, peer)) {
      return absl::FailedPreconditionError(absl::StrCat(
          peer.name, " speaks protocol versions ", peer.versionMin, " to ", peer.versionMax,
          ", this node ", self_.versionMin, " to ", self_.versionMax, ". Upgrade the older one."));
    }
    if (peer.id == self_.id) {
      if (peer.instance == self_.instance) return absl::AbortedError("this is myself");
      return clone(peer);
    }
    switch (handlers_.judge(peer, link->weDialled)) {
      case LinkVerdict::kSelf:
        return absl::AbortedError("this is myself");
      case LinkVerdict::kClone:
      case LinkVerdict::kStale:  // its state folder's next start is known, and yet it runs
        return clone(peer);
      case LinkVerdict::kFull:
        return absl::AbortedError("the cluster has too many members");
      case LinkVerdict::kAccept:
      case LinkVerdict::kReplace:
      case LinkVerdict::kDuplicate:
        break;  // decided below, with the links that the core has not heard of yet
    }
    if (const auto it = linked_.find(peer.id); it != linked_.end()) {
      const std::shared_ptr<Link> old = it->second;
      if (old->peer->instance != peer.instance && old->peer->epoch >= peer.epoch) {
        return clone(peer);
      }
      const bool sameProcess = old->peer->instance == peer.instance;
      const bool ours = self_.id < peer.id;  // whose dialling counts
      if (sameProcess && old->weDialled != link->weDialled && old->weDialled == ours) {
        return absl::AbortedError("there is a link already");
      }
      end(old);
    }
    link->peer = peer;
    linked_[peer.id] = link;
    if (link->patience) link->patience->cancel();
    for (auto& waiting : std::exchange(link->admitted, {})) waiting->fulfill();
    // By post, as in ask(); and after the reply to the hello is on its way.
    asio::post(io_, [self = shared_from_this(), link] {
      if (!self->stopped_ && self->isCurrent(*link)) self->handlers_.up(*link->peer, link->dialled);
    });
    return absl::OkStatus();
  }

  void stop() {
    stopped_ = true;
    for (auto& [id, waiting] : waiting_) {
      waiting.fulfiller->fulfill(absl::StatusOr<Reply>(absl::UnavailableError("stopping")));
    }
    waiting_.clear();
    linked_.clear();
    for (const auto& link : links_) retire(link);
    links_.clear();
  }

  const MemberInfo& self() const { return self_; }

 private:
  static constexpr size_t kAsksPerLinkMax = 64;

  struct Waiting {
    kj::Own<kj::PromiseFulfiller<absl::StatusOr<Reply>>> fulfiller;
    std::weak_ptr<Link> link;
  };
  class PeerServer;
  class DoorServer;
  struct Judged {
    absl::Status status;
  };

  absl::Status clone(const MemberInfo& peer) {
    const std::string text = absl::StrCat(
        "node id ", peer.id.shortHex(), " (", peer.name,
        ") is used by two agents at once: a state folder was copied. Remove the file node-id from "
        "the copy and start its agent again.");
    handlers_.report(text);
    return absl::FailedPreconditionError(text);
  }

  bool isCurrent(const Link& link) const {
    if (!link.peer) return false;
    const auto it = linked_.find(link.peer->id);
    return it != linked_.end() && it->second.get() == &link;
  }

  // Destroys the RPC system in a job of its own: the caller may be inside it.
  void retire(const std::shared_ptr<Link>& link) {
    if (link->patience) link->patience->cancel();
    asio::post(io_, [link] {
      link->admitted.clear();
      link->calls = nullptr;
      link->rpc.reset();
    });
  }

  void end(std::shared_ptr<Link> link) {
    if (links_.erase(link) == 0) return;
    // Told as a lost link: a fulfiller that is just dropped would say "bug".
    for (uint64_t ask : std::exchange(link->asks, {})) {
      const auto it = waiting_.find(ask);
      if (it == waiting_.end()) continue;
      it->second.fulfiller->fulfill(
          absl::StatusOr<Reply>(absl::UnavailableError("the link has ended")));
      waiting_.erase(it);
    }
    if (isCurrent(*link)) {
      linked_.erase(link->peer->id);
      if (!stopped_) {
        asio::post(io_, [self = shared_from_this(), peer = link->peer->id] {
          if (!self->stopped_) self->handlers_.down(peer);
        });
      }
    }
    retire(link);
  }

  static asio::awaitable<void> watch(std::shared_ptr<Impl> self, std::shared_ptr<Link> link) {
    co_await awaitPromise(link->rpc->onDisconnect());
    self->end(link);
  }

  // Ends a link that has not said hello in time.
  static asio::awaitable<void> expectHello(std::shared_ptr<Impl> self, std::shared_ptr<Link> link) {
    if (link->peer || !self->links_.contains(link)) co_return;  // it has met or ended already
    const auto timer = std::make_shared<asio::steady_timer>(
        self->io_, absl::ToChronoNanoseconds(self->helloTimeout_));
    link->patience = timer;
    boost::system::error_code ignored;
    co_await timer->async_wait(asio::redirect_error(asio::use_awaitable, ignored));
    if (!link->peer) self->end(link);
  }

  static asio::awaitable<void> runDial(std::shared_ptr<Impl> self, Address address);
  static asio::awaitable<void> runAccept(std::shared_ptr<Impl> self, tcp::socket socket);

  // Counts an accepted connection for as long as its coroutine lives.
  struct Counted {
    explicit Counted(int& count) : count_(count) { ++count_; }
    ~Counted() { --count_; }
    Counted(const Counted&) = delete;
    Counted& operator=(const Counted&) = delete;
    int& count_;
  };

  asio::io_context& io_;
  const MemberInfo self_;
  const TlsContext* tls_;
  Handlers handlers_;
  const absl::Duration helloTimeout_;
  bool stopped_ = false;
  int accepted_ = 0;
  uint64_t lastAsk_ = 0;
  uint64_t lastSerial_ = 0;
  std::set<std::shared_ptr<Link>> links_;
  absl::flat_hash_map<NodeId, std::shared_ptr<Link>> linked_;
  std::map<uint64_t, Waiting> waiting_;
};

// What a linked peer may call: turns each call into a Request and its Reply into results.
class PeerLinks::Impl::PeerServer final : public wire::Peer::Server {
 public:
  PeerServer(std::weak_ptr<Impl> links, std::weak_ptr<Link> link)
      : links_(std::move(links)), link_(std::move(link)) {}

  kj::Promise<void> heartbeat(HeartbeatContext context) override { return answer(context); }
  kj::Promise<void> members(MembersContext context) override { return answer(context); }
  kj::Promise<void> follow(FollowContext context) override { return answer(context); }
  kj::Promise<void> listing(ListingContext context) override { return answer(context); }
  kj::Promise<void> want(WantContext context) override { return answer(context); }
  kj::Promise<void> obtain(ObtainContext context) override { return answer(context); }
  kj::Promise<void> progress(ProgressContext context) override { return answer(context); }
  kj::Promise<void> hubWord(HubWordContext context) override { return answer(context); }
  kj::Promise<void> computeLease(ComputeLeaseContext context) override { return answer(context); }

 private:
  template <typename Context>
  kj::Promise<void> answer(Context context) {
    auto request = readParams(context.getParams());
    context.releaseParams();
    const auto links = links_.lock();
    if (!links) return KJ_EXCEPTION(DISCONNECTED, "the agent is stopping");
    if (!request.ok()) {
      links->handlers_.report(absl::StrCat("a peer sent a ", request.status().message()));
      return kjExceptionOf(request.status());
    }
    return links->ask(link_, *std::move(request))
        .then([context](absl::StatusOr<Reply> reply) mutable -> kj::Promise<void> {
          if (!reply.ok()) return kjExceptionOf(reply.status());
          writeResults(*reply, context.getResults());
          return kj::READY_NOW;
        });
  }

  std::weak_ptr<Impl> links_;
  std::weak_ptr<Link> link_;
};

// What an unknown caller may do: say hello.
class PeerLinks::Impl::DoorServer final : public wire::Door::Server {
 public:
  DoorServer(std::weak_ptr<Impl> links, std::weak_ptr<Link> link)
      : links_(std::move(links)), link_(std::move(link)) {}

  kj::Promise<void> control(ControlContext context) override {
    const auto links = links_.lock();
    const auto link = link_.lock();
    if (!links || !link || link->peer) return KJ_EXCEPTION(FAILED, "hello was said already");
    auto params = context.getParams();
    auto hello = fromWire(params.getHello());
    if (!hello.ok()) return kjExceptionOf(hello.status());
    link->calls = params.getPeer();
    if (const absl::Status status = links->admit(link, *std::move(hello)); !status.ok()) {
      return kjExceptionOf(status);
    }
    auto results = context.getResults();
    toWire(links->self(), results.initHello());
    results.setPeer(kj::heap<PeerServer>(links_, link_));
    results.setObserved(link->seenHost);
    return kj::READY_NOW;
  }

 private:
  std::weak_ptr<Impl> links_;
  std::weak_ptr<Link> link_;
};

asio::awaitable<void> PeerLinks::Impl::runDial(std::shared_ptr<Impl> self, Address address) {
  const std::vector<Address> addresses(1, address);  // GCC 12: no braced list inside co_await
  auto connection = co_await dialPeer(addresses, LinkKind::kControl, self->tls_);
  if (self->stopped_) co_return;
  if (!connection.ok()) {
    self->handlers_.dialFailed(address, connection.status());
    co_return;
  }
  auto link = std::make_shared<Link>();
  link->serial = ++self->lastSerial_;
  link->weDialled = true;
  link->dialled = address;
  link->seenHost = connection->reached.host;
  link->rpc = std::make_unique<RpcLink>(kj::mv(connection->stream), LinkSide::kDialled, nullptr);
  self->links_.insert(link);

  auto request = link->rpc->bootstrap().castAs<wire::Door>().controlRequest();
  toWire(self->self_, request.initHello());
  request.setPeer(kj::heap<PeerServer>(self, link));
  // Judged at once, not when this coroutine gets its turn: the peer's first calls may be in the
  // same packet.
  kj::Promise<Judged> judged =
      request.send().then([self, link](capnp::Response<wire::Door::ControlResults>&& response) {
        auto hello = fromWire(response.getHello());
        if (!hello.ok()) return Judged{hello.status()};
        link->calls = response.getPeer();
        return Judged{self->admit(link, *std::move(hello))};
      });
  const absl::StatusOr<Judged> outcome = co_await withTimeout(kj::mv(judged), kHandshakeTimeout);
  if (self->stopped_) co_return;
  const absl::Status status = outcome.ok() ? outcome->status : outcome.status();
  if (!status.ok()) {
    self->end(link);
    self->handlers_.dialFailed(address, status);
    co_return;
  }
  if (link->rpc) co_await watch(self, link);
}

asio::awaitable<void> PeerLinks::Impl::runAccept(std::shared_ptr<Impl> self, tcp::socket socket) {
  const Counted counted(self->accepted_);
  boost::system::error_code ec;
  const auto remote = socket.remote_endpoint(ec);
  auto stream = co_await answerPeer(std::move(socket), self->tls_);
  if (self->stopped_) co_return;
  if (!stream.ok()) {
    self->handlers_.report(absl::StrCat("refused a connection from ",
                                        ec ? "?" : remote.address().to_string(), ": ",
                                        stream.status().message()));
    co_return;
  }
  auto link = std::make_shared<Link>();
  link->serial = ++self->lastSerial_;
  link->seenHost = ec ? "" : remote.address().to_string();
  self->links_.insert(link);
  link->rpc =
      std::make_unique<RpcLink>(*kj::mv(stream), LinkSide::kAccepted,
                                capnp::Capability::Client(kj::heap<DoorServer>(self, link)));
  asio::co_spawn(self->io_, expectHello(self, link), asio::detached);
  co_await watch(self, link);
}

PeerLinks::PeerLinks(asio::io_context& io, MemberInfo self, const TlsContext* tls,
                     Handlers handlers, absl::Duration helloTimeout)
    : impl_(std::make_shared<Impl>(io, std::move(self), tls, std::move(handlers), helloTimeout)) {}
PeerLinks::~PeerLinks() {
  impl_->stop();
}
void PeerLinks::dial(const Address& address) {
  impl_->dial(address);
}
void PeerLinks::accept(tcp::socket socket) {
  impl_->accept(std::move(socket));
}
void PeerLinks::hangup(const NodeId& peer, const std::string&) {
  impl_->hangup(peer);
}
void PeerLinks::call(const NodeId& peer, const Request& request, Answer answer) {
  impl_->call(peer, request, std::move(answer));
}
void PeerLinks::respond(AskId ask, absl::StatusOr<Reply> reply) {
  impl_->respond(ask, std::move(reply));
}
bool PeerLinks::linked(const NodeId& peer) const {
  return impl_->linked(peer);
}
int PeerLinks::accepted() const {
  return impl_->accepted();
}
void PeerLinks::stop() {
  impl_->stop();
}

}  // namespace roost
