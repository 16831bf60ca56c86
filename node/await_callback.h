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

namespace roost {

// start is called at once with the callback; the coroutine goes on with what it is given first, or
// with `dropped` if nobody can call it any more.
template <typename T>
boost::asio::awaitable<T> awaitCallback(std::function<void(std::function<void(T)>)> start,
                                        T dropped) {
  struct State {
    explicit State(const boost::asio::any_io_executor& executor) : timer(executor) {
      timer.expires_at(boost::asio::steady_timer::time_point::max());
    }
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
    boost::system::error_code ignored;
    co_await state->timer.async_wait(
        boost::asio::redirect_error(boost::asio::use_awaitable, ignored));
  }
  if (state->value) co_return *std::move(state->value);
  co_return dropped;
}

}  // namespace roost

#endif  // ROOST_NODE_AWAIT_CALLBACK_H_
