// Blocking work from a coroutine of `loop`: it goes on when the job is done. A queue that is full
// is busy, not broken: the job is tried again.
//
// Threads: `loop`; jobs run on work threads, and carry values. A job may be copied: large values go
// by shared pointer.
#ifndef ROOST_NODE_ON_WORKER_H_
#define ROOST_NODE_ON_WORKER_H_

#include <boost/asio/awaitable.hpp>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "cache/serial_queue.h"
#include "node/await_callback.h"
#include "node/index_queue.h"
#include "node/loop_work.h"

namespace roost {

inline constexpr absl::Duration kFullQueuePause = absl::Milliseconds(20);

inline void submitToIndex(std::shared_ptr<LoopWork> work, IndexQueue& index,
                          std::function<void(Index&)> job) {
  if (index.submit(job).ok()) return;
  work->later(kFullQueuePause, [work, &index, job] { submitToIndex(work, index, job); });
}

inline void submitInOrder(std::shared_ptr<LoopWork> work, SerialQueue& queue,
                          std::function<void()> job) {
  if (queue.submit("representations", [job] { job(); }).ok()) return;
  work->later(kFullQueuePause, [work, &queue, job] { submitInOrder(work, queue, job); });
}

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

template <typename T>
boost::asio::awaitable<std::shared_ptr<T>> onQueue(std::shared_ptr<LoopWork> work,
                                                   SerialQueue& queue, std::function<T()> job) {
  using Result = std::shared_ptr<T>;
  const std::function<void(std::function<void(Result)>)> start =
      [&](std::function<void(Result)> done) {
        submitInOrder(work, queue,
                      [job, done = std::move(done)] { done(std::make_shared<T>(job())); });
      };
  const Result none;
  co_return co_await awaitCallback<Result>(start, none);
}

template <typename T>
boost::asio::awaitable<std::shared_ptr<T>> onIndex(std::shared_ptr<LoopWork> work,
                                                   IndexQueue& index,
                                                   std::function<T(Index&)> job) {
  using Result = std::shared_ptr<T>;
  const std::function<void(std::function<void(Result)>)> start =
      [&](std::function<void(Result)> done) {
        submitToIndex(work, index, [job, done = std::move(done)](Index& with) {
          done(std::make_shared<T>(job(with)));
        });
      };
  const Result none;
  co_return co_await awaitCallback<Result>(start, none);
}

}  // namespace roost

#endif  // ROOST_NODE_ON_WORKER_H_
