// The threads on which everything that blocks is done: hashing, scans, SQLite, fsync, cold reads.
// Jobs are closures that carry values; what they find out they post to the owner's thread.
//
// Idle jobs have threads of their own, which run with SCHED_IDLE and the idle I/O class for life:
// an unprivileged thread may enter SCHED_IDLE but not leave it (RLIMIT_NICE).
//
// Threads: every method from any thread, except stop() and the destructor: by the owner, not from a
// job. Bounded: a full queue answers kAborted (busy), it never grows.
#ifndef ROOST_CACHE_WORK_POOL_H_
#define ROOST_CACHE_WORK_POOL_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace roost {

enum class WorkPriority : uint8_t {
  kReaderWaits = 0,  // somebody waits for the answer
  kNormal = 1,
  kIdle = 2,  // on idle threads only
};

struct WorkSpec {
  std::string name;  // what the job does, such as "hash": for tests and error texts
  WorkPriority priority = WorkPriority::kNormal;
  // What the job may get stuck on, such as a root. Jobs of one share occupy at most all threads but
  // one, so a dead mount cannot hold the others. Empty: not bounded.
  std::string share = "";
};

class WorkPool {
 public:
  using Job = absl::AnyInvocable<void() &&>;
  enum class AtStop {
    kDrain,  // run what is queued
    kDrop    // destroy what is queued, unrun
  };

  // Threads for normal work: min(4, cores / 8), at least 2.
  static size_t defaultThreads();

  // `threads` (at least 2) for normal work, and as many for idle work.
  // 0 is for tests: jobs run only when runNext() says so, on the caller's thread.
  explicit WorkPool(size_t threads = defaultThreads());
  ~WorkPool();  // stop(kDrop)

  WorkPool(const WorkPool&) = delete;
  WorkPool& operator=(const WorkPool&) = delete;

  // kAborted if the queue of this priority, or the share's part of it, is full;
  // kAborted after stop(kDrain), kCancelled after stop(kDrop).
  absl::Status submit(WorkSpec spec, Job job);

  // Jobs that are queued, not those that run.
  size_t queued() const;

  // Refuses new jobs, then waits for those that run. Jobs must end by themselves: give long ones a
  // flag to look at. Idempotent.
  void stop(AtStop what);

  // With threads = 0: runs the first job by priority and age, or the first of that name. False if
  // there is none.
  bool runNext();
  bool runNext(absl::string_view name);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace roost

#endif  // ROOST_CACHE_WORK_POOL_H_
