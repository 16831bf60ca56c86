#include "protocol/preface.h"

#include <gtest/gtest.h>

#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "tests/protocol/loop.h"
#include "tests/protocol/transports.h"

namespace roost {
namespace {

namespace asio = boost::asio;

TEST(Preface, tellsWhichKindOfLinkItIs) {
  Loop loop;
  for (LinkKind kind : {LinkKind::kControl, LinkKind::kBulk}) {
    SocketPair sockets = tcpPair(loop.io);
    ASSERT_TRUE(loop.run(sendPreface(sockets.dialled, kind)).ok());
    const auto read = loop.run(readPreface(sockets.accepted));
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_EQ(*read, kind);
  }
}

TEST(Preface, readsNothingAfterItsEightBytes) {
  Loop loop;
  SocketPair sockets = tcpPair(loop.io);
  asio::write(sockets.dialled, asio::buffer(std::string("ROOSTb1\nafter")));
  ASSERT_TRUE(loop.run(readPreface(sockets.accepted)).ok());
  std::array<char, 5> rest{};
  asio::read(sockets.accepted, asio::buffer(rest));
  EXPECT_EQ(std::string(rest.data(), rest.size()), "after");
}

TEST(Preface, anythingElseClosesTheConnection) {
  for (const char* other : {"GET / HT", "ROOSTc2\n", "roostc1\n", "ROOSTb1\r",
                            "\x16\x03\x01\x02"
                            "gggg"}) {
    Loop loop;
    SocketPair sockets = tcpPair(loop.io);
    asio::write(sockets.dialled, asio::buffer(other, 8));
    const auto read = loop.run(readPreface(sockets.accepted));
    EXPECT_EQ(read.status().code(), absl::StatusCode::kInvalidArgument) << other;
    EXPECT_FALSE(sockets.accepted.is_open());
  }
}

TEST(Preface, aSilentOrSlowPeerIsGivenUp) {
  Loop loop;
  SocketPair sockets = tcpPair(loop.io);
  asio::write(sockets.dialled, asio::buffer(std::string("ROOSTb1")));
  const auto read = loop.run(readPreface(sockets.accepted, absl::Milliseconds(20)));
  EXPECT_EQ(read.status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_FALSE(sockets.accepted.is_open());
}

TEST(Preface, aPeerThatHangsUpIsUnavailable) {
  Loop loop;
  SocketPair sockets = tcpPair(loop.io);
  sockets.dialled.close();
  EXPECT_EQ(loop.run(readPreface(sockets.accepted)).status().code(),
            absl::StatusCode::kUnavailable);
}

TEST(DetachedSocket, isUsedByAnotherThread) {
  Loop loop;
  SocketPair sockets = tcpPair(loop.io);
  auto detached = DetachedSocket::detach(std::move(sockets.accepted));
  ASSERT_TRUE(detached.ok()) << detached.status();
  std::thread lane([socket = *std::move(detached)]() mutable {
    asio::io_context io;
    auto attached = std::move(socket).attach(io.get_executor());
    ASSERT_TRUE(attached.ok()) << attached.status();
    asio::write(*attached, asio::buffer("hello", 5));
  });
  std::array<char, 5> got{};
  asio::read(sockets.dialled, asio::buffer(got));
  lane.join();
  EXPECT_EQ(std::string(got.data(), got.size()), "hello");
}

TEST(DetachedSocket, closesWhatNobodyAttaches) {
  Loop loop;
  SocketPair sockets = tcpPair(loop.io);
  { auto detached = DetachedSocket::detach(std::move(sockets.accepted)); }
  std::array<char, 1> got{};
  boost::system::error_code error;
  asio::read(sockets.dialled, asio::buffer(got), error);
  EXPECT_EQ(error, asio::error::eof);
}

}  // namespace
}  // namespace roost
