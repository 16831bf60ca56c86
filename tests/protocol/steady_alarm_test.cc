#include "protocol/steady_alarm.h"

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <memory>

namespace roost {
namespace {

class SteadyAlarmOn : public ::testing::Test {
 protected:
  void set(Alarm::Time due) {
    alarm_->set(due, [this] { ++rung_; });
  }

  boost::asio::io_context io_;
  std::unique_ptr<SteadyAlarm> alarm_ = std::make_unique<SteadyAlarm>(io_.get_executor());
  int rung_ = 0;
};

TEST_F(SteadyAlarmOn, ringsOnceAndNotBeforeItIsDue) {
  const Alarm::Time due = alarm_->now() + std::chrono::milliseconds(1);
  set(due);
  io_.run();
  EXPECT_EQ(rung_, 1);
  EXPECT_GE(alarm_->now(), due);
}

TEST_F(SteadyAlarmOn, doesNotRingFromWithinSetThoughItIsDue) {
  set(alarm_->now());
  EXPECT_EQ(rung_, 0);
  io_.run();
  EXPECT_EQ(rung_, 1);
}

TEST_F(SteadyAlarmOn, mayBeSetAgainWhileItRings) {
  alarm_->set(alarm_->now(), [this] { set(alarm_->now()); });
  io_.run();
  EXPECT_EQ(rung_, 1);
}

TEST_F(SteadyAlarmOn, doesNotRingOnceStopped) {
  set(alarm_->now() + std::chrono::hours(1));
  alarm_->stop();
  io_.run();
  EXPECT_EQ(rung_, 0);
}

TEST_F(SteadyAlarmOn, doesNotRingOnceDestroyed) {
  set(alarm_->now() + std::chrono::hours(1));
  alarm_ = nullptr;
  io_.run();
  EXPECT_EQ(rung_, 0);
}

}  // namespace
}  // namespace roost
