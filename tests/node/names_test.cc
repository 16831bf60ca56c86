// What people type: repos, node selections, host ranges, mistyped words.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "node/host_range.h"
#include "node/node_selection.h"
#include "node/repo_query.h"
#include "node/spelling.h"
#include "protocol/limits.h"

namespace roost {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

std::string messageOf(const absl::Status& status) {
  return std::string(status.message());
}

TEST(HostRange, ExpandsWithThePaddingOfTheFirstNumber) {
  EXPECT_THAT(*expandHostRange("gpu-[008-011,130]"),
              ElementsAre("gpu-008", "gpu-009", "gpu-010", "gpu-011", "gpu-130"));
}

TEST(HostRange, ExpandsListsAndSeveralBracketsEachNameOnce) {
  EXPECT_THAT(*expandHostRange("login1,r[1-2]n[1-2],login1"),
              ElementsAre("login1", "r1n1", "r1n2", "r2n1", "r2n2"));
}

TEST(HostRange, KeepsTextAfterTheBracket) {
  EXPECT_THAT(*expandHostRange("gpu[1-2].rack"), ElementsAre("gpu1.rack", "gpu2.rack"));
}

TEST(HostRange, RefusesWhatIsNoListWithAReason) {
  const std::vector<std::pair<std::string, std::string>> refused = {
      {"", "empty name"},
      {"a,,b", "empty name"},
      {"gpu-[1-2", "without ']'"},
      {"gpu-1]", "without '['"},
      {"gpu-[1-[2]]", "inside"},
      {"gpu-[2-1]", "backwards"},
      {"gpu-[a-b]", "numbers"},
      {"gpu-[]", "no digit"},
      {"gpu-[1-]", "no digit"},
      {"gpu-[-1]", "no digit"},
      {"g[1-9999]", "more nodes"},
      {"g[0-999999999]", "more nodes"},
      {"g[0-99][0-99]", "more nodes"},
      {"g[1234567890]", "more than 9"}};
  for (const auto& [text, why] : refused) {
    const auto names = expandHostRange(text);
    EXPECT_EQ(names.status().code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_THAT(messageOf(names.status()), HasSubstr(why)) << text;
  }
}

TEST(HostRange, ExpandsUpToTheSizeOfTheLargestCluster) {
  EXPECT_THAT(*expandHostRange(absl::StrCat("g[1-", kMembersMax, "]")), SizeIs(kMembersMax));
}

TEST(NodeSelection, UnitesNamesRangesAndZones) {
  const auto selection = NodeSelection::parse("self,gpu-[01-02],zone=a,login");
  ASSERT_TRUE(selection.ok()) << selection.status();
  EXPECT_FALSE(selection->all);
  EXPECT_TRUE(selection->self);
  EXPECT_THAT(selection->names, ElementsAre("gpu-01", "gpu-02", "login"));
  EXPECT_THAT(selection->zones, ElementsAre("a"));
}

TEST(NodeSelection, TravelsAsTermsThatParseToTheSame) {
  const auto selection = NodeSelection::parse("all,self,n[1-3],zone=b");
  ASSERT_TRUE(selection.ok());
  EXPECT_EQ(*NodeSelection::parse(absl::StrJoin(selection->terms(), ",")), *selection);
}

TEST(NodeSelection, RefusesNamesThatNoNodeCanHave) {
  EXPECT_FALSE(NodeSelection::parse("").ok());
  EXPECT_FALSE(NodeSelection::parse("a b").ok());
  EXPECT_FALSE(NodeSelection::parse("../a").ok());
  EXPECT_FALSE(NodeSelection::parse("zone=").ok());
}

struct RepoCase {
  std::string text, repo, revision;
};

TEST(RepoQuery, ReadsWhatPeopleType) {
  const std::string commit(40, 'a');
  const std::vector<RepoCase> cases = {
      {"org/model", "org/model", ""},
      {"gpt2", "gpt2", ""},
      {"models/org/model", "org/model", ""},
      {"datasets/org/data", "datasets/org/data", ""},
      {"datasets/squad", "datasets/squad", ""},
      {"dataset-caches/Org/MyData@default/0.0.0", "dataset-caches/Org/my_data", "default/0.0.0"},
      {"spaces/org/app@v1.0", "spaces/org/app", "v1.0"},
      {"org/model@refs/pr/1", "org/model", "refs/pr/1"},
      {"org/model@" + commit, "org/model", commit}};
  for (const RepoCase& expected : cases) {
    const auto query = parseRepoQuery(HubOrigin::huggingFace(), expected.text);
    ASSERT_TRUE(query.ok()) << expected.text << query.status();
    EXPECT_EQ(query->repo.toString(), expected.repo);
    EXPECT_EQ(query->revision ? revisionText(*query->revision) : "", expected.revision);
  }
}

TEST(RepoQuery, TakesTheTypeFromTheOption) {
  const auto query = parseRepoQuery(HubOrigin::huggingFace(), "org/data", RepoType::kDataset);
  EXPECT_EQ(query->repo.toString(), "datasets/org/data");
}

TEST(RepoQuery, RefusesAPrefixThatContradictsTheType) {
  const auto query =
      parseRepoQuery(HubOrigin::huggingFace(), "datasets/org/data", RepoType::kModel);
  EXPECT_THAT(messageOf(query.status()), HasSubstr("--type"));
}

TEST(RepoQuery, RefusesNamesThatWouldLeaveTheCache) {
  for (const char* text :
       {"", "@main", "/etc/passwd", "../org/model", "org/..", "a/b/c/d", "org/mo del", "org/model@",
        "org/model@../x", "datasets/", "a--b/c", "org/model@main\n", "org/model.git"}) {
    EXPECT_EQ(parseRepoQuery(HubOrigin::huggingFace(), text).status().code(),
              absl::StatusCode::kInvalidArgument)
        << text;
  }
  EXPECT_FALSE(parseRepoQuery(HubOrigin::huggingFace(), absl::string_view("org/mo\0del", 10)).ok());
}

TEST(Spelling, CountsSwappedNeighboursAsOneMistake) {
  EXPECT_EQ(editDistance("", "abc"), 3u);
  EXPECT_EQ(editDistance("listen", "listen"), 0u);
  EXPECT_EQ(editDistance("lisetn", "listen"), 1u);
  EXPECT_EQ(editDistance("kitten", "sitting"), 3u);
}

TEST(Spelling, TellsATypingMistakeFromAnotherWord) {
  const std::vector<std::string> words = {"status", "warm", "where"};
  EXPECT_EQ(likelyWord("stauts", words), "status");
  EXPECT_EQ(likelyWord("were", words), "where");
  EXPECT_EQ(likelyWord("frobnicate", words), std::nullopt);
  EXPECT_EQ(nearestWord("wa", words), "warm");
  EXPECT_EQ(likelyWord("x", {}), std::nullopt);
}

}  // namespace
}  // namespace roost
