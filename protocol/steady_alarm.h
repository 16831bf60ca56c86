// The Alarm by the steady clock, on an io_context.
//
// Threads: that of the io_context. May be destroyed with an alarm set: that is as stop().
#ifndef ROOST_PROTOCOL_STEADY_ALARM_H_
#define ROOST_PROTOCOL_STEADY_ALARM_H_

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <utility>

#include "protocol/alarm.h"

namespace roost {

class SteadyAlarm final : public Alarm {
 public:
  explicit SteadyAlarm(const boost::asio::any_io_executor& executor) : timer_(executor) {}

  Time now() const override { return boost::asio::steady_timer::clock_type::now(); }
  void set(Time due, std::function<void()> ring) override {
    timer_.expires_at(due);
    timer_.async_wait([ring = std::move(ring)](const boost::system::error_code& stopped) {
      if (!stopped) ring();
    });
  }
  void stop() override { timer_.cancel(); }

 private:
  boost::asio::steady_timer timer_;
};

}  // namespace roost

#endif  // ROOST_PROTOCOL_STEADY_ALARM_H_
