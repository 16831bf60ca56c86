#include "protocol/kj_loop.h"

#include <gtest/gtest.h>
#include <kj/vector.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <memory>

#include "protocol/limits.h"

namespace roost {
namespace {

namespace asio = boost::asio;

TEST(KjLoop, runsMoreEventsThanOnePostHasTurns) {
  asio::io_context io;
  KjLoop loop(io);
  const int many = 3 * kKjTurnsPerPost + 1;
  int ran = 0;
  kj::Vector<kj::Promise<void>> promises;
  for (int i = 0; i < many; ++i) {
    promises.add(kj::evalLater([&] { ++ran; }).eagerlyEvaluate(nullptr));
  }
  io.run();
  EXPECT_EQ(ran, many);
}

TEST(KjLoop, letsAsioRunBetweenTurns) {
  asio::io_context io;
  KjLoop loop(io);
  int ran = 0;
  kj::Vector<kj::Promise<void>> promises;
  for (int i = 0; i < 3 * kKjTurnsPerPost; ++i) {
    promises.add(kj::evalLater([&] { ++ran; }).eagerlyEvaluate(nullptr));
  }
  int ranBefore = -1;
  asio::post(io, [&] { ranBefore = ran; });
  io.run();
  EXPECT_GT(ranBefore, 0);
  EXPECT_LE(ranBefore, kKjTurnsPerPost);
}

TEST(KjLoop, runsNothingInsideTheCallThatFulfils) {
  asio::io_context io;
  KjLoop loop(io);
  bool ran = false;
  auto paf = kj::newPromiseAndFulfiller<void>();
  auto waiting = paf.promise.then([&] { ran = true; }).eagerlyEvaluate(nullptr);
  asio::post(io, [&] {
    paf.fulfiller->fulfill();
    EXPECT_FALSE(ran);
  });
  io.run();
  EXPECT_TRUE(ran);
}

TEST(KjLoop, mayEndWhileItsJobIsPosted) {
  asio::io_context io;
  {
    KjLoop loop(io);
    auto soon = kj::evalLater([] {}).eagerlyEvaluate(nullptr);
  }
  EXPECT_EQ(io.run(), 1u);  // the posted job finds the loop gone
}

TEST(KjLoop, aSecondLoopOfTheThreadMayFollowTheFirst) {
  asio::io_context io;
  for (int i = 0; i < 2; ++i) {
    KjLoop loop(io);
    EXPECT_EQ(&KjLoop::current(), &loop);
    EXPECT_EQ(kj::evalLater([] { return 7; }).wait(loop.waitScope()), 7);
  }
}

}  // namespace
}  // namespace roost
