// A clock that stands still until the test moves it, and its alarms.
//
// Threads: one. Must outlive its alarms, so stands before the loop whose handlers may own some.
#ifndef ROOST_TESTS_PROTOCOL_HAND_CLOCK_H_
#define ROOST_TESTS_PROTOCOL_HAND_CLOCK_H_

#include <algorithm>
#include <functional>
#include <memory>
#include <set>
#include <utility>

#include "absl/time/time.h"
#include "protocol/alarm.h"

namespace roost {

class HandClock {
 public:
  std::unique_ptr<Alarm> alarm() { return std::make_unique<HandAlarm>(*this); }

  // Rings on the way what becomes due, each at its own time.
  void advance(absl::Duration by) {
    const Alarm::Time end = now_ + absl::ToChronoNanoseconds(by);
    while (HandAlarm* const next = earliest(end)) {
      now_ = std::max(now_, next->due);
      std::exchange(next->ring, nullptr)();
    }
    now_ = end;
  }

 private:
  struct HandAlarm final : Alarm {
    explicit HandAlarm(HandClock& ownClock) : clock(ownClock) { clock.alarms_.insert(this); }
    ~HandAlarm() override { clock.alarms_.erase(this); }
    Time now() const override { return clock.now_; }
    void set(Time at, std::function<void()> call) override {
      due = at;
      ring = std::move(call);
    }
    void stop() override { ring = nullptr; }

    HandClock& clock;
    Time due;
    std::function<void()> ring;  // null: not set
  };

  HandAlarm* earliest(Alarm::Time end) const {
    HandAlarm* first = nullptr;
    for (HandAlarm* alarm : alarms_) {
      if (!alarm->ring || alarm->due > end) continue;
      if (first == nullptr || alarm->due < first->due) first = alarm;
    }
    return first;
  }

  std::set<HandAlarm*> alarms_;
  Alarm::Time now_;
};

}  // namespace roost

#endif  // ROOST_TESTS_PROTOCOL_HAND_CLOCK_H_
