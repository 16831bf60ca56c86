#include "cluster/envoys.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "absl/random/random.h"
#include "absl/strings/str_cat.h"
#include "cluster/core.h"
#include "cluster/hub_answers.h"
#include "protocol/limits.h"

namespace roost {
namespace {

using ::testing::ElementsAre;

RepoId repo(int number) {
  return *RepoId::make(HubOrigin::huggingFace(), RepoType::kModel, absl::StrCat("org/m", number));
}
NodeId node(uint64_t number) {
  return NodeId::ofNumber(number);
}
std::vector<NodeId> nodes(uint64_t count) {
  std::vector<NodeId> all;
  for (uint64_t i = 1; i <= count; ++i) all.push_back(node(i));
  return all;
}
absl::Time at(int seconds) {
  return absl::FromUnixSeconds(1'000'000 + seconds);
}

TEST(Envoys, AllNodesNameTheSame) {
  for (int i = 0; i < 100; ++i) {
    const NodeId first = Envoys(node(1)).envoyOf(repo(i), nodes(4), at(0));
    for (uint64_t self = 2; self <= 4; ++self) {
      EXPECT_EQ(Envoys(node(self)).envoyOf(repo(i), nodes(4), at(0)), first);
    }
  }
}

TEST(Envoys, ReposAreSpreadOverTheMembers) {
  std::map<NodeId, int> count;
  for (int i = 0; i < 400; ++i) ++count[Envoys(node(1)).envoyOf(repo(i), nodes(4), at(0))];
  for (uint64_t number = 1; number <= 4; ++number) EXPECT_GT(count[node(number)], 60);
}

TEST(Envoys, OneThatFailedIsPassedOverForAWhile) {
  Envoys envoys(node(1));
  const NodeId first = envoys.envoyOf(repo(1), nodes(4), at(0));
  envoys.failed(first, at(0));
  EXPECT_NE(envoys.envoyOf(repo(1), nodes(4), at(1)), first);
  const absl::Time later = at(0) + kEnvoyRest;
  EXPECT_EQ(envoys.envoyOf(repo(1), nodes(4), later), first);
}

TEST(Envoys, WithoutAnyMemberThisNodeAsks) {
  Envoys envoys(node(1));
  EXPECT_EQ(envoys.envoyOf(repo(1), {}, at(0)), node(1));
  envoys.failed(node(2), at(0));
  EXPECT_EQ(envoys.envoyOf(repo(1), {node(2)}, at(1)), node(1));
}

MemberInfo member(uint64_t number, uint64_t features) {
  MemberInfo info{node(number)};
  info.epoch = 1;
  info.instance = number;
  info.name = absl::StrCat("n", number);
  info.features = features;
  return info;
}

TEST(Envoys, MembersOfEarlierVersionsAndThoseWithoutAHubAreNotAsked) {
  absl::BitGen random;
  Core core({.self = member(1, kFeatureAsksHub)}, random);
  core.on(LinkUp{member(2, 0), std::nullopt}, at(0));
  core.on(LinkUp{member(3, kFeatureAsksHub | 1 << 7), std::nullopt}, at(0));
  core.on(Tick{}, at(0));
  EXPECT_THAT(core.membersWith(kFeatureAsksHub), ElementsAre(node(1), node(3)));
}

HubWord word(const std::string& body, absl::Time when = at(0)) {
  return {200, {{"x-a", "b"}}, body, when};
}

TEST(HubAnswers, TheLastWordCounts) {
  HubAnswers answers;
  answers.keep("q", word("old"));
  answers.keep("q", word("new", at(1)));
  ASSERT_NE(answers.find("q"), nullptr);
  EXPECT_EQ(answers.find("q")->body, "new");
  EXPECT_EQ(answers.find("other"), nullptr);
}

TEST(HubAnswers, TheOldestGoWhenThereIsNoRoom) {
  HubAnswers answers;
  const std::string large(kHubAnswersBytesMax / 10, 'x');
  for (int i = 0; i < 20; ++i) answers.keep(absl::StrCat("q", i), word(large));
  EXPECT_EQ(answers.find("q0"), nullptr);
  EXPECT_NE(answers.find("q19"), nullptr);
}

TEST(HubAnswers, OneThatWouldPushOutAllOthersIsNotKept) {
  HubAnswers answers;
  answers.keep("small", word("x"));
  answers.keep("huge", word(std::string(kHubAnswersBytesMax / 8 + 1, 'x')));
  EXPECT_EQ(answers.find("huge"), nullptr);
  EXPECT_NE(answers.find("small"), nullptr);
}

TEST(HubAnswers, OneThatIsTooLargeNowIsNotAnsweredByItsOldForm) {
  HubAnswers answers;
  answers.keep("q", word("x"));
  answers.keep("q", word(std::string(kHubAnswersBytesMax / 8 + 1, 'x')));
  EXPECT_EQ(answers.find("q"), nullptr);
}

TEST(HubAnswers, TheNumberIsLimitedToo) {
  HubAnswers answers;
  for (size_t i = 0; i <= kHubAnswersCachedMax; ++i) answers.keep(absl::StrCat(i), word(""));
  EXPECT_EQ(answers.find("0"), nullptr);
  EXPECT_NE(answers.find("1"), nullptr);
}

}  // namespace
}  // namespace roost
