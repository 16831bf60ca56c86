// Jobs that run in order and one at a time, on whatever thread of the pool is free: what gives an
// object without locks (a BlobWriter, the Index) one owner at a time.
//
// Threads: any. The pool must outlive the queue. Destroying the queue lets the running job end and
// drops those that wait.
#ifndef ROOST_CACHE_SERIAL_QUEUE_H_
#define ROOST_CACHE_SERIAL_QUEUE_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "cache/work_pool.h"

namespace roost {

class SerialQueue {
 public:
  // `share` and `priority` are those of WorkSpec, for all jobs of the queue.
  SerialQueue(WorkPool& pool, WorkPriority priority, std::string share);
  ~SerialQueue();

  SerialQueue(const SerialQueue&) = delete;
  SerialQueue& operator=(const SerialQueue&) = delete;

  // kAborted if kSerialQueueMax jobs wait or the pool is full and nothing of this queue runs.
  absl::Status submit(std::string name, WorkPool::Job job);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace roost

#endif  // ROOST_CACHE_SERIAL_QUEUE_H_
