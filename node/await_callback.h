// Waits in a coroutine for a callback that comes from another thread, or from this one. A callback
// that is thrown away unused, as at shutdown, ends the wait too: no coroutine waits for ever.
//
// Threads: the coroutine's executor; the callback may be called, or thrown away, on any thread.
#ifndef ROOST_NODE_AWAIT_CALLBACK_H_
#define ROOST_NODE_AWAIT_CALLBACK_H_

#include <boost/asio/awaitable.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace roost {

// What is done each `period` while a wait lasts; its failure ends the wait.
struct AwaitTick {
  absl::Duration period;
  std::function<boost::asio::awaitable<absl::Status>()> run;
};

// start is called at once with the callback; the coroutine goes on with what it is given first, or
// with `dropped` if nobody can call it any more. Give what is given by name: GCC 12 destroys
// temporaries within a co_await expression twice.
template <typename T>
boost::asio::awaitable<T> awaitTicking(std::function<void(std::function<void(T)>)> start, T dropped,
                                       AwaitTick tick) {
  struct State {
    explicit State(const boost::asio::any_io_executor& executor) : timer(executor) {}
    boost::asio::steady_timer timer;
    std::optional<T> value;
    bool gone = false;
  };
  // What all copies of the callback share.
  struct Caller {
    Caller(boost::asio::any_io_executor e, std::shared_ptr<State> s)
        : executor(std::move(e)), state(std::move(s)) {}
    ~Caller() {
      boost::asio::post(executor, [state = state] {
        state->gone = true;
        state->timer.cancel();
      });
    }
    Caller(const Caller&) = delete;
    Caller& operator=(const Caller&) = delete;
    const boost::asio::any_io_executor executor;
    const std::shared_ptr<State> state;
  };
  const auto executor = co_await boost::asio::this_coro::executor;
  auto state = std::make_shared<State>(executor);
  {
    auto caller = std::make_shared<Caller>(executor, state);
    start([caller](T value) {
      boost::asio::post(caller->executor,
                        [state = caller->state, value = std::move(value)]() mutable {
                          if (!state->value) state->value.emplace(std::move(value));
                          state->timer.cancel();
                        });
    });
  }
  start = nullptr;
  while (!state->value && !state->gone) {
    boost::system::error_code ec;
    if (tick.run) {
      state->timer.expires_after(absl::ToChronoNanoseconds(tick.period));
    } else {
      state->timer.expires_at(boost::asio::steady_timer::time_point::max());
    }
    co_await state->timer.async_wait(boost::asio::redirect_error(boost::asio::use_awaitable, ec));
    if (ec || state->value || state->gone) continue;
    const absl::Status ticked = co_await tick.run();
    if (!ticked.ok()) co_return dropped;
  }
  if (state->value) co_return *std::move(state->value);
  co_return dropped;
}

template <typename T>
boost::asio::awaitable<T> awaitCallback(std::function<void(std::function<void(T)>)> start,
                                        T dropped) {
  return awaitTicking<T>(std::move(start), std::move(dropped), AwaitTick{});
}

}  // namespace roost

#endif  // ROOST_NODE_AWAIT_CALLBACK_H_
