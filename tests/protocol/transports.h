// Connected pairs of kj streams over each transport, both ends on one io_context, for tests.
#ifndef ROOST_TESTS_PROTOCOL_TRANSPORTS_H_
#define ROOST_TESTS_PROTOCOL_TRANSPORTS_H_

#include <kj/async-io.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>

#include "protocol/tls.h"
#include "tests/protocol/hand_clock.h"
#include "tests/protocol/loop.h"

namespace roost {

enum class Transport { kTcp, kUnix, kTls };

const char* transportName(Transport transport);

struct SocketPair {
  boost::asio::ip::tcp::socket dialled;
  boost::asio::ip::tcp::socket accepted;
};
SocketPair tcpPair(boost::asio::io_context& io);

struct TlsPair {
  TlsStream dialled;
  TlsStream accepted;
};
// Both with one new key; the handshake is done.
TlsPair tlsPair(Loop& loop);

// More than one direction of a StreamPair holds between write and read, wherever that is.
inline constexpr size_t kHeldBytesMax = 2 << 20;
struct StreamPair {
  kj::Own<kj::AsyncIoStream> dialled;
  kj::Own<kj::AsyncIoStream> accepted;
};
// By the clock given, the watchdogs of both.
StreamPair streamPair(Loop& loop, Transport transport, HandClock* clock = nullptr);

}  // namespace roost

#endif  // ROOST_TESTS_PROTOCOL_TRANSPORTS_H_
