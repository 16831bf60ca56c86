// Blocking work from a coroutine of `loop`: it goes on when the job is done. A queue that is full
// is busy, not broken: the job is tried again.
//
// Threads: `loop`; jobs run on work threads, and carry values. A job may be copied: large values go
// by shared pointer.
#ifndef ROOST_NODE_ON_WORKER_H_
#define ROOST_NODE_ON_WORKER_H_

#include <boost/asio/awaitable.hpp>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "cache/serial_queue.h"
#include "node/await_callback.h"
#include "node/index_queue.h"
#include "node/loop_work.h"

namespace roost {

// Jobs for a serial queue, in the order in which they were given, also while it is full.
//
// Memory: what waits here has no bound of its own; whoever gives jobs waits for them, or is
// bounded.
template <typename... Args>
class InOrder : public std::enable_shared_from_this<InOrder<Args...>> {
 public:
  using Job = std::function<void(Args...)>;
  // `queue` takes a job, or says that it is full. What it captures must outlive this.
  InOrder(std::shared_ptr<LoopWork> work, std::function<absl::Status(const Job&)> queue)
      : work_(std::move(work)), queue_(std::move(queue)) {}

  void submit(Job job) {
    waiting_.push_back(std::move(job));
    if (!isFull_) hand();
  }
  // From here on what does not fit is dropped: whoever waits for it goes on without.
  void stop() {
    stopped_ = true;
    waiting_.clear();
  }

 private:
  static constexpr absl::Duration kFullPause = absl::Milliseconds(20);

  void hand() {
    while (!waiting_.empty() && queue_(waiting_.front()).ok()) waiting_.pop_front();
    if (stopped_) waiting_.clear();
    isFull_ = !waiting_.empty();
    if (isFull_) work_->later(kFullPause, [self = this->shared_from_this()] { self->hand(); });
  }

  const std::shared_ptr<LoopWork> work_;
  const std::function<absl::Status(const Job&)> queue_;
  std::deque<Job> waiting_;
  bool isFull_ = false;  // hand() is due
  bool stopped_ = false;
};
using InOrderOfFiles = InOrder<>;
using InOrderOfIndex = InOrder<Index&>;

// What the job gives; null if the agent stops.
template <typename T>
boost::asio::awaitable<std::shared_ptr<T>> onWorker(std::shared_ptr<LoopWork> work, WorkSpec spec,
                                                    std::function<T()> job) {
  using Result = std::shared_ptr<T>;
  const std::function<void(std::function<void(Result)>)> start =
      [&](std::function<void(Result)> done) {
        work->submit(spec, [job, done = std::move(done)] { done(std::make_shared<T>(job())); });
      };
  const Result none;
  co_return co_await awaitCallback<Result>(start, none);
}

template <typename T, typename... Args>
boost::asio::awaitable<std::shared_ptr<T>> onQueue(std::shared_ptr<InOrder<Args...>> queue,
                                                   std::function<T(Args...)> job) {
  using Result = std::shared_ptr<T>;
  const std::function<void(std::function<void(Result)>)> start =
      [&](std::function<void(Result)> done) {
        queue->submit([job, done = std::move(done)](Args... with) {
          done(std::make_shared<T>(job(with...)));
        });
      };
  const Result none;
  co_return co_await awaitCallback<Result>(start, none);
}

}  // namespace roost

#endif  // ROOST_NODE_ON_WORKER_H_
