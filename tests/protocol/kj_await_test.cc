#include "protocol/kj_await.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/detached.hpp>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

#include "protocol/limits.h"
#include "protocol/signal.h"
#include "tests/protocol/loop.h"

namespace roost {
namespace {

namespace asio = boost::asio;
using ::testing::HasSubstr;

asio::awaitable<absl::StatusOr<int>> yields(int value) {
  co_return value;
}

asio::awaitable<absl::Status> succeeds() {
  co_return absl::OkStatus();
}

asio::awaitable<absl::Status> returnsStatus(absl::Status status) {
  co_return status;
}

asio::awaitable<absl::StatusOr<int>> throwsError() {
  throw std::runtime_error("a bug");
  co_return 0;
}

asio::awaitable<absl::StatusOr<int>> waitsForSignal(Signal& signal) {
  co_await signal.wait();
  co_return 5;
}

asio::awaitable<void> storesResult(asio::awaitable<absl::StatusOr<int>> work,
                                   std::optional<absl::StatusOr<int>>& result) {
  result.emplace(co_await std::move(work));
}

TEST(AwaitPromise, givesTheValue) {
  Loop loop;
  EXPECT_EQ(loop.run(awaitPromise(kj::Promise<int>(3))).value(), 3);
  EXPECT_TRUE(loop.run(awaitPromise(kj::Promise<void>(kj::READY_NOW))).ok());
}

TEST(AwaitPromise, givesMoveOnlyValues) {
  Loop loop;
  auto result = loop.run(awaitPromise(kj::Promise<kj::Own<int>>(kj::heap<int>(4))));
  EXPECT_EQ(**result, 4);
}

TEST(AwaitPromise, turnsEachKindOfExceptionIntoItsCode) {
  Loop loop;
  const std::pair<kj::Exception::Type, absl::StatusCode> kinds[] = {
      {kj::Exception::Type::FAILED, absl::StatusCode::kInternal},
      {kj::Exception::Type::OVERLOADED, absl::StatusCode::kAborted},
      {kj::Exception::Type::DISCONNECTED, absl::StatusCode::kUnavailable},
      {kj::Exception::Type::UNIMPLEMENTED, absl::StatusCode::kUnimplemented}};
  for (const auto& [type, code] : kinds) {
    kj::Promise<void> promise = kj::Exception(type, "", 0, kj::str("why"));
    const absl::Status status = loop.run(awaitPromise(kj::mv(promise)));
    EXPECT_EQ(status.code(), code);
    EXPECT_EQ(status.message(), "why");
  }
}

TEST(AwaitPromise, cleansAndShortensTextsOfPeers) {
  const std::string text = "a\nb\x7f" + std::string(10'000, 'x');
  const absl::Status status =
      statusOf(kj::Exception(kj::Exception::Type::FAILED, "", 0, kj::heapString(text.c_str())));
  EXPECT_THAT(std::string(status.message()), HasSubstr("abxxx"));
  EXPECT_LT(status.message().size(), kErrorTextBytesMax + 4);
}

TEST(AwaitPromise, resumesTheCoroutineByPostOnly) {
  Loop loop;
  auto paf = kj::newPromiseAndFulfiller<int>();
  std::optional<absl::StatusOr<int>> result;
  bool insideCallback = false;
  bool resumedInside = false;
  auto promise = paf.promise.then([&](int value) {
    insideCallback = true;
    return value;
  });
  auto watched = promise.fork();
  asio::co_spawn(loop.io, storesResult(awaitPromise(watched.addBranch()), result), asio::detached);
  auto after = watched.addBranch()
                   .then([&](int) { resumedInside = result.has_value(); })
                   .eagerlyEvaluate(nullptr);
  loop.settle();
  paf.fulfiller->fulfill(1);
  loop.runUntil([&] { return result.has_value(); });
  EXPECT_TRUE(insideCallback);
  EXPECT_FALSE(resumedInside);
}

// What a direct resumption would do: the frame ends, and with it the promise whose code is running.
TEST(AwaitPromise, theFrameMayEndAtOnceAfterTheValue) {
  Loop loop;
  for (int i = 0; i < 100; ++i) {
    auto paf = kj::newPromiseAndFulfiller<int>();
    std::optional<absl::StatusOr<int>> result;
    asio::co_spawn(loop.io, storesResult(awaitPromise(kj::mv(paf.promise)), result),
                   asio::detached);
    loop.settle();
    paf.fulfiller->fulfill(kj::mv(i));
    loop.runUntil([&] { return result.has_value(); });
    EXPECT_EQ(result->value(), i);
  }
}

TEST(AwaitPromise, aFrameThatTheIoContextDestroysAfterTheKjLoopIsHarmless) {
  auto paf = kj::Maybe<kj::Own<kj::PromiseFulfiller<int>>>();
  std::optional<absl::StatusOr<int>> result;
  {
    Loop loop;  // the KjLoop goes first, then the io_context with the frame in it
    auto made = kj::newPromiseAndFulfiller<int>();
    paf = kj::mv(made.fulfiller);
    asio::co_spawn(loop.io, storesResult(awaitPromise(kj::mv(made.promise)), result),
                   asio::detached);
    loop.settle();
    paf = nullptr;
  }
  EXPECT_FALSE(result.has_value());
}

TEST(AwaitPromise, aFrameThatGoesOnAfterTheKjLoopIsToldSo) {
  asio::io_context io;
  std::optional<absl::StatusOr<int>> result;
  {
    KjLoop kj(io);
    kj::Promise<int> never = kj::NEVER_DONE;
    asio::co_spawn(io, storesResult(awaitPromise(kj::mv(never)), result), asio::detached);
    io.poll();
  }
  io.restart();
  io.run();
  ASSERT_TRUE(result.has_value());
  EXPECT_EQ(result->status().code(), absl::StatusCode::kCancelled);
}

TEST(AwaitPromise, anAwaitableThatIsNeverAwaitedIsHarmless) {
  asio::io_context io;
  std::optional<asio::awaitable<absl::StatusOr<int>>> unused;
  {
    KjLoop kj(io);
    kj::Promise<int> never = kj::NEVER_DONE;
    unused.emplace(awaitPromise(kj::mv(never)));
  }
  unused.reset();
}

TEST(WithTimeout, givesTheValueThatComesInTime) {
  Loop loop;
  EXPECT_EQ(loop.run(withTimeout(kj::Promise<int>(3), absl::Seconds(60))).value(), 3);
}

TEST(WithTimeout, dropsThePromiseThatIsLate) {
  Loop loop;
  bool dropped = false;
  kj::Promise<int> never = kj::NEVER_DONE;
  auto late = never.attach(kj::defer([&] { dropped = true; }));
  const auto result = loop.run(withTimeout(kj::mv(late), absl::Milliseconds(5)));
  EXPECT_EQ(result.status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_TRUE(dropped);
}

TEST(ToPromise, givesValuesAndErrors) {
  Loop loop;
  const auto executor = loop.io.get_executor();
  EXPECT_EQ(toPromise<int>(executor, yields(9)).wait(loop.kj.waitScope()), 9);
  toPromise<void>(executor, succeeds()).wait(loop.kj.waitScope());
  try {
    toPromise<void>(executor, returnsStatus(absl::AbortedError("busy"))).wait(loop.kj.waitScope());
    FAIL() << "no exception";
  } catch (const kj::Exception& e) {
    EXPECT_EQ(e.getType(), kj::Exception::Type::OVERLOADED);
    EXPECT_EQ(e.getDescription(), "busy");
  }
}

TEST(ToPromise, aThrownExceptionRejectsThePromise) {
  Loop loop;
  EXPECT_THROW(toPromise<int>(loop.io.get_executor(), throwsError()).wait(loop.kj.waitScope()),
               kj::Exception);
}

TEST(ToPromise, mayBeDroppedWhileTheCoroutineWaits) {
  Loop loop;
  Signal signal(loop.io.get_executor());
  {
    auto dropped = toPromise<int>(loop.io.get_executor(), waitsForSignal(signal));
    loop.settle();
  }
  signal.notify();
  loop.settle();
}

TEST(ToPromise, goesThereAndBack) {
  Loop loop;
  const auto result = loop.run(awaitPromise(toPromise<int>(loop.io.get_executor(), yields(8))));
  EXPECT_EQ(result.value(), 8);
}

asio::awaitable<void> counts(Signal& signal, int& woken, int& refused) {
  ++(co_await signal.wait() ? woken : refused);
}

asio::awaitable<bool> waitsUntil(Signal& signal, absl::Duration timeout) {
  co_return co_await signal.wait(timeout);
}

TEST(Signal, wakesAllWhoWaitAndNobodyLater) {
  Loop loop;
  Signal signal(loop.io.get_executor());
  int woken = 0;
  int refused = 0;
  for (int i = 0; i < 3; ++i) {
    asio::co_spawn(loop.io, counts(signal, woken, refused), asio::detached);
  }
  loop.settle();
  signal.notify();
  EXPECT_EQ(woken, 0);  // not inside notify()
  loop.settle();
  EXPECT_EQ(woken, 3);
  asio::co_spawn(loop.io, counts(signal, woken, refused), asio::detached);
  loop.settle();
  EXPECT_EQ(woken, 3);
}

TEST(Signal, aWaitEndsWithItsTimeOut) {
  Loop loop;
  Signal signal(loop.io.get_executor());
  EXPECT_FALSE(loop.run(waitsUntil(signal, absl::Milliseconds(5))));
}

TEST(Signal, aWaiterThatOutlivesItIsWokenWithFalse) {
  Loop loop;
  int woken = 0;
  int refused = 0;
  {
    Signal signal(loop.io.get_executor());
    asio::co_spawn(loop.io, counts(signal, woken, refused), asio::detached);
    loop.settle();
  }
  loop.settle();
  EXPECT_EQ(woken, 0);
  EXPECT_EQ(refused, 1);
}

TEST(Signal, mayGoBeforeFramesThatTheIoContextDestroys) {
  Loop loop;
  int woken = 0;
  int refused = 0;
  Signal signal(loop.io.get_executor());
  asio::co_spawn(loop.io, counts(signal, woken, refused), asio::detached);
  loop.settle();
}

}  // namespace
}  // namespace roost
