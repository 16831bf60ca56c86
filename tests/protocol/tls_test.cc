#include "protocol/tls.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <algorithm>
#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "protocol/kj_await.h"
#include "protocol/kj_stream.h"
#include "tests/protocol/loop.h"
#include "tests/protocol/transports.h"

namespace roost {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;

ClusterKeys one(const ClusterKey& key) {
  return ClusterKeys{key, std::nullopt};
}

struct Free {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
  void operator()(X509* certificate) const { X509_free(certificate); }
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
using RawContext = std::unique_ptr<SSL_CTX, Free>;

// Somebody who has no cluster key, but TLS 1.3 and a certificate they signed themselves, and who
// accepts whatever the other side shows.
RawContext impostor() {
  RawContext context(SSL_CTX_new(TLS_method()));
  std::unique_ptr<EVP_PKEY, Free> key(EVP_EC_gen("P-256"));
  std::unique_ptr<X509, Free> certificate(X509_new());
  ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), 0);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), 3600);
  X509_set_pubkey(certificate.get(), key.get());
  X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate.get()), "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>("node"), -1, -1, 0);
  X509_set_issuer_name(certificate.get(), X509_get_subject_name(certificate.get()));
  EXPECT_GT(X509_sign(certificate.get(), key.get(), EVP_sha256()), 0);
  EXPECT_EQ(SSL_CTX_use_certificate(context.get(), certificate.get()), 1);
  EXPECT_EQ(SSL_CTX_use_PrivateKey(context.get(), key.get()), 1);
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_NONE, nullptr);
  return context;
}

struct Met {
  absl::StatusOr<TlsStream> dialled = absl::UnknownError("not done");
  absl::StatusOr<TlsStream> accepted = absl::UnknownError("not done");
};

asio::awaitable<void> store(asio::awaitable<absl::StatusOr<TlsStream>> work,
                            absl::StatusOr<TlsStream>& result, int& done) {
  result = co_await std::move(work);
  ++done;
}

Met meet(Loop& loop, const TlsContext& dialling, const TlsContext& accepting) {
  SocketPair sockets = tcpPair(loop.io);
  Met met;
  int done = 0;
  asio::co_spawn(loop.io,
                 store(tlsConnect(std::move(sockets.dialled), dialling), met.dialled, done),
                 asio::detached);
  asio::co_spawn(loop.io,
                 store(tlsAccept(std::move(sockets.accepted), accepting), met.accepted, done),
                 asio::detached);
  loop.runUntil([&] { return done == 2; });
  return met;
}

// The raw side of a handshake: true when OpenSSL thinks it is done. The socket closes at the end.
asio::awaitable<absl::StatusOr<bool>> rawHandshake(tcp::socket socket, SSL_CTX* context,
                                                   LinkSide side) {
  TlsSession session(context, side);
  for (;;) {
    const int result = SSL_do_handshake(session.native());
    boost::system::error_code error;
    const auto output = session.output().bytes();
    if (!output.empty()) {
      co_await asio::async_write(socket, asio::buffer(output.data(), output.size()),
                                 asio::redirect_error(asio::use_awaitable, error));
      session.output().consume(output.size());
    }
    if (result == 1) co_return true;
    if (SSL_get_error(session.native(), result) != SSL_ERROR_WANT_READ || error) co_return false;
    const auto space = session.input().space();
    const size_t got = co_await socket.async_read_some(
        asio::buffer(space.data(), space.size()), asio::redirect_error(asio::use_awaitable, error));
    if (error) co_return false;
    session.input().filled(got);
  }
}

TEST(Tls, peersWithTheSameKeyMeet) {
  Loop loop;
  const TlsContext context(one(ClusterKey::generate()));
  const Met met = meet(loop, context, context);
  ASSERT_TRUE(met.dialled.ok()) << met.dialled.status();
  ASSERT_TRUE(met.accepted.ok()) << met.accepted.status();
  for (const TlsStream* stream : {&*met.dialled, &*met.accepted}) {
    SSL* ssl = stream->session->native();
    EXPECT_EQ(SSL_version(ssl), TLS1_3_VERSION);
    EXPECT_STREQ(SSL_get_cipher_name(ssl), "TLS_AES_128_GCM_SHA256");
    EXPECT_EQ(SSL_session_reused(ssl), 1);
    // Forward secrecy: the key alone does not decrypt what was recorded.
    EXPECT_NE(SSL_get_negotiated_group(ssl), 0);
  }
}

TEST(Tls, peersWithDifferentKeysRefuseEachOther) {
  Loop loop;
  const TlsContext dialling(one(ClusterKey::generate()));
  const TlsContext accepting(one(ClusterKey::generate()));
  const Met met = meet(loop, dialling, accepting);
  EXPECT_EQ(met.dialled.status().code(), absl::StatusCode::kUnauthenticated)
      << met.dialled.status();
  EXPECT_EQ(met.accepted.status().code(), absl::StatusCode::kUnauthenticated)
      << met.accepted.status();
}

TEST(Tls, bothKeysAreAcceptedWhileTheKeyRotates) {
  Loop loop;
  const ClusterKey before = ClusterKey::generate();
  const ClusterKey after = ClusterKey::generate();
  const TlsContext notYet(one(before));
  const TlsContext rotating(ClusterKeys{after, before});
  const TlsContext done(one(after));
  EXPECT_TRUE(meet(loop, notYet, rotating).accepted.ok());
  EXPECT_TRUE(meet(loop, done, rotating).accepted.ok());
  EXPECT_TRUE(meet(loop, rotating, done).accepted.ok());
  EXPECT_FALSE(meet(loop, notYet, done).accepted.ok());
}

TEST(Tls, aServerWithACertificateAndNoKeyIsRefused) {
  Loop loop;
  const TlsContext context(one(ClusterKey::generate()));
  const RawContext raw = impostor();
  SocketPair sockets = tcpPair(loop.io);
  std::optional<absl::StatusOr<bool>> thinksSo;
  asio::co_spawn(
      loop.io, rawHandshake(std::move(sockets.accepted), raw.get(), LinkSide::kAccepted),
      [&](std::exception_ptr, absl::StatusOr<bool> result) { thinksSo = std::move(result); });
  const auto dialled = loop.run(tlsConnect(std::move(sockets.dialled), context));
  EXPECT_EQ(dialled.status().code(), absl::StatusCode::kUnauthenticated) << dialled.status();
  loop.runUntil([&] { return thinksSo.has_value(); });
}

TEST(Tls, aClientWithACertificateAndNoKeyIsRefused) {
  Loop loop;
  const TlsContext context(one(ClusterKey::generate()));
  const RawContext raw = impostor();
  SocketPair sockets = tcpPair(loop.io);
  std::optional<absl::StatusOr<bool>> thinksSo;
  asio::co_spawn(
      loop.io, rawHandshake(std::move(sockets.dialled), raw.get(), LinkSide::kDialled),
      [&](std::exception_ptr, absl::StatusOr<bool> result) { thinksSo = std::move(result); });
  const auto accepted = loop.run(tlsAccept(std::move(sockets.accepted), context));
  EXPECT_EQ(accepted.status().code(), absl::StatusCode::kUnauthenticated) << accepted.status();
  loop.runUntil([&] { return thinksSo.has_value(); });
  EXPECT_FALSE(thinksSo->value());
}

// Two impostors do meet: what refuses them above is our side, not a mistake of the test.
TEST(Tls, impostorsMeetEachOther) {
  Loop loop;
  const RawContext raw = impostor();
  SocketPair sockets = tcpPair(loop.io);
  std::optional<absl::StatusOr<bool>> accepted;
  asio::co_spawn(
      loop.io, rawHandshake(std::move(sockets.accepted), raw.get(), LinkSide::kAccepted),
      [&](std::exception_ptr, absl::StatusOr<bool> result) { accepted = std::move(result); });
  EXPECT_TRUE(
      loop.run(rawHandshake(std::move(sockets.dialled), raw.get(), LinkSide::kDialled)).value());
  loop.runUntil([&] { return accepted.has_value(); });
  EXPECT_TRUE(accepted->value());
}

TEST(Tls, plainTextIsRefused) {
  Loop loop;
  const TlsContext context(one(ClusterKey::generate()));
  SocketPair sockets = tcpPair(loop.io);
  asio::write(sockets.dialled, asio::buffer("GET / HTTP/1.1\r\nHost: node\r\n\r\n"));
  const auto accepted = loop.run(tlsAccept(std::move(sockets.accepted), context));
  EXPECT_EQ(accepted.status().code(), absl::StatusCode::kUnauthenticated) << accepted.status();
}

TEST(Tls, aSilentPeerIsGivenUp) {
  Loop loop;
  const TlsContext context(one(ClusterKey::generate()));
  SocketPair sockets = tcpPair(loop.io);
  const auto accepted =
      loop.run(tlsAccept(std::move(sockets.accepted), context, absl::Milliseconds(20)));
  EXPECT_EQ(accepted.status().code(), absl::StatusCode::kDeadlineExceeded) << accepted.status();
}

TEST(Tls, aPeerThatHangsUpIsUnavailable) {
  Loop loop;
  const TlsContext context(one(ClusterKey::generate()));
  SocketPair sockets = tcpPair(loop.io);
  sockets.dialled.close();
  const auto accepted = loop.run(tlsAccept(std::move(sockets.accepted), context));
  EXPECT_EQ(accepted.status().code(), absl::StatusCode::kUnavailable) << accepted.status();
}

// A peer with the key that asks for key updates again and again and never reads the answers.
TEST(Tls, answersThatAPeerProvokesAreBounded) {
  Loop loop;
  const TlsContext context(one(ClusterKey::generate()));
  auto dialled = context.newSession(LinkSide::kDialled);
  auto accepted = context.newSession(LinkSide::kAccepted);
  const auto carry = [](TlsSession& from, TlsSession& to) {
    while (!from.output().empty()) {
      const auto bytes = from.output().bytes();
      const auto space = to.input().space();
      const size_t size = std::min(bytes.size(), space.size());
      std::copy_n(bytes.begin(), size, space.begin());
      to.input().filled(size);
      from.output().consume(size);
    }
  };
  for (bool done = false; !done;) {
    const bool first = dialled->handshake().value();
    carry(*dialled, *accepted);
    done = accepted->handshake().value() && first;
    carry(*accepted, *dialled);
  }

  std::array<uint8_t, 64> plain;
  absl::Status ended;
  for (int i = 0; i < 100'000 && ended.ok(); ++i) {
    ASSERT_EQ(SSL_key_update(dialled->native(), SSL_KEY_UPDATE_REQUESTED), 1);
    ASSERT_TRUE(dialled->write(absl::MakeConstSpan(plain)).ok());
    carry(*dialled, *accepted);
    ended = accepted->read(absl::MakeSpan(plain)).status();
    ASSERT_LE(accepted->output().size(), kTlsOutputBytes + kTlsOutputSlackBytes);
  }
  EXPECT_EQ(ended.code(), absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace roost
