// Things to do later on `loop`, that do not outlive it: stop() makes all of them happen at once.
//
// Threads: `loop`.
#ifndef ROOST_NODE_LOOP_TIMERS_H_
#define ROOST_NODE_LOOP_TIMERS_H_

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <list>
#include <memory>
#include <utility>

#include "absl/time/time.h"
#include "node/await_callback.h"

namespace roost {

class LoopTimers {
 public:
  explicit LoopTimers(boost::asio::io_context& io) : io_(io) {}

  // Runs `then` after the delay, or at stop().
  void after(absl::Duration delay, std::function<void()> then) {
    auto timer = std::make_shared<boost::asio::steady_timer>(io_, absl::ToChronoNanoseconds(delay));
    timer->async_wait(
        [timer, then = std::move(then)](const boost::system::error_code&) { then(); });
    std::erase_if(timers_, [](const auto& weak) { return weak.expired(); });
    timers_.push_back(timer);
  }

  boost::asio::awaitable<void> sleep(absl::Duration pause) {
    const std::function<void(std::function<void(bool)>)> start =
        [&](std::function<void(bool)> done) { after(pause, [done] { done(true); }); };
    co_await awaitCallback<bool>(start, false);
  }

  void stop() {
    for (const auto& weak : timers_) {
      if (const auto timer = weak.lock()) timer->cancel();
    }
  }

 private:
  boost::asio::io_context& io_;
  std::list<std::weak_ptr<boost::asio::steady_timer>> timers_;
};

}  // namespace roost

#endif  // ROOST_NODE_LOOP_TIMERS_H_
