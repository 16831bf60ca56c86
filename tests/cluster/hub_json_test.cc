// The hub's JSON: strict where it matters, indifferent to what it does not know.
#include "cluster/hub_json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"

namespace roost {
namespace {

using ::testing::HasSubstr;

constexpr char kSha1[] = "89abcdef0123456789abcdef0123456789abcdef";
const std::string kSha256(64, 'a');

std::string entry(const std::string& fields) {
  return absl::StrCat(R"([{"type":"file","path":"w.bin",)", fields, "}]");
}

std::string git() {
  return absl::StrCat(R"("oid":")", kSha1, R"(",)");
}

TEST(TreePage, LfsFileIsNamedByItsSha256) {
  const auto page = parseTreePage(
      entry(absl::StrCat(git(), R"("lfs":{"oid":")", kSha256, R"(","size":7},"size":7)")));
  ASSERT_TRUE(page.ok()) << page.status();
  EXPECT_EQ(page->files[0].blob.id.hex(), kSha256);
  EXPECT_EQ(hexOf(*page->files[0].pointer), kSha1);
}

TEST(TreePage, NullLfsIsAGitFile) {
  const auto page = parseTreePage(entry(absl::StrCat(git(), R"("lfs":null,"size":7)")));
  ASSERT_TRUE(page.ok()) << page.status();
  EXPECT_EQ(page->files[0].blob.id.hex(), kSha1);
}

TEST(TreePage, FoldersAndUnknownTypesAreNoFiles) {
  const auto page = parseTreePage(
      R"([{"type":"directory","path":"../x"},{"type":"submodule","path":"y","deep":{"type":"file"}}])");
  ASSERT_TRUE(page.ok()) << page.status();
  EXPECT_TRUE(page->files.empty());
  EXPECT_EQ(page->entries, 2u);
}

TEST(TreePage, EmptyListIsAPage) {
  EXPECT_TRUE(parseTreePage("[]").ok());
}

class BadTreePage : public ::testing::TestWithParam<std::string> {};

TEST_P(BadTreePage, IsRefused) {
  const auto page = parseTreePage(GetParam());
  EXPECT_EQ(page.status().code(), absl::StatusCode::kInternal) << GetParam();
}

INSTANTIATE_TEST_SUITE_P(
    All, BadTreePage,
    ::testing::Values(
        "", "{}", "[", "[1]", "null", "[] x", "\"[]\"", "[{\"type\":\"file\"}]",
        entry(R"("oid":"00","size":7)"), entry(absl::StrCat(git(), R"("size":-7)")),
        entry(absl::StrCat(git(), R"("size":7.5)")),
        entry(absl::StrCat(git(), R"("size":99999999999999999)")),
        entry(absl::StrCat(git(), R"("size":"7")")),
        entry(absl::StrCat(R"("oid":")", kSha256, R"(","size":7)")),
        entry(absl::StrCat(git(), R"("size":7,"lfs":{})")),
        entry(absl::StrCat(git(), R"("size":8,"lfs":{"size":7,"oid":")", kSha256, R"("})")),
        entry(absl::StrCat(git(), R"("size":7,"lfs":{"size":7,"oid":")", kSha1, R"("})")),
        std::string(100'000, '['), "[{\"type\":\"file\",\"path\":\"\xff\"}]"));

TEST(TreePage, BadEntryIsNamed) {
  EXPECT_THAT(std::string(parseTreePage(entry(R"("oid":"zz","size":7)")).status().message()),
              HasSubstr("w.bin"));
}

TEST(Revision, WithoutThePrivateFieldVisibilityIsUnknown) {
  const auto answer = parseHubRevision(absl::StrCat(R"({"sha":")", kSha1, R"("})"));
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->visibility, Visibility::kUnknown);
}

TEST(Revision, PrivateWinsOverGated) {
  EXPECT_EQ(
      parseHubRevision(absl::StrCat(R"({"gated":"manual","private":true,"sha":")", kSha1, R"("})"))
          ->visibility,
      Visibility::kPrivate);
  EXPECT_EQ(
      parseHubRevision(absl::StrCat(R"({"gated":false,"private":false,"sha":")", kSha1, R"("})"))
          ->visibility,
      Visibility::kPublic);
}

TEST(Revision, IsRefusedWithoutACommitOrWithABadFile) {
  EXPECT_FALSE(parseHubRevision("{}").ok());
  EXPECT_FALSE(parseHubRevision(R"({"sha":"main"})").ok());
  EXPECT_FALSE(parseHubRevision(R"({"sha":7})").ok());
  EXPECT_THAT(std::string(parseHubRevision(absl::StrCat(R"({"sha":")", kSha1,
                                                        R"(","siblings":[{"rfilename":"/etc"}]})"))
                              .status()
                              .message()),
              HasSubstr("/etc"));
}

}  // namespace
}  // namespace roost
