#include "cluster/peer_dialer.h"

#include <boost/asio/connect.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <memory>

#include "absl/strings/str_cat.h"
#include "protocol/errors.h"
#include "protocol/kj_stream.h"
#include "protocol/limits.h"

namespace roost {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;

// Resolves and connects; the timer closes the socket, which is how a wait ends in Boost 1.74.
asio::awaitable<absl::StatusOr<tcp::socket>> connectTo(Address address) {
  const auto executor = co_await asio::this_coro::executor;
  auto socket = std::make_shared<tcp::socket>(executor);
  auto resolver = std::make_shared<tcp::resolver>(executor);
  asio::steady_timer timer(executor, absl::ToChronoNanoseconds(kHandshakeTimeout));
  auto expired = std::make_shared<bool>(false);
  timer.async_wait([socket, resolver, expired](boost::system::error_code ec) {
    if (ec) return;
    *expired = true;
    resolver->cancel();
    boost::system::error_code ignored;
    socket->close(ignored);
  });
  boost::system::error_code ec;
  const auto found = co_await resolver->async_resolve(
      address.host, std::to_string(address.port), asio::redirect_error(asio::use_awaitable, ec));
  if (!ec) {
    co_await asio::async_connect(*socket, found, asio::redirect_error(asio::use_awaitable, ec));
  }
  timer.cancel();
  if (*expired) {
    co_return absl::DeadlineExceededError(absl::StrCat("no answer from ", address.toString()));
  }
  if (ec) {
    co_return absl::UnavailableError(
        absl::StrCat("cannot connect to ", address.toString(), ": ", ec.message()));
  }
  socket->set_option(tcp::no_delay(true), ec);
  co_return std::move(*socket);
}

asio::awaitable<absl::StatusOr<PeerConnection>> dialOne(Address address, LinkKind kind,
                                                        const TlsContext* tls) {
  auto socket = co_await connectTo(address);
  if (!socket.ok()) co_return socket.status();
  ROOST_CO_RETURN_IF_ERROR(co_await sendPreface(*socket, kind));
  if (tls == nullptr) {
    co_return PeerConnection{makeKjStream(*std::move(socket)), std::move(address)};
  }
  auto secure = co_await tlsConnect(*std::move(socket), *tls);
  if (!secure.ok()) co_return secure.status();
  co_return PeerConnection{makeKjStream(*std::move(secure)), std::move(address)};
}

}  // namespace

asio::awaitable<absl::StatusOr<PeerConnection>> dialPeer(std::vector<Address> addresses,
                                                         LinkKind kind, const TlsContext* tls) {
  absl::Status last = absl::UnavailableError("the peer has no address");
  for (const Address& address : addresses) {
    auto connection = co_await dialOne(address, kind, tls);
    if (connection.ok()) co_return connection;
    last = connection.status();
  }
  co_return last;
}

asio::awaitable<absl::StatusOr<kj::Own<kj::AsyncIoStream>>> answerPeer(tcp::socket socket,
                                                                       const TlsContext* tls) {
  boost::system::error_code ignored;
  socket.set_option(tcp::no_delay(true), ignored);
  if (tls == nullptr) co_return makeKjStream(std::move(socket));
  auto secure = co_await tlsAccept(std::move(socket), *tls);
  if (!secure.ok()) co_return secure.status();
  co_return makeKjStream(*std::move(secure));
}

}  // namespace roost
