#include "tests/protocol/transports.h"

#include <boost/asio/detached.hpp>
#include <boost/asio/local/connect_pair.hpp>
#include <boost/asio/socket_base.hpp>
#include <memory>
#include <optional>
#include <utility>

#include "protocol/kj_stream.h"

namespace roost {

namespace asio = boost::asio;
using asio::ip::tcp;

const char* transportName(Transport transport) {
  switch (transport) {
    case Transport::kTcp:
      return "Tcp";
    case Transport::kUnix:
      return "Unix";
    case Transport::kTls:
      return "Tls";
  }
  return "";
}

SocketPair tcpPair(asio::io_context& io) {
  tcp::acceptor acceptor(io, {asio::ip::make_address("127.0.0.1"), 0});
  tcp::socket dialled(io);
  dialled.connect(acceptor.local_endpoint());
  tcp::socket accepted = acceptor.accept();
  return {std::move(dialled), std::move(accepted)};
}

namespace {

asio::awaitable<void> acceptInto(tcp::socket socket, const TlsContext& context,
                                 std::optional<absl::StatusOr<TlsStream>>& result) {
  result.emplace(co_await tlsAccept(std::move(socket), context));
}

}  // namespace

TlsPair tlsPair(Loop& loop) {
  const TlsContext context(ClusterKeys{ClusterKey::generate(), std::nullopt});
  SocketPair sockets = tcpPair(loop.io);
  std::optional<absl::StatusOr<TlsStream>> accepted;
  asio::co_spawn(loop.io, acceptInto(std::move(sockets.accepted), context, accepted),
                 asio::detached);
  absl::StatusOr<TlsStream> dialled = loop.run(tlsConnect(std::move(sockets.dialled), context));
  loop.runUntil([&] { return accepted.has_value(); });
  return {*std::move(dialled), **std::move(accepted)};
}

namespace {

// Fixed small buffers: the kernel would let them grow to many MiB, by its own lights. It doubles
// what it is asked for.
template <typename Socket>
void holdLittle(Socket& socket) {
  socket.set_option(asio::socket_base::send_buffer_size(kHeldBytesMax / 8));
  socket.set_option(asio::socket_base::receive_buffer_size(kHeldBytesMax / 8));
}

std::unique_ptr<Alarm> alarmOf(HandClock* clock) {
  return clock != nullptr ? clock->alarm() : nullptr;
}

}  // namespace

StreamPair streamPair(Loop& loop, Transport transport, HandClock* clock) {
  switch (transport) {
    case Transport::kTcp: {
      SocketPair pair = tcpPair(loop.io);
      holdLittle(pair.dialled);
      holdLittle(pair.accepted);
      return {makeKjStream(std::move(pair.dialled), alarmOf(clock)),
              makeKjStream(std::move(pair.accepted), alarmOf(clock))};
    }
    case Transport::kUnix: {
      asio::local::stream_protocol::socket one(loop.io);
      asio::local::stream_protocol::socket other(loop.io);
      asio::local::connect_pair(one, other);
      holdLittle(one);
      holdLittle(other);
      return {makeKjStream(std::move(one), alarmOf(clock)),
              makeKjStream(std::move(other), alarmOf(clock))};
    }
    case Transport::kTls: {
      TlsPair pair = tlsPair(loop);
      holdLittle(pair.dialled.socket);
      holdLittle(pair.accepted.socket);
      return {makeKjStream(std::move(pair.dialled), alarmOf(clock)),
              makeKjStream(std::move(pair.accepted), alarmOf(clock))};
    }
  }
  return {};
}

}  // namespace roost
