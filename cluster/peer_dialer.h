// Makes one connection to a peer: resolve, connect, preface, TLS if there is a key. Addresses are
// tried in order.
//
// Threads: that of the executor. Errors: kUnavailable (nobody there), kDeadlineExceeded,
// kUnauthenticated (other key).
#ifndef ROOST_CLUSTER_PEER_DIALER_H_
#define ROOST_CLUSTER_PEER_DIALER_H_

#include <kj/async-io.h>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "protocol/names.h"
#include "protocol/preface.h"
#include "protocol/tls.h"

namespace roost {

struct PeerConnection {
  kj::Own<kj::AsyncIoStream> stream;
  Address reached;  // the one of the addresses that answered
};

// tls: null for a cluster without a key (loopback only). Must outlive the coroutine.
boost::asio::awaitable<absl::StatusOr<PeerConnection>> dialPeer(std::vector<Address> addresses,
                                                                LinkKind kind,
                                                                const TlsContext* tls);

// The accepting side, after the preface was read.
boost::asio::awaitable<absl::StatusOr<kj::Own<kj::AsyncIoStream>>> answerPeer(
    boost::asio::ip::tcp::socket socket, const TlsContext* tls);

}  // namespace roost

#endif  // ROOST_CLUSTER_PEER_DIALER_H_
