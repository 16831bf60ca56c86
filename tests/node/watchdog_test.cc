#include "node/watchdog.h"

#include <gtest/gtest.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <future>

namespace roost {
namespace {

namespace asio = boost::asio;

constexpr absl::Duration kPeriod = absl::Seconds(1);

// Ticks on time, `count` of them; how many were said to be too many.
int ticks(LoopWatch& watch, absl::Time& now, int count, bool answered) {
  int stuck = 0;
  for (int i = 0; i < count; ++i) {
    now += kPeriod;
    if (watch.tick(now, answered)) ++stuck;
  }
  return stuck;
}

TEST(LoopWatch, TenTicksWithoutAnAnswerAreTooMany) {
  LoopWatch watch(kPeriod);
  absl::Time now;
  ticks(watch, now, 1, true);
  EXPECT_EQ(ticks(watch, now, 9, false), 0);
  EXPECT_EQ(ticks(watch, now, 1, false), 1);
}

TEST(LoopWatch, OneAnswerStartsTheCountAnew) {
  LoopWatch watch(kPeriod);
  absl::Time now;
  ticks(watch, now, 9, false);
  ticks(watch, now, 1, true);
  EXPECT_EQ(ticks(watch, now, 9, false), 0);
}

TEST(LoopWatch, ALateTickOfItsOwnStartsTheCountAnew) {
  LoopWatch watch(kPeriod);
  absl::Time now;
  ticks(watch, now, 9, false);
  now += absl::Hours(8);
  EXPECT_EQ(ticks(watch, now, 10, false), 0);
  EXPECT_EQ(ticks(watch, now, 1, false), 1);
}

TEST(LoopWatch, ALateTickIsNoReasonWhileTheLoopAnswers) {
  LoopWatch watch(kPeriod);
  absl::Time now;
  for (int i = 0; i < 100; ++i) {
    now += 3 * kPeriod;
    EXPECT_FALSE(watch.tick(now, true));
  }
}

// A thread that runs an io_context, as `loop` does.
class WatchdogTest : public ::testing::Test {
 protected:
  ~WatchdogTest() override {
    work.reset();
    loop.join();
  }
  Watchdog::Seams seams(std::promise<void>& stuck) {
    return {.onLoop = [this](std::function<void()> job) { asio::post(io, std::move(job)); },
            .stuck = [&stuck] { stuck.set_value(); },
            .period = absl::Milliseconds(10)};
  }
  asio::io_context io{1};
  asio::executor_work_guard<asio::io_context::executor_type> work = asio::make_work_guard(io);
  std::thread loop{[this] { io.run(); }};
};

TEST_F(WatchdogTest, ALoopThatIsBlockedIsFound) {
  std::promise<void> stuck, goOn;
  asio::post(io, [wait = goOn.get_future().share()] { wait.wait(); });
  Watchdog watchdog(seams(stuck));
  stuck.get_future().wait();
  goOn.set_value();
}

TEST_F(WatchdogTest, ALoopThatIsBlockedLaterIsFoundToo) {
  std::promise<void> stuck, goOn, busy;
  Watchdog watchdog(seams(stuck));
  asio::post(io, [&busy] { busy.set_value(); });
  busy.get_future().wait();
  asio::post(io, [wait = goOn.get_future().share()] { wait.wait(); });
  stuck.get_future().wait();
  goOn.set_value();
}

TEST_F(WatchdogTest, ItStopsWhileTheLoopIsBlocked) {
  std::promise<void> stuck, goOn;
  asio::post(io, [wait = goOn.get_future().share()] { wait.wait(); });
  {
    Watchdog::Seams patient = seams(stuck);
    patient.period = absl::Hours(1);
    Watchdog watchdog(patient);
  }
  goOn.set_value();
}

}  // namespace
}  // namespace roost
