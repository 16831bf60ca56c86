#include "cluster/peer_dialer.h"

#include <boost/asio/connect.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "absl/strings/str_cat.h"
#include "protocol/errors.h"
#include "protocol/kj_stream.h"
#include "protocol/limits.h"
#include "protocol/socket_deadline.h"

namespace roost {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;

// A literal address does not bother the resolver, whose thread cannot be interrupted.
asio::awaitable<absl::StatusOr<std::vector<tcp::endpoint>>> endpointsOf(Address address) {
  boost::system::error_code ec;
  const auto literal = asio::ip::make_address(address.host, ec);
  if (!ec) co_return std::vector<tcp::endpoint>(1, tcp::endpoint(literal, address.port));
  tcp::resolver resolver(co_await asio::this_coro::executor);
  const std::string port = std::to_string(address.port);
  const auto found = co_await resolver.async_resolve(address.host, port,
                                                     asio::redirect_error(asio::use_awaitable, ec));
  if (ec) {
    co_return absl::UnavailableError(
        absl::StrCat("cannot find ", address.toString(), ": ", ec.message()));
  }
  std::vector<tcp::endpoint> endpoints;
  for (const auto& entry : found) endpoints.push_back(entry.endpoint());
  co_return endpoints;
}

asio::awaitable<absl::StatusOr<tcp::socket>> connectTo(Address address) {
  const auto endpoints = co_await endpointsOf(address);
  if (!endpoints.ok()) co_return endpoints.status();
  const auto executor = co_await asio::this_coro::executor;
  tcp::socket socket(executor);
  boost::system::error_code ec;
  {
    const SocketDeadline deadline(socket, kHandshakeTimeout);
    co_await asio::async_connect(socket, *endpoints, asio::redirect_error(asio::use_awaitable, ec));
    if (deadline.passed()) {
      co_return absl::DeadlineExceededError(absl::StrCat("no answer from ", address.toString()));
    }
  }
  if (ec) {
    co_return absl::UnavailableError(
        absl::StrCat("cannot connect to ", address.toString(), ": ", ec.message()));
  }
  socket.set_option(tcp::no_delay(true), ec);
  co_return std::move(socket);
}

asio::awaitable<absl::StatusOr<PeerConnection>> dialOne(Address address, LinkKind kind,
                                                        const TlsContext* tls) {
  auto socket = co_await connectTo(address);
  if (!socket.ok()) co_return socket.status();
  const absl::Status greeted = co_await sendPreface(*socket, kind);
  if (!greeted.ok()) co_return greeted;
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
  // NOLINTNEXTLINE(clang-analyzer-cplusplus.Move): clang 14 evaluates a co_return's operand twice
  if (tls == nullptr) co_return makeKjStream(std::move(socket));
  auto secure = co_await tlsAccept(std::move(socket), *tls);
  if (!secure.ok()) co_return secure.status();
  co_return makeKjStream(*std::move(secure));
}

}  // namespace roost
