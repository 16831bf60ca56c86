#include "cache/pip_space.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "tests/cache/temp_folder.h"

namespace roost {
namespace {

class PipSpace : public ::testing::Test {
 protected:
  // Of 100 bytes, read at that second.
  std::string put(char digit, int second) {
    const std::string path =
        absl::StrCat(folder_.path(), "/models--leaf/blobs/", std::string(64, digit));
    std::filesystem::create_directories(std::filesystem::path(path).parent_path());
    std::ofstream(path) << std::string(100, 'x');
    const timespec times[2] = {{second, 0}, {1, 0}};
    utimensat(AT_FDCWD, path.c_str(), times, 0);
    return path;
  }
  TempFolder folder_;
};

TEST_F(PipSpace, WhatWasReadLongestAgoGoesFirst) {
  const std::string old = put('a', 10), older = put('b', 5), recent = put('c', 20);
  EXPECT_EQ(trimPipFiles(folder_.path(), 250, absl::FromUnixSeconds(100)).value(), 100u);
  EXPECT_FALSE(std::filesystem::exists(older));
  EXPECT_TRUE(std::filesystem::exists(old));
  EXPECT_TRUE(std::filesystem::exists(recent));
}

TEST_F(PipSpace, NothingGoesWhileThereIsRoomOrWhileItIsUsed) {
  const std::string file = put('a', 50);
  put('b', 60);
  EXPECT_EQ(trimPipFiles(folder_.path(), 200, absl::FromUnixSeconds(100)).value(), 0u);
  EXPECT_EQ(trimPipFiles(folder_.path(), 0, absl::FromUnixSeconds(40)).value(), 0u);
  EXPECT_TRUE(std::filesystem::exists(file));
}

TEST_F(PipSpace, StrangersAndHalfDoneFilesStay) {
  put('a', 1);
  const std::string stranger = absl::StrCat(folder_.path(), "/models--leaf/blobs/x.part");
  std::ofstream(stranger) << "x";
  EXPECT_EQ(trimPipFiles(folder_.path(), 0, absl::FromUnixSeconds(100)).value(), 100u);
  EXPECT_TRUE(std::filesystem::exists(stranger));
}

}  // namespace
}  // namespace roost
