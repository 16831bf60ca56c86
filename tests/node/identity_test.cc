#include "node/identity.h"

#include <sys/stat.h>

#include <optional>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/cache/temp_folder.h"

namespace roost {
namespace {

using ::testing::HasSubstr;

TEST(IdentityTest, TheIdStaysAndTheEpochRises) {
  const TempFolder folder;
  std::optional<NodeId> first;
  for (uint64_t start = 1; start <= 3; ++start) {
    const auto identity = Identity::claim(folder / "state");
    ASSERT_TRUE(identity.ok()) << identity.status();
    if (!first) first = identity->id();
    EXPECT_EQ(identity->id(), *first);
    EXPECT_EQ(identity->epoch(), start);
  }
}

TEST(IdentityTest, TwoFoldersAreTwoNodes) {
  const TempFolder folder;
  const auto a = Identity::claim(folder / "a");
  const auto b = Identity::claim(folder / "b");
  ASSERT_TRUE(a.ok() && b.ok());
  EXPECT_NE(a->id(), b->id());
}

TEST(IdentityTest, ASecondAgentOnTheFolderIsToldSo) {
  const TempFolder folder;
  const auto first = Identity::claim(folder.path());
  ASSERT_TRUE(first.ok());
  const auto second = Identity::claim(folder.path());
  EXPECT_TRUE(absl::IsFailedPrecondition(second.status()));
  EXPECT_THAT(std::string(second.status().message()), HasSubstr("another agent uses"));
}

TEST(IdentityTest, TheClaimGoesWithItsOwner) {
  const TempFolder folder;
  {
    auto first = Identity::claim(folder.path());
    ASSERT_TRUE(first.ok());
    const Identity moved = *std::move(first);
    EXPECT_FALSE(Identity::claim(folder.path()).ok());
  }
  EXPECT_TRUE(Identity::claim(folder.path()).ok());
}

TEST(IdentityTest, NobodyElseMayLookIntoTheFolder) {
  const TempFolder folder;
  ASSERT_TRUE(Identity::claim(folder / "deep/state").ok());
  struct stat st;
  ASSERT_EQ(::stat((folder / "deep/state").c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 0777, 0700u);
}

TEST(IdentityTest, AFileOfSomethingElseIsNotOverwritten) {
  for (const std::string text : {"hello\n", "00 1\n", "\n \n x", "0123456789abcdef 7\n"}) {
    const TempFolder folder;
    folder.write("node-id", text);
    const auto identity = Identity::claim(folder.path());
    EXPECT_FALSE(identity.ok()) << text;
    EXPECT_EQ(contentOf(folder / "node-id"), text);
  }
}

TEST(IdentityTest, ALinkInItsPlaceIsNotFollowed) {
  const TempFolder folder;
  folder.write("elsewhere", "");
  std::filesystem::create_symlink(folder / "elsewhere", folder / "node-id");
  EXPECT_FALSE(Identity::claim(folder.path()).ok());
  EXPECT_EQ(contentOf(folder / "elsewhere"), "");
}

}  // namespace
}  // namespace roost
