#include "node/endpoint/endpoint_server.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "node/addresses.h"
#include "protocol/errors.h"
#include "protocol/limits.h"
#include "protocol/preface.h"
#include "protocol/socket_deadline.h"

namespace roost {

namespace asio = boost::asio;
using asio::ip::tcp;

EndpointServer::EndpointServer(asio::io_context& io, std::vector<LaneThread*> lanes,
                               HttpHandler handler, BodyChoice bodyPlan)
    : io_(io), lanes_(std::move(lanes)), serving_(std::make_shared<HttpServing>()), acceptor_(io) {
  serving_->handler = std::move(handler);
  serving_->bodyPlan = std::move(bodyPlan);
}

absl::Status EndpointServer::listen(const Address& address, bool orAnyPort) {
  boost::system::error_code ec;
  asio::ip::address host = asio::ip::make_address(address.host, ec);
  if (ec)
    host = asio::ip::address_v4::loopback();  // "localhost"; the configuration allows no other
  for (const uint16_t port : {address.port, uint16_t{0}}) {
    acceptor_.close(ec);
    const tcp::endpoint endpoint(host, port);
    acceptor_.open(endpoint.protocol(), ec);
    if (!ec) acceptor_.set_option(tcp::acceptor::reuse_address(true), ec);
    if (!ec) acceptor_.bind(endpoint, ec);
    if (!ec) acceptor_.listen(asio::socket_base::max_listen_connections, ec);
    if (!ec || ec != asio::error::address_in_use || !orAnyPort) break;
  }
  if (ec) {
    return absl::InvalidArgumentError(
        sentence(absl::StrCat("cannot listen for clients on ", address.toString()), ec.message(),
                 "Choose another address with --endpoint."));
  }
  address_ = {address.host, acceptor_.local_endpoint().port()};
  return absl::OkStatus();
}

void EndpointServer::start() {
  asio::co_spawn(io_, accept(*this, serving_), asio::detached);
}

void EndpointServer::stopAccepting() {
  serving_->stopping = true;
  boost::system::error_code ignored;
  acceptor_.close(ignored);
}

// Full: huggingface_hub takes an answer for a passing failure, and a closed connection for a fatal
// one. What it has sent is read before the end, or the answer would be lost to a reset.
asio::awaitable<void> EndpointServer::refuse(tcp::socket socket,
                                             std::shared_ptr<HttpServing> serving) {
  ++serving->refusing;
  const std::string answer =
      "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\n"
      "Content-Length: 0\r\n\r\n";
  boost::system::error_code ec;
  {
    const SocketDeadline deadline(socket, kEndpointRefusalTimeout);
    char scratch[4096];
    // A head at least: an answer before the question is none for some clients.
    co_await socket.async_read_some(asio::buffer(scratch),
                                    asio::redirect_error(asio::use_awaitable, ec));
    if (!ec) {
      co_await asio::async_write(socket, asio::buffer(answer),
                                 asio::redirect_error(asio::use_awaitable, ec));
    }
    if (!ec) socket.shutdown(tcp::socket::shutdown_send, ec);
    while (!ec) {
      co_await socket.async_read_some(asio::buffer(scratch),
                                      asio::redirect_error(asio::use_awaitable, ec));
    }
  }
  --serving->refusing;
}

asio::awaitable<void> EndpointServer::accept(EndpointServer& self,
                                             std::shared_ptr<HttpServing> serving) {
  while (!serving->stopping) {
    boost::system::error_code ec;
    tcp::socket socket(self.io_);
    co_await self.acceptor_.async_accept(socket, asio::redirect_error(asio::use_awaitable, ec));
    if (serving->stopping) co_return;
    if (ec) {
      // Out of descriptors: the next try would fail as fast.
      asio::steady_timer pause(self.io_, std::chrono::milliseconds(100));
      co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, ec));
      continue;
    }
    if (serving->open >= kEndpointConnectionsMax) {
      if (serving->refusing >= kEndpointRefusalsMax) continue;  // closes it
      asio::co_spawn(self.io_, refuse(std::move(socket), serving), asio::detached);
      continue;
    }
    auto detached = DetachedSocket::detach(std::move(socket));
    if (!detached.ok()) continue;
    LaneThread& lane = *self.lanes_[self.next_++ % self.lanes_.size()];
    lane.post([&lane, serving, held = std::make_shared<DetachedSocket>(*std::move(detached))] {
      auto attached = std::move(*held).attach(lane.io().get_executor());
      if (!attached.ok()) return;
      asio::co_spawn(lane.io(), serveHttp(*std::move(attached), serving), asio::detached);
    });
  }
}

}  // namespace roost
