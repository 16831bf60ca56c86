// One TLS 1.3 connection as a state machine without I/O: ciphertext in input() and output(), plain
// bytes through read() and write().
//
// Why not boost::asio::ssl::stream: it keeps pointers to the caller's plain bytes while a lower
// write is under way and encrypts on when that completes, also after the caller has dropped the
// write and freed them; and it sends 16 KiB at a time. Here plain bytes are only touched inside
// read() and write().
//
// Owns:    the SSL object and both ciphertext buffers.
// Threads: one; may be moved to another between calls.
// Errors:  a Status; after one the connection must be closed.
#ifndef ROOST_PROTOCOL_TLS_SESSION_H_
#define ROOST_PROTOCOL_TLS_SESSION_H_

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "protocol/byte_buffer.h"

struct ssl_st;      // SSL
struct ssl_ctx_st;  // SSL_CTX

namespace roost {

// Who opened the connection; also says which end of an RPC link this is.
enum class LinkSide { kDialled, kAccepted };

class TlsSession {
 public:
  TlsSession(ssl_ctx_st* context, LinkSide side);  // takes its own reference to the context
  ~TlsSession();
  TlsSession(const TlsSession&) = delete;
  TlsSession& operator=(const TlsSession&) = delete;

  // Call until true, each time after sending output() and receiving into input(). true means: TLS
  // 1.3 with a key that both sides have, checked here. Errors: kUnauthenticated.
  absl::StatusOr<bool> handshake();

  struct Read {
    size_t bytes = 0;
    bool ended = false;  // the peer said that nothing follows
  };
  // Plain bytes into `to`; none and not ended: more input() is needed.
  absl::StatusOr<Read> read(absl::Span<uint8_t> to);

  // Encrypts as much of `from` as output() takes; returns how many plain bytes those were.
  absl::StatusOr<size_t> write(absl::Span<const uint8_t> from);

  void writeEnd();  // tells the peer that nothing follows

  ByteBuffer& input() { return input_; }
  ByteBuffer& output() { return output_; }
  ssl_st* native() { return ssl_.get(); }

 private:
  struct Bio;  // OpenSSL's view of the two buffers
  struct FreeSsl {
    void operator()(ssl_st* ssl) const;
  };
  ByteBuffer input_;
  ByteBuffer output_;
  std::unique_ptr<ssl_st, FreeSsl> ssl_;
};

}  // namespace roost

#endif  // ROOST_PROTOCOL_TLS_SESSION_H_
