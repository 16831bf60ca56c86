#include "protocol/rpc_link.h"

#include <capnp/message.h>
#include <capnp/rpc-twoparty.h>
#include <kj/async.h>

#include <memory>
#include <utility>

namespace roost {
namespace {

constexpr int kNestingMax = 32;  // of structs and lists in a message: ours nest less than 10

namespace twoparty = capnp::rpc::twoparty;

twoparty::Side sideOf(LinkSide side) {
  return side == LinkSide::kDialled ? twoparty::Side::CLIENT : twoparty::Side::SERVER;
}

twoparty::Side otherSideOf(LinkSide side) {
  return side == LinkSide::kDialled ? twoparty::Side::SERVER : twoparty::Side::CLIENT;
}

capnp::ReaderOptions readerOptions(size_t messageBytesMax) {
  capnp::ReaderOptions options;
  // Cap'n Proto checks the announced size against this before it allocates.
  options.traversalLimitInWords = messageBytesMax / sizeof(capnp::word);
  options.nestingLimit = kNestingMax;
  return options;
}

}  // namespace

struct RpcLink::Parts {
  // Branches of `disconnected` that somebody still waits for keep its continuation alive longer
  // than this: it may only touch what it holds itself.
  struct StreamRef {
    kj::AsyncIoStream* stream;
  };

  Parts(kj::Own<kj::AsyncIoStream> s, LinkSide ownSide,
        kj::Maybe<capnp::Capability::Client> offered, const Limits& limits)
      : side(ownSide),
        stream(kj::mv(s)),
        network(*stream, sideOf(side), readerOptions(limits.messageBytesMax)),
        rpc(network, kj::mv(offered)),
        streamRef(std::make_shared<StreamRef>(StreamRef{stream.get()})),
        disconnected(network.onDisconnect()
                         .then([ref = streamRef] {
                           if (ref->stream != nullptr) ref->stream->abortRead();
                         })
                         .eagerlyEvaluate(nullptr)
                         .fork()),
        peer(askPeer()) {
    rpc.setFlowLimit(limits.unansweredCallBytesMax / sizeof(capnp::word));
  }

  ~Parts() { streamRef->stream = nullptr; }

  capnp::Capability::Client askPeer() {
    capnp::MallocMessageBuilder message;
    auto vat = message.initRoot<twoparty::VatId>();
    vat.setSide(otherSideOf(side));
    return rpc.bootstrap(vat);
  }

  LinkSide side;
  kj::Own<kj::AsyncIoStream> stream;
  capnp::TwoPartyVatNetwork network;
  capnp::RpcSystem<twoparty::VatId> rpc;
  std::shared_ptr<StreamRef> streamRef;
  kj::ForkedPromise<void> disconnected;
  // Asked for at once: a dialling RpcSystem neither reads nor serves before it has asked.
  capnp::Capability::Client peer;
};

RpcLink::RpcLink(kj::Own<kj::AsyncIoStream> stream, LinkSide side,
                 kj::Maybe<capnp::Capability::Client> offered, Limits limits)
    : parts_(std::make_unique<Parts>(kj::mv(stream), side, kj::mv(offered), limits)) {}

RpcLink::~RpcLink() = default;

capnp::Capability::Client RpcLink::bootstrap() {
  return parts_->peer;
}

kj::Promise<void> RpcLink::onDisconnect() {
  return parts_->disconnected.addBranch();
}

void RpcLink::close() {
  parts_->stream->abortRead();
}

size_t RpcLink::unsentBytes() const {
  return parts_->network.getCurrentQueueSize();
}

}  // namespace roost
