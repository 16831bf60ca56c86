// One Cap'n Proto connection to a peer: a stream, and calls in both directions over it.
//
// Owns:    the stream and everything of the RPC system; capabilities that came over the link may
//          outlive it and then fail with kUnavailable.
// Threads: the stream's, which has a KjLoop.
// Memory:  a message that announces more than messageBytesMax ends the link before it is allocated;
//          so does garbage. No more calls are read while those under way exceed
//          unansweredCallBytesMax. Results are the sender's to bound, by unsentBytes().
// Errors:  through promises; DISCONNECTED once the link has ended.
#ifndef ROOST_PROTOCOL_RPC_LINK_H_
#define ROOST_PROTOCOL_RPC_LINK_H_

#include <capnp/capability.h>
#include <kj/async-io.h>

#include <memory>

#include "protocol/limits.h"
#include "protocol/tls_session.h"

namespace roost {

class RpcLink {
 public:
  struct Limits {
    size_t messageBytesMax = kMessageBytesMax;  // also what a message may be traversed for
    size_t unansweredCallBytesMax = kUnansweredCallBytesMax;
  };

  // `offered` is what the peer gets as bootstrap(): null for nothing.
  RpcLink(kj::Own<kj::AsyncIoStream> stream, LinkSide side,
          kj::Maybe<capnp::Capability::Client> offered, Limits limits);
  RpcLink(kj::Own<kj::AsyncIoStream> stream, LinkSide side,
          kj::Maybe<capnp::Capability::Client> offered)
      : RpcLink(kj::mv(stream), side, kj::mv(offered), Limits()) {}
  ~RpcLink();
  RpcLink(const RpcLink&) = delete;
  RpcLink& operator=(const RpcLink&) = delete;

  // What the peer offers; calls on it wait for the peer's answer by themselves.
  capnp::Capability::Client bootstrap();

  // Resolves once the link has ended, for whatever reason. The socket is closed then.
  kj::Promise<void> onDisconnect();

  // Ends the link now. Pending calls fail, onDisconnect() resolves.
  void close();

  // Bytes of messages that were handed to the link and are not yet with the kernel.
  size_t unsentBytes() const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace roost

#endif  // ROOST_PROTOCOL_RPC_LINK_H_
