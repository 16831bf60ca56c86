#include "protocol/rpc_link.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <kj/vector.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/write.hpp>
#include <memory>
#include <string>
#include <vector>

#include "protocol/kj_await.h"
#include "protocol/kj_stream.h"
#include "protocol/limits.h"
#include "tests/protocol/echo_server.h"
#include "tests/protocol/hand_clock.h"
#include "tests/protocol/loop.h"
#include "tests/protocol/transports.h"

namespace roost {
namespace {

using echo::Echo;
using ::testing::HasSubstr;

constexpr uint32_t kMiB = 1 << 20;

// Two links over one transport, each offering an Echo.
struct Links {
  Links(Loop& loop, Transport transport, RpcLink::Limits limits = RpcLink::Limits())
      : streams(streamPair(loop, transport)),
        dialled(kj::mv(streams.dialled), LinkSide::kDialled, Echo::Client(kj::heap<EchoServer>()),
                limits),
        accepted(kj::mv(streams.accepted), LinkSide::kAccepted,
                 Echo::Client(kj::heap<EchoServer>()), limits) {}
  StreamPair streams;
  RpcLink dialled;
  RpcLink accepted;
};

kj::Promise<uint64_t> readOnce(Echo::Client& peer, uint32_t size) {
  auto request = peer.readRequest();
  request.setSize(size);
  return request.send().then([](auto&& answer) -> uint64_t {
    const auto bytes = answer.getBytes();
    return bytes.size() > 0 && bytes[0] == 0x5a && bytes[bytes.size() - 1] == 0x5a ? bytes.size()
                                                                                   : 0;
  });
}

// A peer that sends and never reads.
class DeafStream final : public kj::AsyncIoStream {
 public:
  explicit DeafStream(kj::Own<kj::AsyncIoStream> stream) : stream_(kj::mv(stream)) {}
  kj::Promise<size_t> tryRead(void*, size_t, size_t) override { return kj::NEVER_DONE; }
  kj::Promise<void> write(const void* bytes, size_t size) override {
    return stream_->write(bytes, size);
  }
  kj::Promise<void> write(kj::ArrayPtr<const kj::ArrayPtr<const kj::byte>> pieces) override {
    return stream_->write(pieces);
  }
  kj::Promise<void> whenWriteDisconnected() override { return kj::NEVER_DONE; }
  void shutdownWrite() override { stream_->shutdownWrite(); }
  void abortRead() override { stream_->abortRead(); }

 private:
  kj::Own<kj::AsyncIoStream> stream_;
};

class RpcLinkOver : public ::testing::TestWithParam<Transport> {
 protected:
  HandClock clock_;
  Loop loop_;
};

TEST_P(RpcLinkOver, answersCallsInBothDirections) {
  Links links(loop_, GetParam());
  for (RpcLink* link : {&links.dialled, &links.accepted}) {
    auto request = link->bootstrap().castAs<Echo>().pingRequest();
    request.setNumber(42);
    const auto answer = loop_.run(awaitPromise(request.send()));
    ASSERT_TRUE(answer.ok()) << answer.status();
    EXPECT_EQ(answer->getNumber(), 42u);
  }
}

TEST_P(RpcLinkOver, carriesPipelinedMebibytesInBothDirectionsAtOnce) {
  Links links(loop_, GetParam());
  Echo::Client there = links.dialled.bootstrap().castAs<Echo>();
  Echo::Client back = links.accepted.bootstrap().castAs<Echo>();
  kj::Vector<kj::Promise<uint64_t>> reads;
  for (int i = 0; i < 12; ++i) {
    reads.add(readOnce(there, kMiB));
    reads.add(readOnce(back, kMiB));
  }
  const auto sizes = loop_.run(awaitPromise(kj::joinPromises(reads.releaseAsArray())));
  ASSERT_TRUE(sizes.ok()) << sizes.status();
  for (uint64_t size : *sizes) EXPECT_EQ(size, kMiB);
}

TEST_P(RpcLinkOver, carriesLargeRequestsAndCapabilities) {
  Links links(loop_, GetParam());
  Echo::Client there = links.dialled.bootstrap().castAs<Echo>();
  auto write = there.writeRequest();
  write.initBytes(3 * kMiB + 1);
  const auto written = loop_.run(awaitPromise(write.send()));
  ASSERT_TRUE(written.ok()) << written.status();
  EXPECT_EQ(written->getSize(), 3 * kMiB + 1);

  auto readBack = there.readBackRequest();
  readBack.setOther(kj::heap<EchoServer>());
  readBack.setSize(kMiB);
  const auto read = loop_.run(awaitPromise(readBack.send()));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->getSize(), kMiB);
}

TEST_P(RpcLinkOver, aPeersExceptionIsAStatusWithoutControlBytes) {
  Links links(loop_, GetParam());
  auto request = links.dialled.bootstrap().castAs<Echo>().failRequest();
  request.setText("no\n\x1b[31m such thing");
  const auto answer = loop_.run(awaitPromise(request.send()));
  EXPECT_EQ(answer.status().code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(answer.status().message()), HasSubstr("no[31m such thing"));
}

TEST_P(RpcLinkOver, closingEndsPendingCallsOnBothSides) {
  Links links(loop_, GetParam());
  auto pending = links.accepted.bootstrap().castAs<Echo>().neverRequest().send();
  links.dialled.close();
  EXPECT_EQ(
      loop_.run(awaitPromise<capnp::Response<Echo::NeverResults>>(kj::mv(pending))).status().code(),
      absl::StatusCode::kUnavailable);
  EXPECT_TRUE(loop_.run(awaitPromise(links.dialled.onDisconnect())).ok());
  EXPECT_TRUE(loop_.run(awaitPromise(links.accepted.onDisconnect())).ok());
}

TEST_P(RpcLinkOver, aLinkMayBeDestroyedWithCallsUnderWayAndCapabilitiesLeft) {
  auto links = std::make_unique<Links>(loop_, GetParam());
  Echo::Client there = links->dialled.bootstrap().castAs<Echo>();
  auto never = there.neverRequest().send().ignoreResult().eagerlyEvaluate(nullptr);
  auto big = readOnce(there, 8 * kMiB).ignoreResult().eagerlyEvaluate(nullptr);
  loop_.settle();
  links.reset();
  loop_.settle();
  EXPECT_EQ(loop_.run(awaitPromise(kj::mv(never))).code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(loop_.run(awaitPromise(there.pingRequest().send().ignoreResult())).code(),
            absl::StatusCode::kUnavailable);
}

TEST_P(RpcLinkOver, whoWaitsForTheEndOfADestroyedLinkHearsOfIt) {
  auto links = std::make_unique<Links>(loop_, GetParam());
  auto ended = links->dialled.onDisconnect().eagerlyEvaluate(nullptr);
  loop_.settle();
  links.reset();
  loop_.settle();
  (void)loop_.run(awaitPromise(kj::mv(ended)));  // ok or an error, but it comes
}

TEST_P(RpcLinkOver, resultsThatNobodyReadsAreCountedAndEndTheLink) {
  StreamPair streams = streamPair(loop_, GetParam(), &clock_);
  RpcLink serving(kj::mv(streams.accepted), LinkSide::kAccepted,
                  Echo::Client(kj::heap<EchoServer>()));
  RpcLink asking(kj::heap<DeafStream>(kj::mv(streams.dialled)), LinkSide::kDialled, nullptr);
  Echo::Client there = asking.bootstrap().castAs<Echo>();
  kj::Vector<kj::Promise<void>> reads;
  for (int i = 0; i < 16; ++i) {
    reads.add(readOnce(there, kMiB).ignoreResult().eagerlyEvaluate(nullptr));
  }

  loop_.runUntil([&] { return serving.unsentBytes() > 4 * kMiB; });

  kj::Promise<void> ended = serving.onDisconnect();
  loop_.runUntil([&] {
    clock_.advance(kStalledWriteTimeout);
    return ended.poll(loop_.kj.waitScope());
  });
  EXPECT_TRUE(loop_.run(awaitPromise(kj::mv(ended))).ok());
}

INSTANTIATE_TEST_SUITE_P(Transports, RpcLinkOver,
                         ::testing::Values(Transport::kTcp, Transport::kUnix, Transport::kTls),
                         [](const auto& of) { return transportName(of.param); });

// --- What a peer may send that is not Cap'n Proto. ---

class RpcLinkAgainst : public ::testing::Test {
 protected:
  // The link's own side accepts; the peer is a bare socket.
  RpcLinkAgainst()
      : sockets_(tcpPair(loop_.io)),
        link_(makeKjStream(std::move(sockets_.accepted)), LinkSide::kAccepted,
              Echo::Client(kj::heap<EchoServer>()),
              {.messageBytesMax = kMiB, .unansweredCallBytesMax = 2 * kMiB}) {}

  void send(const std::vector<uint32_t>& words) {
    boost::asio::write(sockets_.dialled, boost::asio::buffer(words));
  }
  bool ended(absl::Duration within = absl::Seconds(30)) {
    return loop_.run(withTimeout(link_.onDisconnect(), within)).ok();
  }

  Loop loop_;
  SocketPair sockets_;
  RpcLink link_;
};

constexpr uint32_t kLimitWords = kMiB / 8;

TEST_F(RpcLinkAgainst, aMessageOverTheLimitEndsTheLinkBeforeItsBodyComes) {
  send({0, kLimitWords + 1});
  EXPECT_TRUE(ended());
}

TEST_F(RpcLinkAgainst, segmentsThatAddUpToMoreThanTheLimitEndTheLink) {
  send({1, kLimitWords, 1, 0});
  EXPECT_TRUE(ended());
}

TEST_F(RpcLinkAgainst, theLargestSizesEndTheLink) {
  send({0, 0xffffffff});
  EXPECT_TRUE(ended());
}

TEST_F(RpcLinkAgainst, moreSegmentsThanAnyMessageHasEndTheLink) {
  send({0xfffffffe, 1});
  EXPECT_TRUE(ended());
}

TEST_F(RpcLinkAgainst, zeroSegmentsEndTheLink) {
  send({0xffffffff, 0});
  EXPECT_TRUE(ended());
}

TEST_F(RpcLinkAgainst, anHonestSizeIsWaitedForAndItsHalfIsNotAMessage) {
  send({0, kLimitWords, 0, 0});
  EXPECT_FALSE(ended(absl::Milliseconds(20)));
  sockets_.dialled.close();
  EXPECT_TRUE(ended());
}

TEST_F(RpcLinkAgainst, anotherProtocolEndsTheLink) {
  boost::asio::write(sockets_.dialled,
                     boost::asio::buffer(std::string("GET / HTTP/1.1\r\nHost: node\r\n\r\n")));
  EXPECT_TRUE(ended());
}

TEST_F(RpcLinkAgainst, pointersThatLeaveTheMessageEndTheLink) {
  // One segment of one word: a struct pointer to words that are not there.
  send({0, 1, 0x7ffffffc, 0x00010001});
  EXPECT_TRUE(ended());
}

TEST_F(RpcLinkAgainst, theEndOfTheStreamEndsTheLink) {
  sockets_.dialled.close();
  EXPECT_TRUE(ended());
}

TEST_F(RpcLinkAgainst, randomBytesEndTheLinkOrAreWaitedFor) {
  uint32_t state = 7;
  for (int round = 0; round < 200; ++round) {
    SocketPair sockets = tcpPair(loop_.io);
    RpcLink link(makeKjStream(std::move(sockets.accepted)), LinkSide::kAccepted,
                 Echo::Client(kj::heap<EchoServer>()), {.messageBytesMax = kMiB});
    std::vector<uint32_t> words = {0, 12};  // the frame of a plausible message, then noise
    for (int i = 0; i < 24; ++i) {
      state = state * 1664525 + 1013904223;
      words.push_back(round % 2 == 0 ? state : state >> 26);
    }
    boost::asio::write(sockets.dialled, boost::asio::buffer(words));
    sockets.dialled.close();
    EXPECT_TRUE(loop_.run(withTimeout(link.onDisconnect(), absl::Seconds(30))).ok());
  }
}

TEST(RpcLink, offeringNothingIsAnErrorOnlyForWhoAsks) {
  Loop loop;
  StreamPair streams = streamPair(loop, Transport::kTcp);
  RpcLink dialled(kj::mv(streams.dialled), LinkSide::kDialled, nullptr);
  RpcLink accepted(kj::mv(streams.accepted), LinkSide::kAccepted,
                   Echo::Client(kj::heap<EchoServer>()));
  EXPECT_FALSE(
      loop.run(
              awaitPromise(accepted.bootstrap().castAs<Echo>().pingRequest().send().ignoreResult()))
          .ok());
  EXPECT_TRUE(
      loop.run(awaitPromise(dialled.bootstrap().castAs<Echo>().pingRequest().send().ignoreResult()))
          .ok());
}

}  // namespace
}  // namespace roost
