// Waits in a coroutine for a callback that comes from another thread, or from this one.
//
// Threads: the coroutine's executor; the callback may be called from any thread, once.
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

// start is called at once with the callback; the coroutine goes on with what it is given.
template <typename T>
boost::asio::awaitable<T> awaitCallback(std::function<void(std::function<void(T)>)> start) {
  struct State {
    explicit State(const boost::asio::any_io_executor& executor) : timer(executor) {
      timer.expires_at(boost::asio::steady_timer::time_point::max());
    }
    boost::asio::steady_timer timer;
    std::optional<T> value;
  };
  const auto executor = co_await boost::asio::this_coro::executor;
  auto state = std::make_shared<State>(executor);
  start([state, executor](T value) {
    boost::asio::post(executor, [state, value = std::move(value)]() mutable {
      state->value.emplace(std::move(value));
      state->timer.cancel();
    });
  });
  while (!state->value) {
    boost::system::error_code ignored;
    co_await state->timer.async_wait(
        boost::asio::redirect_error(boost::asio::use_awaitable, ignored));
  }
  co_return *std::move(state->value);
}

}  // namespace roost

#endif  // ROOST_NODE_AWAIT_CALLBACK_H_
