// A clock with one wake-up. The seam by which a test moves a link's time by hand.
//
// Owns:    what it is to call, until it has called it or was stopped.
// Threads: one, its user's, which it also calls on.
#ifndef ROOST_PROTOCOL_ALARM_H_
#define ROOST_PROTOCOL_ALARM_H_

#include <chrono>
#include <functional>

namespace roost {

class Alarm {
 public:
  using Time = std::chrono::steady_clock::time_point;

  virtual ~Alarm() = default;
  virtual Time now() const = 0;
  // Calls `ring` once, at `due` or later and never from within set(). Not while one is set.
  virtual void set(Time due, std::function<void()> ring) = 0;
  virtual void stop() = 0;  // one that is due already may still ring
};

}  // namespace roost

#endif  // ROOST_PROTOCOL_ALARM_H_
