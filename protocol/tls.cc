#include "protocol/tls.h"

#include <openssl/ssl.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <cstdlib>
#include <string>

#include "absl/strings/str_cat.h"
#include "protocol/socket_deadline.h"

namespace roost {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;

constexpr unsigned char kAes128GcmSha256[2] = {0x13, 0x01};
constexpr unsigned char kSessionIdContext[] = {'r', 'o', 'o', 's', 't'};

// What went wrong here can only be a bug or a broken OpenSSL; there is no safe way on.
void mustBe(bool done) {
  if (!done) std::abort();
}

// The ex_data slot of our SSL_CTX that refers to the keys.
int keySlot() {
  static const int slot = SSL_CTX_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
  return slot;
}

const ClusterKeys& keysOf(SSL* ssl) {
  return *static_cast<const ClusterKeys*>(SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), keySlot()));
}

// What OpenSSL calls an external PSK in TLS 1.3: a session that never took place.
SSL_SESSION* sessionOf(SSL* ssl, const ClusterKey& key) {
  SSL_SESSION* session = SSL_SESSION_new();
  const absl::Span<const uint8_t> bytes = key.secretBytes();
  const bool made =
      session != nullptr && SSL_SESSION_set1_master_key(session, bytes.data(), bytes.size()) == 1 &&
      SSL_SESSION_set_cipher(session, SSL_CIPHER_find(ssl, kAes128GcmSha256)) == 1 &&
      SSL_SESSION_set_protocol_version(session, TLS1_3_VERSION) == 1 &&
      // Must equal the context's, or a server that verifies peers refuses the PSK.
      SSL_SESSION_set1_id_context(session, kSessionIdContext, sizeof(kSessionIdContext)) == 1;
  if (made) return session;
  SSL_SESSION_free(session);
  return nullptr;
}

// Dialling side: which key to offer.
int offerKey(SSL* ssl, const EVP_MD*, const unsigned char** identity, size_t* size,
             SSL_SESSION** session) {
  // OpenSSL copies the identity after this call returns, on the same thread.
  static thread_local std::string text;
  const ClusterKey& key = keysOf(ssl).current;
  text = key.identity();
  *identity = reinterpret_cast<const unsigned char*>(text.data());
  *size = text.size();
  *session = sessionOf(ssl, key);
  return *session != nullptr;
}

// Accepting side: the key of that identity, or none, which ends the handshake for lack of a
// certificate.
int findKey(SSL* ssl, const unsigned char* identity, size_t size, SSL_SESSION** session) {
  *session = nullptr;
  const absl::string_view text(reinterpret_cast<const char*>(identity), size);
  const ClusterKeys& keys = keysOf(ssl);
  if (keys.current.identity() == text) {
    *session = sessionOf(ssl, keys.current);
  } else if (keys.accepted && keys.accepted->identity() == text) {
    *session = sessionOf(ssl, *keys.accepted);
  }
  return 1;
}

absl::Status lost(const SocketDeadline& deadline, const boost::system::error_code& error) {
  if (deadline.passed()) return absl::DeadlineExceededError("the TLS handshake took too long");
  return absl::UnavailableError(
      absl::StrCat("connection lost in the TLS handshake: ", error.message()));
}

asio::awaitable<absl::Status> sendOutput(tcp::socket& socket, TlsSession& session,
                                         const SocketDeadline& deadline) {
  const absl::Span<const uint8_t> bytes = session.output().bytes();
  if (bytes.empty()) co_return absl::OkStatus();
  boost::system::error_code error;
  co_await asio::async_write(socket, asio::buffer(bytes.data(), bytes.size()),
                             asio::redirect_error(asio::use_awaitable, error));
  if (error) co_return lost(deadline, error);
  session.output().consume(bytes.size());
  co_return absl::OkStatus();
}

asio::awaitable<absl::Status> receiveInput(tcp::socket& socket, TlsSession& session,
                                           const SocketDeadline& deadline) {
  const absl::Span<uint8_t> space = session.input().space();
  boost::system::error_code error;
  const size_t size = co_await socket.async_read_some(
      asio::buffer(space.data(), space.size()), asio::redirect_error(asio::use_awaitable, error));
  if (error) co_return lost(deadline, error);
  session.input().filled(size);
  co_return absl::OkStatus();
}

asio::awaitable<absl::StatusOr<TlsStream>> shakeHands(tcp::socket socket,
                                                      std::unique_ptr<TlsSession> session,
                                                      absl::Duration timeout) {
  {
    const SocketDeadline deadline(socket, timeout);
    for (bool done = false; !done;) {
      const absl::StatusOr<bool> step = session->handshake();
      // Also after a failure: the alert tells the peer why.
      const absl::Status sent = co_await sendOutput(socket, *session, deadline);
      if (!step.ok()) co_return step.status();
      if (!sent.ok()) co_return sent;
      done = *step;
      if (done) break;
      const absl::Status received = co_await receiveInput(socket, *session, deadline);
      if (!received.ok()) co_return received;
    }
    if (deadline.passed()) co_return lost(deadline, {});
  }
  session->input().releaseIfEmpty();
  session->output().releaseIfEmpty();
  co_return TlsStream{std::move(socket), std::move(session)};
}

}  // namespace

void TlsContext::FreeContext::operator()(ssl_ctx_st* context) const {
  SSL_CTX_free(context);
}

TlsContext::TlsContext(ClusterKeys keys)
    : keys_(std::make_unique<const ClusterKeys>(std::move(keys))),
      context_(SSL_CTX_new(TLS_method())) {
  SSL_CTX* context = context_.get();
  mustBe(context != nullptr);
  mustBe(SSL_CTX_set_ex_data(context, keySlot(), const_cast<ClusterKeys*>(keys_.get())) == 1);
  mustBe(SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) == 1);
  mustBe(SSL_CTX_set_max_proto_version(context, TLS1_3_VERSION) == 1);
  mustBe(SSL_CTX_set_ciphersuites(context, "TLS_AES_128_GCM_SHA256") == 1);
  mustBe(SSL_CTX_set_num_tickets(context, 0) == 1);
  mustBe(SSL_CTX_set_max_early_data(context, 0) == 1);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
  mustBe(SSL_CTX_set_session_id_context(context, kSessionIdContext, sizeof(kSessionIdContext)) ==
         1);
  // With an empty trust store no certificate can stand in for the key.
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  SSL_CTX_set_psk_use_session_callback(context, offerKey);
  SSL_CTX_set_psk_find_session_callback(context, findKey);
}

TlsContext::~TlsContext() = default;

std::unique_ptr<TlsSession> TlsContext::newSession(LinkSide side) const {
  return std::make_unique<TlsSession>(context_.get(), side);
}

asio::awaitable<absl::StatusOr<TlsStream>> tlsConnect(tcp::socket socket, const TlsContext& context,
                                                      absl::Duration timeout) {
  return shakeHands(std::move(socket), context.newSession(LinkSide::kDialled), timeout);
}

asio::awaitable<absl::StatusOr<TlsStream>> tlsAccept(tcp::socket socket, const TlsContext& context,
                                                     absl::Duration timeout) {
  return shakeHands(std::move(socket), context.newSession(LinkSide::kAccepted), timeout);
}

}  // namespace roost
