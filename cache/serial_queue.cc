#include "cache/serial_queue.h"

#include <deque>
#include <mutex>
#include <utility>

#include "absl/strings/str_cat.h"
#include "protocol/limits.h"

namespace roost {

struct SerialQueue::State : std::enable_shared_from_this<SerialQueue::State> {
  struct Item {
    std::string name;
    WorkPool::Job job;
  };

  State(WorkPool& poolGiven, WorkPriority priorityGiven, std::string shareGiven)
      : pool(poolGiven), priority(priorityGiven), share(std::move(shareGiven)) {}

  // One pool job a time stands for the first item, under its name.
  absl::Status submitFirst(const std::string& name) {
    return pool.submit({.name = name, .priority = priority, .share = share},
                       [state = shared_from_this()] { state->run(); });
  }

  // Runs the first item and sees that the next one gets its turn: by a new pool job, so that other
  // queues get theirs in between; at once if the pool is full (or drains), since an item that was
  // accepted must run.
  void run() {
    std::unique_lock lock(mutex);
    while (!items.empty()) {
      Item item = std::move(items.front());
      items.pop_front();
      lock.unlock();
      std::move(item.job)();
      item.job = nullptr;
      lock.lock();
      if (items.empty()) break;
      const absl::Status submitted = submitFirst(items.front().name);
      if (submitted.ok()) return;
      if (absl::IsCancelled(submitted)) items.clear();
    }
    active = false;
  }

  WorkPool& pool;
  const WorkPriority priority;
  const std::string share;
  std::mutex mutex;
  std::deque<Item> items;
  bool active = false;  // a pool job stands for the first item, or an item runs
};

SerialQueue::SerialQueue(WorkPool& pool, WorkPriority priority, std::string share)
    : state_(std::make_shared<State>(pool, priority, std::move(share))) {}

SerialQueue::~SerialQueue() {
  std::deque<State::Item> dropped;  // destroyed outside the lock
  const std::lock_guard lock(state_->mutex);
  dropped.swap(state_->items);
}

absl::Status SerialQueue::submit(std::string name, WorkPool::Job job) {
  const std::lock_guard lock(state_->mutex);
  if (state_->items.size() >= kSerialQueueMax) {
    return absl::AbortedError(absl::StrCat("cannot start \"", name, "\": ", state_->items.size(),
                                           " jobs wait in the same queue. Try again"));
  }
  if (!state_->active) {
    if (absl::Status submitted = state_->submitFirst(name); !submitted.ok()) return submitted;
    state_->active = true;
  }
  state_->items.push_back({std::move(name), std::move(job)});
  return absl::OkStatus();
}

}  // namespace roost
