#include "node/scan_schedule.h"

#include <gtest/gtest.h>

#include "tests/cache/hub_folder.h"

namespace roost {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::repoNamed;

class ScanScheduleTest : public ::testing::Test {
 protected:
  static RepoPlace place(const std::string& name) { return {RootIndex{0}, repoNamed(name)}; }
  void change() { schedule_.changed(repo_, now_); }
  void fill() { schedule_.filled(repo_, now_); }
  bool begins() { return schedule_.begin(now_) == repo_; }
  void ends(ScanSchedule::Clock::duration took) {
    now_ += took;
    schedule_.ended(repo_, now_, took);
  }
  // Time goes on until something is due.
  milliseconds waitForDue() {
    const auto due = schedule_.nextDue();
    EXPECT_TRUE(due.has_value());
    const auto waited = std::chrono::duration_cast<milliseconds>(*due - now_);
    now_ = *due;
    return waited;
  }

  ScanSchedule schedule_;
  ScanSchedule::Clock::time_point now_{seconds(1000)};
  const RepoPlace repo_ = place("org/tiny");
};

TEST_F(ScanScheduleTest, ABurstOfChangesIsOneScan30MsAfterTheFirst) {
  change();
  now_ += milliseconds(20);
  change();
  EXPECT_FALSE(begins());
  EXPECT_EQ(waitForDue(), milliseconds(10));
  EXPECT_TRUE(begins());
  ends(milliseconds(1));
  EXPECT_FALSE(begins());
  EXPECT_FALSE(schedule_.nextDue().has_value());
}

TEST_F(ScanScheduleTest, ARepoThatIsFilledIsScannedAFifthOfTheTime) {
  fill();
  waitForDue();
  ASSERT_TRUE(begins());
  ends(seconds(1));
  fill();
  change();  // the watch tells of the same
  EXPECT_FALSE(begins());
  EXPECT_EQ(waitForDue(), seconds(4));
  EXPECT_TRUE(begins());
  fill();  // while it runs
  ends(seconds(1));
  change();
  EXPECT_EQ(waitForDue(), seconds(4));
}

TEST_F(ScanScheduleTest, WhatOthersWriteWaits250MsOrAsLongAsTheScan) {
  const auto pauseAfter = [this](milliseconds took) {
    schedule_.asked(repo_);
    EXPECT_TRUE(begins());
    change();  // while it runs
    ends(took);
    return waitForDue();
  };
  EXPECT_EQ(pauseAfter(milliseconds(1)), milliseconds(29)) << "30 ms after the change";
  EXPECT_EQ(pauseAfter(milliseconds(50)), milliseconds(200));
  EXPECT_EQ(pauseAfter(milliseconds(100)), milliseconds(250));
  EXPECT_EQ(pauseAfter(seconds(2)), seconds(2));
}

TEST_F(ScanScheduleTest, ARepoThatIsFilledNoLongerIsAsAnyOther) {
  fill();
  waitForDue();
  ASSERT_TRUE(begins());
  ends(seconds(1));
  schedule_.asked(repo_);
  ASSERT_TRUE(begins());
  ends(seconds(1));
  change();
  EXPECT_EQ(waitForDue(), seconds(1));
}

TEST_F(ScanScheduleTest, AChangeAfterALongPauseWaitsNoLongerThanAnyOther) {
  change();
  waitForDue();
  ASSERT_TRUE(begins());
  ends(seconds(1));
  now_ += seconds(10);
  change();
  EXPECT_EQ(waitForDue(), milliseconds(30));
}

TEST_F(ScanScheduleTest, AScanThatWasStuckSilencesItsRepoFor20SAtMost) {
  schedule_.asked(repo_);
  ASSERT_TRUE(begins());
  ends(std::chrono::hours(1));
  change();
  EXPECT_EQ(waitForDue(), seconds(20));
}

TEST_F(ScanScheduleTest, WhoAsksWaitsForNoPause) {
  schedule_.asked(repo_);
  ASSERT_TRUE(begins());
  ends(seconds(1));
  change();
  EXPECT_FALSE(begins());
  schedule_.asked(repo_);
  EXPECT_TRUE(begins());
  EXPECT_FALSE(schedule_.nextDue().has_value()) << "that scan answers for the change too";
}

TEST_F(ScanScheduleTest, WhoAsksWhileAScanRunsGetsTheNextOne) {
  schedule_.asked(repo_);
  ASSERT_TRUE(begins());
  schedule_.asked(repo_);
  schedule_.asked(repo_);
  EXPECT_FALSE(begins()) << "one scan of a repo at a time";
  ends(seconds(1));
  EXPECT_TRUE(begins());
  ends(seconds(1));
  EXPECT_FALSE(begins());
  EXPECT_TRUE(schedule_.idle());
}

TEST_F(ScanScheduleTest, FourScansRunAtATime) {
  for (const char* name : {"a/1", "a/2", "a/3", "a/4", "a/5"}) schedule_.asked(place(name));
  for (const char* name : {"a/1", "a/2", "a/3", "a/4"})
    EXPECT_EQ(schedule_.begin(now_), place(name));
  EXPECT_FALSE(schedule_.begin(now_).has_value());
  EXPECT_FALSE(schedule_.idle());
  schedule_.ended(place("a/2"), now_, milliseconds(1));
  EXPECT_EQ(schedule_.begin(now_), place("a/5"));
}

TEST_F(ScanScheduleTest, ARepoThatIsGoneIsForgottenUnlessItChangedMeanwhile) {
  schedule_.asked(repo_);
  ASSERT_TRUE(begins());
  change();
  ends(milliseconds(1));
  schedule_.gone(repo_);
  EXPECT_TRUE(schedule_.knows(repo_));
  waitForDue();
  ASSERT_TRUE(begins());
  ends(milliseconds(1));
  schedule_.gone(repo_);
  EXPECT_FALSE(schedule_.knows(repo_));
}

}  // namespace
}  // namespace roost
