#include "cache/pip_cache.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "cache/unique_fd.h"
#include "tests/cache/temp_folder.h"

namespace roost {
namespace {

using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::IsEmpty;

// What is looked at of a zip.
std::string zipWith(const std::string& entry) {
  return absl::StrCat(std::string("PK\x03\x04", 4), "content", entry, std::string("PK\x05\x06", 4),
                      std::string(18, '\0'));
}
const std::string kWheel = zipWith("leaf-1.0.dist-info/WHEEL");
constexpr char kPlace[] = "http-v2/0/9/b/a/8/09ba82d1";

class PipCache : public ::testing::Test {
 protected:
  void put(const std::string& place, const std::string& content) {
    const std::filesystem::path path = std::filesystem::path(folder_.path()) / place;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary) << content;
  }
  std::vector<std::string> wheels() {
    const auto root = scanPipRoot(folder_.path(), origin_);
    if (!root.ok() || root->repos.empty()) return {};
    const auto scan = reader_.scan(folder_.path(), root->repos[0]);
    std::vector<std::string> places;
    for (const ScannedCopy& copy : scan.value().copies) places.push_back(copy.place);
    return places;
  }

  TempFolder folder_;
  const HubOrigin origin_ = HubOrigin::parse("https://index.example/simple").value();
  PipCacheReader reader_;
};

TEST_F(PipCache, AWheelWithItsHeadersIsShown) {
  put(kPlace, "cc=4,");
  put(absl::StrCat(kPlace, ".body"), kWheel);
  EXPECT_THAT(wheels(), ElementsAre(absl::StrCat(kPlace, ".body")));
}

TEST_F(PipCache, TheMetadataOfAWheelIsShown) {
  put(kPlace, "cc=4,");
  put(absl::StrCat(kPlace, ".body"), "Metadata-Version: 2.1\nName: leaf\n");
  EXPECT_THAT(wheels(), ElementsAre(absl::StrCat(kPlace, ".body")));
}

TEST_F(PipCache, ABodyWithoutHeadersIsNotCompleteYet) {
  put(absl::StrCat(kPlace, ".body"), kWheel);
  EXPECT_THAT(wheels(), IsEmpty());
}

TEST_F(PipCache, WhatIsNoWheelIsLeftAlone) {
  for (const std::string& other :
       {std::string("{\"files\":[]}"), zipWith("leaf/setup.py"), std::string()}) {
    put(kPlace, "cc=4,");
    put(absl::StrCat(kPlace, ".body"), other);
    EXPECT_THAT(wheels(), IsEmpty()) << other;
  }
}

TEST_F(PipCache, OnlyThisLayoutIsRead) {
  put("http/0/9/b/a/8/09ba82d1.body", kWheel);
  put("http/0/9/b/a/8/09ba82d1", kWheel);
  put("wheels/aa/bb/cc/x.body", kWheel);
  EXPECT_THAT(wheels(), IsEmpty());
}

TEST_F(PipCache, ALinkIsNotFollowed) {
  put("elsewhere", kWheel);
  put(kPlace, "cc=4,");
  std::filesystem::create_symlink(
      std::filesystem::path(folder_.path()) / "elsewhere",
      std::filesystem::path(folder_.path()) / absl::StrCat(kPlace, ".body"));
  EXPECT_THAT(wheels(), IsEmpty());
}

TEST_F(PipCache, WhatWasLookedAtIsLookedAtAgainWhenItChanges) {
  put(kPlace, "cc=4,");
  put(absl::StrCat(kPlace, ".body"), "no wheel");
  EXPECT_THAT(wheels(), IsEmpty());
  put(absl::StrCat(kPlace, ".body"), kWheel);
  EXPECT_THAT(wheels(), ElementsAre(absl::StrCat(kPlace, ".body")));
}

}  // namespace
}  // namespace roost
