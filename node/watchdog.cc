#include "node/watchdog.h"

#include <poll.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "protocol/errors.h"

namespace roost {
namespace {

// Of a clock that nobody sets.
absl::Time monotonicNow() {
  timespec now = {};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return absl::TimeFromTimespec(now);
}

}  // namespace

bool LoopWatch::tick(absl::Time now, bool answered) {
  const bool late = last_ && now - *last_ > 2 * period_;
  last_ = now;
  silent_ = answered || late ? 0 : silent_ + 1;
  return silent_ >= kWatchdogPeriodsMax;
}

Watchdog::Watchdog(Seams seams) : seams_(std::move(seams)), thread_([this] { run(); }) {}

void Watchdog::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  ended_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Watchdog::run() {
  LoopWatch watch(seams_.period);
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    lock.unlock();
    // One question at a time: a stuck thread must not find a queue of them.
    const bool answered = answered_->exchange(false);
    if (watch.tick(monotonicNow(), answered)) return seams_.stuck();
    if (answered) seams_.onLoop([back = answered_] { *back = true; });
    lock.lock();
    ended_.wait_for(lock, absl::ToChronoNanoseconds(seams_.period), [this] { return stopping_; });
  }
}

void endStuckProcess() {
  const std::string text = absl::StrCat(
      "roost: the agent is stuck: its main thread has done nothing for ", kWatchdogPeriodsMax,
      " s. It ends now, so that clients find its port closed, and is to be started again. "
      "A full disk of its log, or a pipe that nobody reads, can be the reason.\n");
  // A console on a file system that hangs takes no word, and must not keep the process.
  signal(SIGALRM, SIG_DFL);
  alarm(1);
  pollfd console = {STDERR_FILENO, POLLOUT, 0};
  if (poll(&console, 1, 0) > 0) {
    [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, text.data(), text.size());
  }
  _exit(static_cast<int>(ExitCode::kError));
}

}  // namespace roost
