#include "protocol/tls_session.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <string>

#include "absl/strings/str_cat.h"
#include "protocol/errors.h"
#include "protocol/limits.h"

namespace roost {
namespace {

// Why OpenSSL's last call on this thread failed.
std::string opensslReason() {
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  const char* reason = ERR_reason_error_string(code);
  return reason != nullptr ? reason : "the connection does not follow the protocol";
}

absl::Status broken(absl::string_view what) {
  return absl::UnavailableError(sentence(what, opensslReason(), ""));
}

}  // namespace

struct TlsSession::Bio {
  static TlsSession& of(BIO* bio) { return *static_cast<TlsSession*>(BIO_get_data(bio)); }

  static int read(BIO* bio, char* to, size_t wanted, size_t* got) {
    BIO_clear_retry_flags(bio);
    *got = of(bio).input_.takeInto({reinterpret_cast<uint8_t*>(to), wanted});
    if (*got == 0) BIO_set_retry_read(bio);
    return *got > 0;
  }

  // Refuses what does not fit: write() leaves room, so only a peer that provokes answers and never
  // reads them gets here.
  static int write(BIO* bio, const char* from, size_t size, size_t* written) {
    BIO_clear_retry_flags(bio);
    const absl::Span<uint8_t> space = of(bio).output_.space();
    *written = 0;
    if (space.size() < size) return 0;
    std::memcpy(space.data(), from, size);
    of(bio).output_.filled(size);
    *written = size;
    return 1;
  }

  static long control(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1 : 0; }

  static const BIO_METHOD* method() {
    static const BIO_METHOD* const made = [] {
      BIO_METHOD* m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "roost buffers");
      BIO_meth_set_read_ex(m, read);
      BIO_meth_set_write_ex(m, write);
      BIO_meth_set_ctrl(m, control);
      return m;
    }();
    return made;
  }
};

void TlsSession::FreeSsl::operator()(ssl_st* ssl) const {
  SSL_free(ssl);
}

TlsSession::TlsSession(ssl_ctx_st* context, LinkSide side)
    : input_(kTlsInputBytes),
      output_(kTlsOutputBytes + kTlsOutputSlackBytes),
      ssl_(SSL_new(context)) {
  BIO* bio = BIO_new(Bio::method());
  if (ssl_ == nullptr || bio == nullptr) std::abort();  // out of memory
  BIO_set_data(bio, this);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl_.get(), bio, bio);
  side == LinkSide::kDialled ? SSL_set_connect_state(ssl_.get()) : SSL_set_accept_state(ssl_.get());
}

TlsSession::~TlsSession() = default;

absl::StatusOr<bool> TlsSession::handshake() {
  ERR_clear_error();
  const int result = SSL_do_handshake(ssl_.get());
  if (result != 1) {
    if (SSL_get_error(ssl_.get(), result) == SSL_ERROR_WANT_READ) return false;
    return absl::UnauthenticatedError(sentence("the TLS handshake failed", opensslReason(),
                                               "Give both nodes the same cluster key"));
  }
  // A certificate must never stand in for the key, however OpenSSL came to accept one.
  if (SSL_session_reused(ssl_.get()) != 1 || SSL_version(ssl_.get()) != TLS1_3_VERSION) {
    return absl::UnauthenticatedError(sentence("the TLS handshake failed",
                                               "the peer did not prove that it has the cluster key",
                                               "Give both nodes the same cluster key"));
  }
  return true;
}

absl::StatusOr<TlsSession::Read> TlsSession::read(absl::Span<uint8_t> to) {
  Read done;
  while (done.bytes < to.size()) {
    size_t got = 0;
    ERR_clear_error();
    const int result =
        SSL_read_ex(ssl_.get(), to.data() + done.bytes, to.size() - done.bytes, &got);
    done.bytes += got;
    if (result == 1) continue;
    switch (SSL_get_error(ssl_.get(), result)) {
      case SSL_ERROR_WANT_READ:
        return done;
      case SSL_ERROR_ZERO_RETURN:
        done.ended = true;
        return done;
      default:
        return broken("cannot read from the TLS link");
    }
  }
  return done;
}

absl::StatusOr<size_t> TlsSession::write(absl::Span<const uint8_t> from) {
  size_t done = 0;
  while (done < from.size() && output_.size() < kTlsOutputBytes) {
    const size_t chunk = std::min<size_t>(from.size() - done, SSL3_RT_MAX_PLAIN_LENGTH);
    size_t written = 0;
    ERR_clear_error();
    if (SSL_write_ex(ssl_.get(), from.data() + done, chunk, &written) != 1) {
      return broken("cannot write to the TLS link");
    }
    done += written;
  }
  return done;
}

void TlsSession::writeEnd() {
  ERR_clear_error();
  SSL_shutdown(ssl_.get());
  ERR_clear_error();
}

}  // namespace roost
