#include "cache/work_pool.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <latch>
#include <string>
#include <vector>

#include "cache/serial_queue.h"
#include "protocol/limits.h"

namespace roost {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(WorkPool, RunsByPriorityThenByAge) {
  WorkPool pool(0);
  std::vector<std::string> ran;
  const auto submit = [&](const std::string& name, WorkPriority priority) {
    ASSERT_TRUE(pool.submit({name, priority}, [&ran, name] { ran.push_back(name); }).ok());
  };
  submit("idle", WorkPriority::kIdle);
  submit("normal 1", WorkPriority::kNormal);
  submit("normal 2", WorkPriority::kNormal);
  submit("reader", WorkPriority::kReaderWaits);
  while (pool.runNext()) {
  }
  EXPECT_THAT(ran, ElementsAre("reader", "normal 1", "normal 2", "idle"));
}

TEST(WorkPool, ATestRunsTheJobThatItNames) {
  WorkPool pool(0);
  bool hashed = false;
  ASSERT_TRUE(pool.submit({"scan"}, [] {}).ok());
  ASSERT_TRUE(pool.submit({"hash"}, [&] { hashed = true; }).ok());
  EXPECT_FALSE(pool.runNext("fsync"));
  EXPECT_TRUE(pool.runNext("hash"));
  EXPECT_TRUE(hashed);
  EXPECT_EQ(pool.queued(), 1u);
}

TEST(WorkPool, AFullQueueIsBusyAndSaysSo) {
  WorkPool pool(0);
  for (size_t i = 0; i < kWorkQueueMax; ++i) ASSERT_TRUE(pool.submit({"job"}, [] {}).ok());
  const absl::Status status = pool.submit({"hash"}, [] {});
  EXPECT_TRUE(absl::IsAborted(status));
  EXPECT_THAT(status.message(), HasSubstr("hash"));
  EXPECT_TRUE(pool.submit({"other", WorkPriority::kReaderWaits}, [] {}).ok());
}

TEST(WorkPool, OneRootCannotFillTheQueue) {
  WorkPool pool(0);
  for (size_t i = 0; i < kWorkQueuePerShareMax; ++i) {
    ASSERT_TRUE(pool.submit({"scan", WorkPriority::kNormal, "/dead"}, [] {}).ok());
  }
  EXPECT_TRUE(absl::IsAborted(pool.submit({"scan", WorkPriority::kNormal, "/dead"}, [] {})));
  EXPECT_TRUE(pool.submit({"scan", WorkPriority::kNormal, "/alive"}, [] {}).ok());
  ASSERT_TRUE(pool.runNext());
  EXPECT_TRUE(pool.submit({"scan", WorkPriority::kNormal, "/dead"}, [] {}).ok());
}

TEST(WorkPool, ADeadMountLeavesAThreadForOthers) {
  WorkPool pool(3);
  std::latch alive(1), release(1);
  std::atomic<int> stuck = 0, stuckMax = 0;
  for (int i = 0; i < 10; ++i) {
    ASSERT_TRUE(pool.submit({"read", WorkPriority::kReaderWaits, "/dead"},
                            [&] {
                              stuckMax = std::max(stuckMax.load(), ++stuck);
                              release.wait();
                              --stuck;
                            })
                    .ok());
  }
  ASSERT_TRUE(
      pool.submit({"read", WorkPriority::kReaderWaits, "/alive"}, [&] { alive.count_down(); })
          .ok());
  alive.wait();  // would hang if the dead mount had all threads
  release.count_down();
  pool.stop(WorkPool::AtStop::kDrain);
  EXPECT_LE(stuckMax.load(), 2);
}

TEST(WorkPool, IdleJobsYieldToEverybodyAndOthersDoNot) {
  WorkPool pool(2);
  std::atomic<int> idlePolicy = -1, normalPolicy = -1;
  std::atomic<long> idleIo = -1;
  std::latch looked(2);
  ASSERT_TRUE(pool.submit({"hash", WorkPriority::kIdle},
                          [&] {
                            idlePolicy = ::sched_getscheduler(0);
                            idleIo = ::syscall(SYS_ioprio_get, 1, 0) >> 13;
                            looked.count_down();
                          })
                  .ok());
  ASSERT_TRUE(pool.submit({"read"},
                          [&] {
                            normalPolicy = ::sched_getscheduler(0);
                            looked.count_down();
                          })
                  .ok());
  looked.wait();  // what runs while the pool stops yields to nobody
  EXPECT_EQ(idlePolicy, SCHED_IDLE);
  EXPECT_EQ(idleIo, 3);
  EXPECT_EQ(normalPolicy, SCHED_OTHER);
}

TEST(WorkPool, DrainsOrDropsAtStop) {
  for (const auto how : {WorkPool::AtStop::kDrain, WorkPool::AtStop::kDrop}) {
    WorkPool pool(0);
    bool ran = false;
    const auto token = std::make_shared<int>(0);
    ASSERT_TRUE(pool.submit({"job"}, [&ran, token] { ran = true; }).ok());
    pool.stop(how);
    EXPECT_EQ(ran, how == WorkPool::AtStop::kDrain);
    EXPECT_EQ(token.use_count(), 1) << "the job was not destroyed";
    EXPECT_FALSE(pool.submit({"late"}, [] {}).ok());
  }
}

TEST(SerialQueue, RunsInOrderAndOneAtATime) {
  WorkPool pool(4);
  std::vector<int> ran;  // without a lock: the queue is what orders access
  std::latch done(200);
  {
    SerialQueue queue(pool, WorkPriority::kNormal, "/root");
    for (int i = 0; i < 200; ++i) {
      ASSERT_TRUE(queue
                      .submit("write",
                              [&, i] {
                                ran.push_back(i);
                                done.count_down();
                              })
                      .ok());
    }
    done.wait();
  }
  pool.stop(WorkPool::AtStop::kDrain);
  ASSERT_EQ(ran.size(), 200u);
  EXPECT_TRUE(std::is_sorted(ran.begin(), ran.end()));
}

TEST(SerialQueue, TwoQueuesTakeTurns) {
  WorkPool pool(0);
  SerialQueue first(pool, WorkPriority::kNormal, ""), second(pool, WorkPriority::kNormal, "");
  std::vector<std::string> ran;
  for (const char* name : {"a1", "a2"}) {
    ASSERT_TRUE(first.submit(name, [&ran, name] { ran.push_back(name); }).ok());
  }
  ASSERT_TRUE(second.submit("b1", [&] { ran.push_back("b1"); }).ok());
  while (pool.runNext()) {
  }
  EXPECT_THAT(ran, ElementsAre("a1", "b1", "a2"));
}

TEST(SerialQueue, AcceptedJobsRunEvenIfThePoolIsFull) {
  WorkPool pool(0);
  SerialQueue queue(pool, WorkPriority::kNormal, "");
  int ran = 0;
  ASSERT_TRUE(queue
                  .submit("first",
                          [&] {
                            ++ran;
                            while (pool.submit({"filler"}, [] {}).ok()) {
                            }
                          })
                  .ok());
  ASSERT_TRUE(queue.submit("second", [&] { ++ran; }).ok());
  ASSERT_TRUE(pool.runNext("first"));
  EXPECT_EQ(ran, 2);
}

TEST(SerialQueue, IsBusyWhenTooManyWait) {
  WorkPool pool(0);
  SerialQueue queue(pool, WorkPriority::kNormal, "");
  for (size_t i = 0; i < kSerialQueueMax; ++i) ASSERT_TRUE(queue.submit("write", [] {}).ok());
  EXPECT_TRUE(absl::IsAborted(queue.submit("write", [] {})));
}

TEST(SerialQueue, DropsWhatWaitsWhenItGoes) {
  WorkPool pool(0);
  bool ran = false;
  {
    SerialQueue queue(pool, WorkPriority::kNormal, "");
    ASSERT_TRUE(queue.submit("write", [&] { ran = true; }).ok());
  }
  while (pool.runNext()) {
  }
  EXPECT_FALSE(ran);
}

}  // namespace
}  // namespace roost
