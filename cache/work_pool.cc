#include "cache/work_pool.h"

#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <condition_variable>
#include <list>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "protocol/limits.h"

namespace roost {
namespace {

enum ThreadClass : size_t { kWorkThreads = 0, kIdleThreads = 1, kThreadClasses = 2 };

ThreadClass threadClassOf(WorkPriority priority) {
  return priority == WorkPriority::kIdle ? kIdleThreads : kWorkThreads;
}

// CPU and disk only when nobody else wants them. Both calls may be refused (a container's seccomp
// filter): the work is then merely less polite.
void yieldToEverybody() {
  const sched_param none{};
  ::pthread_setschedparam(::pthread_self(), SCHED_IDLE, &none);
  constexpr int kWhoProcess = 1, kClassIdle = 3, kClassShift = 13;  // linux/ioprio.h
  ::syscall(SYS_ioprio_set, kWhoProcess, 0, kClassIdle << kClassShift);
}

}  // namespace

struct WorkPool::State {
  struct Entry {
    WorkSpec spec;
    Job job;
  };
  using Queue = std::list<Entry>;

  explicit State(size_t threadsGiven)
      : threads(threadsGiven), perShareMax(threadsGiven > 1 ? threadsGiven - 1 : 1) {}

  // The queues that this class of threads serves, most urgent first.
  static std::vector<WorkPriority> served(ThreadClass by) {
    if (by == kIdleThreads) return {WorkPriority::kIdle};
    return {WorkPriority::kReaderWaits, WorkPriority::kNormal};
  }

  Queue& queueOf(WorkPriority priority) { return queues[static_cast<size_t>(priority)]; }

  bool shareIsFull(ThreadClass by, const std::string& share) const {
    if (share.empty() || threads == 0) return false;
    const auto it = running[by].find(share);
    return it != running[by].end() && it->second >= perShareMax;
  }

  std::optional<Entry> take(ThreadClass by) {
    for (const WorkPriority priority : served(by)) {
      Queue& queue = queueOf(priority);
      const auto it = std::find_if(queue.begin(), queue.end(), [&](const Entry& entry) {
        return !shareIsFull(by, entry.spec.share);
      });
      if (it != queue.end()) return takeAt(queue, it);
    }
    return std::nullopt;
  }

  std::optional<Entry> takeNamed(absl::string_view name) {
    for (Queue& queue : queues) {
      const auto it = std::find_if(queue.begin(), queue.end(),
                                   [&](const Entry& entry) { return entry.spec.name == name; });
      if (it != queue.end()) return takeAt(queue, it);
    }
    return std::nullopt;
  }

  Entry takeAt(Queue& queue, Queue::iterator it) {
    Entry entry = std::move(*it);
    queue.erase(it);
    const auto waiting = waitingOfShare.find(entry.spec.share);
    if (--waiting->second == 0) waitingOfShare.erase(waiting);
    return entry;
  }

  void serve(ThreadClass by) {
    std::unique_lock lock(mutex);
    while (true) {
      std::optional<Entry> entry = take(by);
      if (!entry && stopped && noneLeft(by)) return;
      if (!entry) {
        wake[by].wait(lock);
        continue;
      }
      ++running[by][entry->spec.share];
      lock.unlock();
      std::move(entry->job)();
      entry->job = nullptr;  // what the job held goes before its share is free
      lock.lock();
      const auto it = running[by].find(entry->spec.share);
      if (--it->second == 0) running[by].erase(it);
      wake[by].notify_all();  // a job of this share may have been passed over
    }
  }

  bool noneLeft(ThreadClass by) {
    const std::vector<WorkPriority> priorities = served(by);
    return std::all_of(priorities.begin(), priorities.end(),
                       [&](WorkPriority priority) { return queueOf(priority).empty(); });
  }

  const size_t threads;
  const size_t perShareMax;

  mutable std::mutex mutex;
  std::array<std::condition_variable, kThreadClasses> wake;
  std::array<Queue, 3> queues;
  std::array<std::map<std::string, size_t>, kThreadClasses> running;  // jobs, by share
  std::map<std::string, size_t> waitingOfShare;
  std::optional<AtStop> stopped;
  std::vector<std::thread> workers;
};

size_t WorkPool::defaultThreads() {
  return std::max<size_t>(2, std::min<size_t>(4, std::thread::hardware_concurrency() / 8));
}

WorkPool::WorkPool(size_t threads)
    : state_(std::make_unique<State>(threads == 0 ? 0 : std::max<size_t>(2, threads))) {
  for (size_t i = 0; i < state_->threads; ++i) {
    state_->workers.emplace_back([state = state_.get(), i] {
      ::pthread_setname_np(::pthread_self(), absl::StrCat("work-", i).c_str());
      state->serve(kWorkThreads);
    });
    state_->workers.emplace_back([state = state_.get(), i] {
      ::pthread_setname_np(::pthread_self(), absl::StrCat("idle-", i).c_str());
      yieldToEverybody();
      state->serve(kIdleThreads);
    });
  }
}

WorkPool::~WorkPool() {
  stop(AtStop::kDrop);
}

absl::Status WorkPool::submit(WorkSpec spec, Job job) {
  const std::lock_guard lock(state_->mutex);
  if (state_->stopped == AtStop::kDrop) {
    return absl::CancelledError(absl::StrCat("cannot start \"", spec.name, "\": shutting down"));
  }
  if (state_->stopped == AtStop::kDrain) {
    return absl::AbortedError(absl::StrCat("cannot start \"", spec.name, "\": shutting down"));
  }
  State::Queue& queue = state_->queueOf(spec.priority);
  size_t& ofShare = state_->waitingOfShare[spec.share];
  const bool shareIsFull = !spec.share.empty() && ofShare >= kWorkQueuePerShareMax;
  if (queue.size() >= kWorkQueueMax || shareIsFull) {
    const std::string why = shareIsFull
                                ? absl::StrCat(ofShare, " jobs wait for ", spec.share)
                                : absl::StrCat(queue.size(), " jobs wait for a work thread");
    if (ofShare == 0) state_->waitingOfShare.erase(spec.share);
    return absl::AbortedError(
        absl::StrCat("cannot start \"", spec.name, "\": ", why, ". Try again"));
  }
  ++ofShare;
  const ThreadClass by = threadClassOf(spec.priority);
  queue.push_back({std::move(spec), std::move(job)});
  state_->wake[by].notify_one();
  return absl::OkStatus();
}

size_t WorkPool::queued() const {
  const std::lock_guard lock(state_->mutex);
  size_t count = 0;
  for (const State::Queue& queue : state_->queues) count += queue.size();
  return count;
}

void WorkPool::stop(AtStop what) {
  State::Queue dropped;  // destroyed outside the lock: a job may own anything
  {
    const std::lock_guard lock(state_->mutex);
    if (!state_->stopped || what == AtStop::kDrop) state_->stopped = what;
    if (what == AtStop::kDrop) {
      for (State::Queue& queue : state_->queues) dropped.splice(dropped.end(), queue);
      state_->waitingOfShare.clear();
    }
    for (std::condition_variable& wake : state_->wake) wake.notify_all();
  }
  // On a busy machine an idle thread may get no CPU for longer than whoever waits for the end here.
  const sched_param none{};
  for (std::thread& worker : state_->workers) {
    ::pthread_setschedparam(worker.native_handle(), SCHED_OTHER, &none);
  }
  for (std::thread& worker : state_->workers) worker.join();
  state_->workers.clear();
  if (state_->threads == 0 && what == AtStop::kDrain) {
    while (runNext()) {
    }
  }
}

bool WorkPool::runNext() {
  std::optional<State::Entry> entry;
  {
    const std::lock_guard lock(state_->mutex);
    entry = state_->take(kWorkThreads);
    if (!entry) entry = state_->take(kIdleThreads);
  }
  if (entry) std::move(entry->job)();
  return entry.has_value();
}

bool WorkPool::runNext(absl::string_view name) {
  std::optional<State::Entry> entry;
  {
    const std::lock_guard lock(state_->mutex);
    entry = state_->takeNamed(name);
  }
  if (entry) std::move(entry->job)();
  return entry.has_value();
}

}  // namespace roost
