#include "cache/tree_json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/cache/hub_folder.h"

namespace roost {
namespace {

using testing::commitOf;
using testing::gitSha1Of;
using testing::HubFolder;
using testing::repoNamed;
using testing::sha256Of;

absl::StatusOr<Listing> parsed(absl::string_view text) {
  return parseTreeJson(text, repoNamed("org/tiny"), commitOf('a'));
}

const std::string kSha1(40, '1');
const std::string kSha256(64, '2');

TEST(TreeJson, IsACompleteListingWithPointers) {
  const auto listing =
      parsed(HubFolder::treeJson({{"z.bin", "weights", true}, {"a/b.json", "{}"}}));
  ASSERT_TRUE(listing.ok()) << listing.status();
  EXPECT_TRUE(listing->complete);
  ASSERT_EQ(listing->files.size(), 2u);
  EXPECT_EQ(listing->files[0].path.text(), "a/b.json");
  EXPECT_EQ(listing->files[0].blob, (BlobInfo{gitSha1Of("{}"), 2}));
  EXPECT_FALSE(listing->files[0].pointer.has_value());
  EXPECT_EQ(listing->files[1].blob, (BlobInfo{sha256Of("weights"), 7}));
  EXPECT_EQ(BlobId::gitSha1(*listing->files[1].pointer), gitSha1Of("pointer of weights"));
}

TEST(TreeJson, UnknownKeysArePassedOver) {
  const auto listing = parsed(R"({"made_by":{"tool":["x",{"size":"y"}]},"format_version":1,
      "files":{"a":{"size":1,"blob_id":")" +
                              kSha1 +
                              R"(","xet_hash":"z","security":{"safe":true,"size":null},"n":-1.5}},
      "more":[[],{}]})");
  ASSERT_TRUE(listing.ok()) << listing.status();
  EXPECT_EQ(listing->files.size(), 1u);
}

TEST(TreeJson, AnEmptyRepoIsARepo) {
  const auto listing = parsed(R"({"format_version":1,"files":{}})");
  ASSERT_TRUE(listing.ok());
  EXPECT_TRUE(listing->files.empty());
}

class Refused : public ::testing::TestWithParam<std::string> {};

TEST_P(Refused, IsNoTree) {
  const auto listing = parsed(GetParam());
  EXPECT_TRUE(absl::IsInvalidArgument(listing.status())) << GetParam();
}

std::string withFile(const std::string& file) {
  return R"({"format_version":1,"files":{)" + file + "}}";
}

INSTANTIATE_TEST_SUITE_P(
    Documents, Refused,
    ::testing::Values("", "null", "1", "\"x\"", "[]", "{}", "[[[[", "{\"format_version\":1}",
                      R"({"files":{}})", R"({"format_version":2,"files":{}})",
                      R"({"format_version":"1","files":{}})", R"({"format_version":{},"files":{}})",
                      R"({"format_version":1,"files":[]})", R"({"format_version":1,"files":null})",
                      R"({"format_version":1,"files":{}}x)", R"({"format_version":1,"files":{})",
                      R"({"format_version":1,"files":{},"files":{}})",
                      R"({"format_version":1,"files":{},"x":)" + std::string(100, '[') +
                          std::string(100, ']') + "}"));

INSTANTIATE_TEST_SUITE_P(
    Files, Refused,
    ::testing::Values(withFile(R"("a":1)"), withFile(R"("a":[])"), withFile(R"("a":{})"),
                      withFile(R"("a":{"size":1})"),
                      withFile(R"("a":{"blob_id":")" + kSha1 + R"("})"),
                      withFile(R"("a":{"size":-1,"blob_id":")" + kSha1 + R"("})"),
                      withFile(R"("a":{"size":1.5,"blob_id":")" + kSha1 + R"("})"),
                      withFile(R"("a":{"size":[1],"blob_id":")" + kSha1 + R"("})"),
                      withFile(R"("a":{"size":99999999999999999,"blob_id":")" + kSha1 + R"("})"),
                      withFile(R"("a":{"size":1,"blob_id":")" + kSha256 + R"("})"),
                      withFile(R"("a":{"size":1,"blob_id":"../x"})"),
                      withFile(R"("a":{"size":1,"blob_id":")" + kSha1 + R"(","lfs_sha256":")" +
                               kSha1 + R"("})"),
                      withFile(R"("../a":{"size":1,"blob_id":")" + kSha1 + R"("})"),
                      withFile(R"("/a":{"size":1,"blob_id":")" + kSha1 + R"("})"),
                      withFile(R"("a\u0000b":{"size":1,"blob_id":")" + kSha1 + R"("})"),
                      withFile(R"("a":{"size":1,"blob_id":")" + kSha1 +
                               R"("},"a":{"size":1,"blob_id":")" + kSha1 + R"("})"),
                      withFile(R"("a":{"size":1,"blob_id":")" + kSha1 +
                               R"("},"a/b":{"size":1,"blob_id":")" + kSha1 + R"("})")));

}  // namespace
}  // namespace roost
