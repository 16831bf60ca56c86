// The control links to all peers: one a pair, carrying the requests of messages.h both ways.
//
// A link begins with hellos in both directions (Door.control). When two nodes dial each other at
// once, both keep the link that the node with the smaller id dialled. A node that shows our own id,
// or the id and epoch of a linked peer, from another process is a clone of a state folder: it is
// refused and reported.
//
// Threads: `loop`, which has a KjLoop. Handlers are called there and may call back into this
// object.
#ifndef ROOST_CLUSTER_PEER_LINKS_H_
#define ROOST_CLUSTER_PEER_LINKS_H_

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cluster/core.h"
#include "protocol/limits.h"
#include "protocol/messages.h"
#include "protocol/tls.h"

namespace roost {

class PeerLinks {
 public:
  struct Handlers {
    // Whether a node whose hello is known may be linked at all (clones, stale epochs, too many
    // members).
    std::function<LinkVerdict(const MemberInfo& peer, bool dialled)> judge;
    std::function<void(const MemberInfo& peer, std::optional<Address> dialled)> up;
    std::function<void(const NodeId& peer)> down;
    std::function<void(const Address& address, const absl::Status& why)> dialFailed;
    // Answered by respond() with the same id, once.
    std::function<void(const NodeId& peer, AskId ask, Request request)> asked;
    // Worth a line in the log: clones, malformed messages, wrong keys.
    std::function<void(const std::string& text)> report;
  };
  using Answer = std::function<void(absl::StatusOr<Reply>)>;

  // tls: null without a cluster key. io and tls must outlive this.
  // helloTimeout: how long a stranger may stay without saying who it is.
  PeerLinks(boost::asio::io_context& io, MemberInfo self, const TlsContext* tls, Handlers handlers,
            absl::Duration helloTimeout = kHandshakeTimeout);
  ~PeerLinks();

  void dial(const Address& address);
  // A connection whose preface said "control".
  void accept(boost::asio::ip::tcp::socket socket);
  void hangup(const NodeId& peer, const std::string& why);
  // The answer comes once: kUnavailable if there is no link or it breaks, kDeadlineExceeded.
  void call(const NodeId& peer, const Request& request, Answer answer);
  void respond(AskId ask, absl::StatusOr<Reply> reply);
  bool linked(const NodeId& peer) const;
  // Accepted connections that are open, those of strangers included.
  int accepted() const;
  // Ends all links; no handler is called afterwards, and no Answer.
  void stop();

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace roost

#endif  // ROOST_CLUSTER_PEER_LINKS_H_
