// TLS 1.3 with the cluster key as external PSK, on all peer links. No certificate is loaded on
// either side; whoever does not have the key is refused, whatever certificate they show.
//
// One cipher (TLS_AES_128_GCM_SHA256), forward secrecy (psk_dhe_ke), no tickets, no early data, no
// session cache.
//
// Threads: TlsContext is immutable and may be shared; the rest is the socket's.
// Errors:  kUnauthenticated (no common key, or not TLS), kDeadlineExceeded, kUnavailable (closed).
#ifndef ROOST_PROTOCOL_TLS_H_
#define ROOST_PROTOCOL_TLS_H_

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <memory>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "protocol/cluster_key.h"
#include "protocol/limits.h"
#include "protocol/tls_session.h"

namespace roost {

class TlsContext {
 public:
  explicit TlsContext(ClusterKeys keys);
  ~TlsContext();
  TlsContext(const TlsContext&) = delete;
  TlsContext& operator=(const TlsContext&) = delete;

  std::unique_ptr<TlsSession> newSession(LinkSide side) const;

 private:
  struct FreeContext {
    void operator()(ssl_ctx_st* context) const;
  };
  std::unique_ptr<const ClusterKeys> keys_;  // the OpenSSL context refers to it during handshakes
  std::unique_ptr<ssl_ctx_st, FreeContext> context_;
};

// A connection after its handshake: what makeKjStream (kj_stream.h) takes.
struct TlsStream {
  boost::asio::ip::tcp::socket socket;
  std::unique_ptr<TlsSession> session;
};

// The context must live until the coroutine is done; the stream does not need it any more.
boost::asio::awaitable<absl::StatusOr<TlsStream>> tlsConnect(
    boost::asio::ip::tcp::socket socket, const TlsContext& context,
    absl::Duration timeout = kHandshakeTimeout);
boost::asio::awaitable<absl::StatusOr<TlsStream>> tlsAccept(
    boost::asio::ip::tcp::socket socket, const TlsContext& context,
    absl::Duration timeout = kHandshakeTimeout);

}  // namespace roost

#endif  // ROOST_PROTOCOL_TLS_H_
