#include "cache/disk_space.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <future>
#include <thread>

#include "cache/unique_fd.h"
#include "tests/cache/temp_folder.h"

namespace roost {
namespace {

using ::testing::HasSubstr;

class ReservationsTest : public ::testing::Test {
 protected:
  absl::StatusOr<Reservation> reserve(uint64_t bytes) {
    return reservations_->reserve(fd_.get(), "blob", bytes);
  }

  TempFolder folder_;
  UniqueFd fd_{::open(folder_.path().c_str(), O_RDONLY | O_DIRECTORY)};
  uint64_t free_ = 1000;
  std::shared_ptr<Reservations> reservations_ =
      Reservations::create(100, [this](int) { return absl::StatusOr<uint64_t>(free_); });
};

TEST_F(ReservationsTest, WritersTogetherDoNotOverbook) {
  const auto first = reserve(500);
  ASSERT_TRUE(first.ok());
  EXPECT_TRUE(absl::IsResourceExhausted(reserve(401).status()));
  EXPECT_TRUE(reserve(400).ok());
}

TEST_F(ReservationsTest, RoomComesBackWhenAWriterGoes) {
  { const auto reservation = reserve(900); }
  EXPECT_EQ(*reservations_->available(folder_.path()), 900u);
}

TEST_F(ReservationsTest, WhatIsOnTheDiskIsNotCountedTwice) {
  auto reservation = reserve(600);
  free_ -= 200;  // written
  reservation->spend(200);
  EXPECT_EQ(*reservations_->available(folder_.path()), 300u);
  reservation->spend(9999);
  EXPECT_EQ(reservation->bytes(), 0u);
}

TEST_F(ReservationsTest, AFullDiskHasNothingToGive) {
  free_ = 50;  // less than what is kept
  EXPECT_EQ(*reservations_->available(folder_.path()), 0u);
  EXPECT_TRUE(reserve(0).ok());
  EXPECT_TRUE(absl::IsResourceExhausted(reserve(1).status()));
}

TEST(Reservations, AMountThatHangsHoldsNobodyElse) {
  const TempFolder slow, quick;
  const UniqueFd slowFd(::open(slow.path().c_str(), O_RDONLY | O_DIRECTORY));
  const UniqueFd quickFd(::open(quick.path().c_str(), O_RDONLY | O_DIRECTORY));
  std::promise<void> asked, answered;
  const auto reservations = Reservations::create(0, [&](int fd) {
    if (fd == slowFd.get()) {
      asked.set_value();
      answered.get_future().wait();
    }
    return absl::StatusOr<uint64_t>(1000);
  });
  std::thread hangs([&] { EXPECT_TRUE(reservations->reserve(slowFd.get(), "slow", 1).ok()); });
  asked.get_future().wait();
  { EXPECT_TRUE(reservations->reserve(quickFd.get(), "quick", 1).ok()); }  // and given back
  answered.set_value();
  hangs.join();
}

TEST(FreeBytes, TellsOfRealFolders) {
  const TempFolder folder;
  EXPECT_GT(*freeBytes(folder.path()), 0u);
  EXPECT_TRUE(absl::IsNotFound(freeBytes(folder / "missing").status()));
}

TEST(CheckWritable, AcceptsAnOwnFolderAndRefusesAFile) {
  const TempFolder folder;
  EXPECT_TRUE(checkWritable(folder.path()).ok());
  EXPECT_TRUE(absl::IsNotFound(checkWritable(folder / "missing")));
  const absl::Status status = checkWritable(folder.write("file", ""));
  EXPECT_TRUE(absl::IsPermissionDenied(status));
  EXPECT_THAT(status.message(), HasSubstr("not a folder"));
}

}  // namespace
}  // namespace roost
