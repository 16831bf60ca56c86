// An event that coroutines of one io_context wait for, as a condition variable for one thread.
//
// notify() wakes everyone who is waiting now and is not remembered: check the condition, then wait.
// Nothing is lost between, since nothing else runs on this thread:
//   while (queue.empty()) co_await arrived.wait();
// Boost 1.74 cannot cancel an operation, so this is how a wait is ended by its owner.
//
// Threads: one, that of the executor. A waiter may outlive the Signal: it wakes with false.
#ifndef ROOST_PROTOCOL_SIGNAL_H_
#define ROOST_PROTOCOL_SIGNAL_H_

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <list>
#include <memory>
#include <utility>

#include "absl/time/time.h"

namespace roost {

class Signal {
 public:
  explicit Signal(boost::asio::any_io_executor executor)
      : state_(std::make_shared<State>(std::move(executor))) {}
  ~Signal() { state_->wake(false); }
  Signal(const Signal&) = delete;
  Signal& operator=(const Signal&) = delete;

  void notify() { state_->wake(true); }

  // true: notified. false: `timeout` passed, or the Signal is gone.
  boost::asio::awaitable<bool> wait(absl::Duration timeout = absl::InfiniteDuration()) {
    return waitOn(state_, timeout);
  }

 private:
  struct Waiter {
    explicit Waiter(const boost::asio::any_io_executor& executor) : timer(executor) {}
    boost::asio::steady_timer timer;
    bool notified = false;
  };

  struct State {
    explicit State(boost::asio::any_io_executor e) : executor(std::move(e)) {}
    void wake(bool notified) {
      for (Waiter* waiter : waiters) {
        waiter->notified = notified;
        waiter->timer.cancel();  // posts; no coroutine runs inside notify()
      }
      waiters.clear();
    }
    boost::asio::any_io_executor executor;
    std::list<Waiter*> waiters;
  };

  // Takes the waiter out of the list when its coroutine goes on, or is destroyed.
  struct Registration {
    Registration(State& s, Waiter& w) : state(s), waiter(w) { state.waiters.push_back(&waiter); }
    ~Registration() { state.waiters.remove(&waiter); }
    Registration(const Registration&) = delete;
    Registration& operator=(const Registration&) = delete;
    State& state;
    Waiter& waiter;
  };

  static boost::asio::awaitable<bool> waitOn(std::shared_ptr<State> state, absl::Duration timeout) {
    Waiter waiter(state->executor);
    if (timeout == absl::InfiniteDuration()) {
      waiter.timer.expires_at(boost::asio::steady_timer::time_point::max());
    } else {
      waiter.timer.expires_after(absl::ToChronoNanoseconds(timeout));
    }
    const Registration registration(*state, waiter);
    boost::system::error_code ignored;
    co_await waiter.timer.async_wait(
        boost::asio::redirect_error(boost::asio::use_awaitable, ignored));
    co_return waiter.notified;
  }

  std::shared_ptr<State> state_;
};

}  // namespace roost

#endif  // ROOST_PROTOCOL_SIGNAL_H_
