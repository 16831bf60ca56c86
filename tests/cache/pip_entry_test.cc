#include "cache/pip_entry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "cache/pip_cache.h"
#include "tests/cache/hub_folder.h"
#include "tests/cache/temp_folder.h"

namespace roost {
namespace {

using ::testing::IsEmpty;
using testing::sha256Of;
using ::testing::StartsWith;
using ::testing::UnorderedElementsAre;

constexpr char kUrl[] = "https://files.example/packages/09/x/leaf-1.0-py3-none-any.whl";
constexpr char kKey[] = "1d6ef242a5606d355e2887ca69f57fb12b815bbd6ca2bb52c5e8e4ec";
const absl::Time kNow = absl::FromUnixSeconds(1'767'225'600);  // 2026-01-01

// Each line: what stands in a page, and what pip 26.3 and 23.2.1 ask for.
TEST(PipRequestUrl, IsWhatPipMakesOfIt) {
  EXPECT_EQ(pipRequestUrl(kUrl), kUrl);
  EXPECT_EQ(pipRequestUrl("https://Files.Example:443/a b/torch-2.0+cu118-cp311.whl#sha256=ab"),
            "https://files.example:443/a%20b/torch-2.0%2Bcu118-cp311.whl");
  EXPECT_EQ(pipRequestUrl("https://f.example/whl/torch-2.0%2Bcu118.whl"),
            "https://f.example/whl/torch-2.0%2Bcu118.whl");
  EXPECT_EQ(pipRequestUrl("http://127.0.0.1:8080/p/~u/x@y/l%2f%7Em-1.0.whl?sig=a%2fb&c=d"),
            "http://127.0.0.1:8080/p/~u/x@y/l%2F~m-1.0.whl?sig=a%2Fb&c=d");
  EXPECT_EQ(pipRequestUrl("https://f.example/\xc3\xa4/l-1.0.whl"),
            "https://f.example/%C3%A4/l-1.0.whl");
  EXPECT_EQ(pipRequestUrl("https://f.example/%zz/l!('*).whl"),
            "https://f.example/%25zz/l%21%28%27%2A%29.whl");
  EXPECT_EQ(pipRequestUrl("https://f.example"), "https://f.example/");
}

TEST(PipEntryPlace, IsTheSha224OfTheUrl) {
  EXPECT_EQ(pipEntryPlace(kUrl), absl::StrCat("http-v2/1/d/6/e/f/", kKey));
}

TEST(PipEntryHeaders, AreAFreshAnswerForGood) {
  const std::string text = pipEntryHeaders(1234, kNow);
  ASSERT_THAT(text, StartsWith("cc=4,"));
  const auto entry = nlohmann::json::from_msgpack(text.substr(5));
  EXPECT_EQ(entry["vary"], nlohmann::json::object());
  const auto& response = entry["response"];
  EXPECT_TRUE(response["body"].is_binary());
  EXPECT_EQ(response["status"], 200);
  EXPECT_EQ(response["headers"]["Content-Length"], "1234");
  EXPECT_EQ(response["headers"]["Date"], "Thu, 01 Jan 2026 00:00:00 GMT");
  EXPECT_EQ(response["headers"]["Cache-Control"], "max-age=365000000, immutable, public");
}

class PipEntry : public ::testing::Test {
 protected:
  std::shared_ptr<const LocalBlob> content(const std::string& text, const BlobId& id) {
    const std::string path = folder_.write("content", text);
    return LocalBlob::open(path, {id, text.size()}, FileStamp::ofPath(path).value(), nullptr)
        .value();
  }
  std::string cache() const { return folder_ / "made/pip"; }
  std::string body() const { return absl::StrCat(cache(), "/", pipEntryPlace(kUrl), ".body"); }
  absl::Status write(const LocalBlob& content) {
    return writePipEntry(cache(), kUrl, content, Reservations::create(), kNow);
  }
  std::vector<std::string> files() const {
    std::vector<std::string> all;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(cache())) {
      if (entry.is_regular_file()) all.push_back(entry.path().filename());
    }
    return all;
  }

  const std::string text_ = std::string(3 << 20, 'x') + "end";
  const BlobInfo blob_{sha256Of(text_), text_.size()};
  TempFolder folder_;
};

TEST_F(PipEntry, IsThereOnceItIsWritten) {
  EXPECT_FALSE(hasPipEntry(cache(), kUrl, blob_));
  ASSERT_TRUE(write(*content(text_, blob_.id)).ok());
  EXPECT_TRUE(hasPipEntry(cache(), kUrl, blob_));
  EXPECT_THAT(files(), UnorderedElementsAre(kKey, absl::StrCat(kKey, ".body")));
  EXPECT_FALSE(hasPipEntry(cache(), "https://files.example/other.whl", blob_));
}

TEST_F(PipEntry, WhatIsNoneOfTheBlobIsNotThereAndIsReplaced) {
  ASSERT_TRUE(write(*content(text_, blob_.id)).ok());
  std::string other = text_;
  other[5] = 'y';
  std::ofstream(body(), std::ios::binary) << other;
  EXPECT_FALSE(hasPipEntry(cache(), kUrl, blob_));
  ASSERT_TRUE(write(*content(text_, blob_.id)).ok());
  EXPECT_TRUE(hasPipEntry(cache(), kUrl, blob_));
  std::filesystem::remove(absl::StrCat(cache(), "/", pipEntryPlace(kUrl)));
  EXPECT_FALSE(hasPipEntry(cache(), kUrl, blob_)) << "without headers it is none";
}

TEST_F(PipEntry, OtherContentIsNeverWritten) {
  std::string other = text_;
  other[5] = 'y';
  EXPECT_EQ(write(*content(other, blob_.id)).code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(files(), IsEmpty());
}

TEST_F(PipEntry, ALinkInTheCacheIsNotFollowed) {
  std::filesystem::create_directories(cache());
  std::filesystem::create_directories(folder_ / "elsewhere");
  std::filesystem::create_symlink(folder_ / "elsewhere", absl::StrCat(cache(), "/http-v2"));
  EXPECT_FALSE(write(*content(text_, blob_.id)).ok());
  EXPECT_TRUE(std::filesystem::is_empty(folder_ / "elsewhere"));
}

TEST_F(PipEntry, AFullDiskIsSaidBeforeAnythingIsWritten) {
  const auto full = Reservations::create(0, [](int) -> absl::StatusOr<uint64_t> { return 1000; });
  const auto file = content(text_, blob_.id);
  EXPECT_EQ(writePipEntry(cache(), kUrl, *file, full, kNow).code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(files(), IsEmpty());
}

}  // namespace
}  // namespace roost
