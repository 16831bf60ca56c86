// The Index behind one serial queue of work threads: how `loop` and lanes use SQLite without
// waiting for it.
//
// Threads: any. Jobs run in order. What they find is posted by them.
#ifndef ROOST_NODE_INDEX_QUEUE_H_
#define ROOST_NODE_INDEX_QUEUE_H_

#include <functional>
#include <memory>
#include <utility>

#include "cache/index.h"
#include "cache/serial_queue.h"

namespace roost {

class IndexQueue {
 public:
  IndexQueue(WorkPool& pool, std::unique_ptr<Index> index)
      : index_(std::move(index)), queue_(pool, WorkPriority::kReaderWaits, "index") {}

  // kAborted if thousands of jobs wait.
  absl::Status submit(std::function<void(Index&)> job) {
    return queue_.submit("index", [this, job = std::move(job)] { job(*index_); });
  }

 private:
  std::unique_ptr<Index> index_;
  SerialQueue queue_;
};

}  // namespace roost

#endif  // ROOST_NODE_INDEX_QUEUE_H_
