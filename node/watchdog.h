// Ends an agent whose `loop` is stuck: it would accept clients and never answer them, and they wait
// for minutes for such an endpoint, while they do without one that refuses them.
//
// A thread of its own ticks each second and has `loop` answer. Ten ticks in a row without an
// answer: stuck. A tick of its own that is late says that the whole process stood still (SIGSTOP, a
// debugger, a machine that slept), so the count starts over.
//
// Threads: LoopWatch: one. Watchdog: made and stopped on any, its seams are called on its own.
#ifndef ROOST_NODE_WATCHDOG_H_
#define ROOST_NODE_WATCHDOG_H_

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#include "absl/time/time.h"
#include "protocol/limits.h"

namespace roost {

// The decision alone.
class LoopWatch {
 public:
  explicit LoopWatch(absl::Duration period = kWatchdogPeriod) : period_(period) {}
  // A tick at `now`; `answered`: `loop` did since the last. True: it is stuck.
  bool tick(absl::Time now, bool answered);

 private:
  const absl::Duration period_;
  std::optional<absl::Time> last_;
  int silent_ = 0;  // ticks in a row
};

class Watchdog {
 public:
  struct Seams {
    std::function<void(std::function<void()>)> onLoop;  // has a job run on the watched thread
    std::function<void()> stuck;                        // called once
    absl::Duration period = kWatchdogPeriod;
  };
  explicit Watchdog(Seams seams);
  ~Watchdog() { stop(); }
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

  void stop();

 private:
  void run();

  const Seams seams_;
  // Jobs on the watched thread may outlive this.
  const std::shared_ptr<std::atomic<bool>> answered_ = std::make_shared<std::atomic<bool>>(true);
  std::mutex mutex_;  // guards the next two
  std::condition_variable ended_;
  bool stopping_ = false;
  std::thread thread_;
};

// Says on stderr that `loop` is stuck, if somebody takes it, and ends the process at once.
[[noreturn]] void endStuckProcess();

}  // namespace roost

#endif  // ROOST_NODE_WATCHDOG_H_
