#include "protocol/kj_stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <kj/vector.h>

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/asio/write.hpp>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "protocol/kj_await.h"
#include "protocol/limits.h"
#include "tests/protocol/hand_clock.h"
#include "tests/protocol/loop.h"
#include "tests/protocol/transports.h"

namespace roost {
namespace {

using Bytes = std::vector<kj::byte>;

const absl::Duration kAlmostTimedOut = kStalledWriteTimeout - absl::Milliseconds(1);

// Bytes that show when they are out of place.
Bytes patterned(size_t size) {
  Bytes bytes(size);
  uint32_t state = 1;
  for (kj::byte& byte : bytes) {
    state = state * 1664525 + 1013904223;
    byte = static_cast<kj::byte>(state >> 24);
  }
  return bytes;
}

class KjStreamOver : public ::testing::TestWithParam<Transport> {
 protected:
  absl::StatusOr<size_t> read(kj::AsyncIoStream& stream, Bytes& into, size_t least) {
    return loop_.run(awaitPromise(stream.tryRead(into.data(), least, into.size())));
  }

  // Fills the connection until a write has to wait; that write's promise.
  kj::Promise<void> blockedWrite(kj::AsyncIoStream& stream, const Bytes& bytes) {
    for (;;) {
      kj::Promise<void> write = stream.write(bytes.data(), bytes.size());
      if (!write.poll(loop_.kj.waitScope())) return write;
      write.wait(loop_.kj.waitScope());
    }
  }

  HandClock clock_;
  Loop loop_;
};

TEST_P(KjStreamOver, carriesMebibytesInBothDirectionsAtOnce) {
  StreamPair pair = streamPair(loop_, GetParam());
  const Bytes sent = patterned(5'000'001);
  Bytes there(sent.size());
  Bytes back(sent.size());
  kj::Vector<kj::Promise<void>> all;
  all.add(pair.dialled->write(sent.data(), sent.size()));
  all.add(pair.accepted->write(sent.data(), sent.size()));
  all.add(pair.accepted->tryRead(there.data(), there.size(), there.size()).ignoreResult());
  all.add(pair.dialled->tryRead(back.data(), back.size(), back.size()).ignoreResult());
  EXPECT_TRUE(loop_.run(awaitPromise(kj::joinPromises(all.releaseAsArray()))).ok());
  EXPECT_TRUE(there == sent);
  EXPECT_TRUE(back == sent);
}

TEST_P(KjStreamOver, keepsTheOrderOfManyPiecesOfEverySize) {
  StreamPair pair = streamPair(loop_, GetParam());
  const Bytes sent = patterned(3'000'000);
  kj::Vector<kj::ArrayPtr<const kj::byte>> pieces;
  size_t offset = 0;
  for (size_t size = 0; offset < sent.size(); size = (size * 3 + 1) % 70'001) {
    const size_t taken = std::min(size, sent.size() - offset);
    pieces.add(kj::arrayPtr(sent.data() + offset, taken));  // empty ones too
    offset += taken;
  }
  auto writing = pair.dialled->write(pieces.asPtr()).eagerlyEvaluate(nullptr);
  Bytes got(sent.size());
  EXPECT_EQ(read(*pair.accepted, got, got.size()).value(), got.size());
  EXPECT_TRUE(loop_.run(awaitPromise(kj::mv(writing))).ok());
  EXPECT_TRUE(got == sent);
}

TEST_P(KjStreamOver, smallReadsOfOneArrivalGiveAllOfIt) {
  StreamPair pair = streamPair(loop_, GetParam());
  const Bytes sent = patterned(50'000);
  auto writing = pair.dialled->write(sent.data(), sent.size()).eagerlyEvaluate(nullptr);
  Bytes got;
  while (got.size() < sent.size()) {
    Bytes some(std::min<size_t>(1 + got.size() % 97, sent.size() - got.size()));
    ASSERT_EQ(read(*pair.accepted, some, some.size()).value(), some.size());
    got.insert(got.end(), some.begin(), some.end());
  }
  EXPECT_TRUE(got == sent);
}

TEST_P(KjStreamOver, aReadEndsWithTheLeastThatWasAskedFor) {
  StreamPair pair = streamPair(loop_, GetParam());
  Bytes buffer(100);
  auto reading = pair.accepted->tryRead(buffer.data(), 3, buffer.size());
  pair.dialled->write("ab", 2).wait(loop_.kj.waitScope());
  loop_.settle();
  EXPECT_FALSE(reading.poll(loop_.kj.waitScope()));
  pair.dialled->write("cd", 2).wait(loop_.kj.waitScope());
  EXPECT_EQ(loop_.run(awaitPromise(kj::mv(reading))).value(), 4u);
  EXPECT_EQ(std::string(buffer.begin(), buffer.begin() + 4), "abcd");
}

TEST_P(KjStreamOver, theEndOfWritingArrivesAfterTheBytesAndTheOtherWayStaysOpen) {
  StreamPair pair = streamPair(loop_, GetParam());
  pair.dialled->write("abc", 3).wait(loop_.kj.waitScope());
  pair.dialled->shutdownWrite();
  Bytes buffer(10);
  EXPECT_EQ(read(*pair.accepted, buffer, 10).value(), 3u);
  EXPECT_EQ(read(*pair.accepted, buffer, 1).value(), 0u);
  pair.accepted->write("de", 2).wait(loop_.kj.waitScope());
  EXPECT_EQ(read(*pair.dialled, buffer, 2).value(), 2u);
}

TEST_P(KjStreamOver, mayBeDestroyedWithAReadPending) {
  StreamPair pair = streamPair(loop_, GetParam());
  auto buffer = std::make_unique<Bytes>(4096);
  auto reading = pair.accepted->tryRead(buffer->data(), 1, buffer->size());
  loop_.settle();
  pair.accepted = nullptr;
  buffer.reset();
  loop_.settle();
  EXPECT_EQ(loop_.run(awaitPromise(kj::mv(reading))).status().code(),
            absl::StatusCode::kUnavailable);
}

TEST_P(KjStreamOver, aReadThatIsDroppedAsItsBytesArriveTouchesNothing) {
  StreamPair pair = streamPair(loop_, GetParam());
  auto buffer = std::make_unique<Bytes>(4096);
  {
    auto reading = pair.accepted->tryRead(buffer->data(), 4096, buffer->size());
    loop_.settle();
    pair.dialled->write("abc", 3).wait(loop_.kj.waitScope());
  }
  buffer.reset();
  loop_.settle();
  Bytes other(1);
  EXPECT_EQ(read(*pair.accepted, other, 1).status().code(), absl::StatusCode::kUnavailable);
}

TEST_P(KjStreamOver, aDroppedReadClosesTheConnection) {
  StreamPair pair = streamPair(loop_, GetParam());
  Bytes buffer(10);
  { auto dropped = pair.accepted->tryRead(buffer.data(), 1, 10); }
  const auto other = read(*pair.dialled, buffer, 1);
  EXPECT_TRUE(!other.ok() || *other == 0) << *other;
  EXPECT_THROW(pair.accepted->write("x", 1).wait(loop_.kj.waitScope()), kj::Exception);
}

TEST_P(KjStreamOver, aReadThatWasDoneMayBeDropped) {
  StreamPair pair = streamPair(loop_, GetParam());
  Bytes buffer(10);
  {
    auto reading = pair.accepted->tryRead(buffer.data(), 1, 10);
    pair.dialled->write("a", 1).wait(loop_.kj.waitScope());
    loop_.runUntil([&] { return reading.poll(loop_.kj.waitScope()); });
  }
  pair.dialled->write("b", 1).wait(loop_.kj.waitScope());
  EXPECT_EQ(read(*pair.accepted, buffer, 1).value(), 1u);
}

TEST_P(KjStreamOver, aDroppedWriteClosesTheConnectionAndTouchesItsBytesNoMore) {
  StreamPair pair = streamPair(loop_, GetParam());
  auto bytes = std::make_unique<Bytes>(patterned(4 << 20));
  { auto dropped = blockedWrite(*pair.dialled, *bytes); }
  bytes.reset();
  loop_.settle();
  // The peer reads what had been sent, then learns of the end.
  Bytes buffer(1 << 20);
  absl::StatusOr<size_t> got = 1;
  while (got.ok() && *got > 0) got = read(*pair.accepted, buffer, 1);
  EXPECT_THROW(pair.dialled->write("x", 1).wait(loop_.kj.waitScope()), kj::Exception);
}

TEST_P(KjStreamOver, aWriteThatIsDroppedAsItBecomesPossibleTouchesNothing) {
  StreamPair pair = streamPair(loop_, GetParam());
  auto bytes = std::make_unique<Bytes>(patterned(4 << 20));
  auto write = kj::heap(blockedWrite(*pair.dialled, *bytes));
  // Make room, so that the wait for it is over but its handler has not run yet.
  Bytes buffer(1 << 20);
  ASSERT_TRUE(pair.accepted->tryRead(buffer.data(), 1, buffer.size()).poll(loop_.kj.waitScope()));
  write = nullptr;
  bytes.reset();
  loop_.settle();
}

TEST_P(KjStreamOver, aPeerThatReadsNothingForTheTimeOutLosesTheLink) {
  StreamPair pair = streamPair(loop_, GetParam(), &clock_);
  const Bytes bytes = patterned(1 << 20);
  auto write = blockedWrite(*pair.dialled, bytes);
  clock_.advance(kStalledWriteTimeout);
  const absl::Status status = loop_.run(awaitPromise(kj::mv(write)));
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), ::testing::HasSubstr("has read nothing for 30s"));
}

TEST_P(KjStreamOver, aPeerThatReadsSlowlyIsLeftAlone) {
  StreamPair pair = streamPair(loop_, GetParam(), &clock_);
  const Bytes bytes = patterned(8 * kHeldBytesMax);
  auto write = pair.dialled->write(bytes.data(), bytes.size()).eagerlyEvaluate(nullptr);
  Bytes got;
  Bytes part(kHeldBytesMax);
  while (got.size() < bytes.size()) {
    // Several time-outs in all. Within each, more is read than was on its way, so that the writer
    // has got on as well.
    clock_.advance(kAlmostTimedOut);
    ASSERT_EQ(read(*pair.accepted, part, part.size()).value(), part.size());
    got.insert(got.end(), part.begin(), part.end());
  }
  EXPECT_TRUE(loop_.run(awaitPromise(kj::mv(write))).ok());
  EXPECT_TRUE(got == bytes);
}

TEST_P(KjStreamOver, aPeerThatHasReadAndReadsNoMoreLosesTheLink) {
  StreamPair pair = streamPair(loop_, GetParam(), &clock_);
  const Bytes bytes = patterned(4 * kHeldBytesMax);
  auto write = pair.dialled->write(bytes.data(), bytes.size()).eagerlyEvaluate(nullptr);
  Bytes part(kHeldBytesMax);
  clock_.advance(kAlmostTimedOut);
  ASSERT_EQ(read(*pair.accepted, part, part.size()).value(), part.size());
  clock_.advance(kStalledWriteTimeout);
  EXPECT_EQ(loop_.run(awaitPromise(kj::mv(write))).code(), absl::StatusCode::kUnavailable);
}

TEST_P(KjStreamOver, anIdleLinkIsLeftAlone) {
  StreamPair pair = streamPair(loop_, GetParam(), &clock_);
  const Bytes bytes = patterned(kHeldBytesMax);
  Bytes got(bytes.size());
  // A write that has to wait wakes the watchdog.
  auto write = pair.dialled->write(bytes.data(), bytes.size());
  ASSERT_EQ(read(*pair.accepted, got, got.size()).value(), got.size());
  ASSERT_TRUE(loop_.run(awaitPromise(kj::mv(write))).ok());
  clock_.advance(10 * kStalledWriteTimeout);
  EXPECT_TRUE(loop_.run(awaitPromise(pair.dialled->write("x", 1))).ok());
}

TEST_P(KjStreamOver, aPeerThatDiesEndsReadsAndWrites) {
  StreamPair pair = streamPair(loop_, GetParam());
  const Bytes bytes = patterned(1 << 20);
  auto write = blockedWrite(*pair.dialled, bytes);
  pair.accepted = nullptr;
  EXPECT_EQ(loop_.run(awaitPromise(kj::mv(write))).code(), absl::StatusCode::kUnavailable);
}

TEST_P(KjStreamOver, theStreamMayGoBeforeTheLoopHasRunItsHandlers) {
  auto pair = std::make_unique<StreamPair>(streamPair(loop_, GetParam()));
  Bytes buffer(10);
  const Bytes bytes = patterned(1 << 20);
  auto reading = pair->accepted->tryRead(buffer.data(), 1, 10).eagerlyEvaluate(nullptr);
  auto writing = blockedWrite(*pair->dialled, bytes);
  pair.reset();
  // Neither promise nor handler has seen the end when everything goes.
}

INSTANTIATE_TEST_SUITE_P(Transports, KjStreamOver,
                         ::testing::Values(Transport::kTcp, Transport::kUnix, Transport::kTls),
                         [](const auto& of) { return transportName(of.param); });

// A connection that is cut looks like one that ended, unless TLS says farewell.
TEST(KjStreamTls, aConnectionThatIsCutOffIsNotAnEnd) {
  Loop loop;
  TlsPair pair = tlsPair(loop);
  pair.dialled.socket.close();
  auto accepted = makeKjStream(std::move(pair.accepted));
  Bytes buffer(10);
  EXPECT_EQ(loop.run(awaitPromise(accepted->tryRead(buffer.data(), 1, 10))).status().code(),
            absl::StatusCode::kUnavailable);
}

TEST(KjStreamTls, bytesThatAreNotTlsEndTheLink) {
  Loop loop;
  TlsPair pair = tlsPair(loop);
  const std::string garbage(1000, 'x');
  boost::asio::write(pair.dialled.socket, boost::asio::buffer(garbage));
  auto accepted = makeKjStream(std::move(pair.accepted));
  Bytes buffer(10);
  EXPECT_EQ(loop.run(awaitPromise(accepted->tryRead(buffer.data(), 1, 10))).status().code(),
            absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace roost
