// The way from `loop` to work threads and back, for objects that live on `loop`.
//
// Ownership: jobs share it, so it lasts as long as any of them; the objects do not. A job on a work
// thread carries values, and what it brings back goes through post(): after stop() nothing of that
// runs any more. So what post() and later() run may use the objects on `loop`, and what submit()
// runs may not.
//
// Threads: post() from any, the rest on `loop`. The io_context and the pool must outlive this.
#ifndef ROOST_NODE_LOOP_WORK_H_
#define ROOST_NODE_LOOP_WORK_H_

#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>

#include "absl/time/time.h"
#include "cache/work_pool.h"

namespace roost {

class LoopWork : public std::enable_shared_from_this<LoopWork> {
 public:
  LoopWork(boost::asio::io_context& io, WorkPool& pool) : io_(io), pool_(pool) {}

  // Runs on `loop`, unless stopped.
  void post(std::function<void()> job);
  void later(absl::Duration delay, std::function<void()> job);
  // Runs on a work thread. A full pool is busy, not broken: the job is tried again.
  void submit(WorkSpec spec, std::function<void()> job);
  // Nothing runs on `loop` from here on.
  void stop() { stopped_ = true; }

 private:
  boost::asio::io_context& io_;
  WorkPool& pool_;
  bool stopped_ = false;
};

}  // namespace roost

#endif  // ROOST_NODE_LOOP_WORK_H_
