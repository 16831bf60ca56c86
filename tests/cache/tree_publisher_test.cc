#include "cache/tree_publisher.h"

#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/match.h"
#include "cache/finished_directory.h"
#include "cache/tree_scope.h"
#include "gmock/gmock.h"
#include "tests/cache/hub_folder.h"
#include "tests/cache/temp_folder.h"

namespace roost {
namespace {

using ::testing::IsEmpty;
using testing::sha256Of;
using ::testing::SizeIs;
using Contents = std::map<std::string, std::string>;  // by path

class TreePublisherTest : public ::testing::Test {
 protected:
  TreePublisher publisher() const {
    auto opened = TreePublisher::open(folder_.path(), node_, Reservations::create());
    EXPECT_TRUE(opened.ok()) << opened.status();
    return *std::move(opened);
  }
  // As a fetch leaves it.
  void stage(const std::string& content) const {
    const auto slot =
        publisher().staging().blobs().blobSlot(tree_, {sha256Of(content), content.size()});
    ASSERT_TRUE(slot.ok()) << slot.status();
    std::ofstream(slot->path(), std::ios::binary) << content;
  }
  Listing listing(const Contents& files, bool executable = false) const {
    Listing listing{tree_, finishedCommit({}), true, Visibility::kPrivate, {}};
    for (const auto& [path, text] : files) {
      listing.files.push_back({*RelativePath::parse(path),
                               {sha256Of(text), text.size()},
                               std::nullopt,
                               std::nullopt,
                               executable});
    }
    return listing;
  }
  absl::StatusOr<ShownFinished> arrive(const Contents& files) const {
    for (const auto& [path, text] : files) stage(text);
    return publisher().show(listing(files), {}, {});
  }
  // Of what a program sees.
  Contents contents() const {
    Contents found;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder_.path())) {
      const std::string path = std::filesystem::relative(entry.path(), folder_.path());
      if (entry.is_regular_file() && !absl::StartsWith(path, kStagingFolder)) {
        found[path] = contentOf(entry.path());
      }
    }
    return found;
  }

  TempFolder folder_;
  const NodeId node_ = NodeId::ofNumber(1);
  const RepoId tree_ = *treeRepo(HubOrigin::huggingFace(), "triton", *TreeScope::parse("x"));
};

TEST_F(TreePublisherTest, AllComesToItsPlace) {
  const Contents files = {{"a/b/k", "deep"}, {"a/k", "code"}, {"top", "top"}};

  const auto shown = arrive(files);

  ASSERT_TRUE(shown.ok()) << shown.status();
  EXPECT_EQ(contents(), files);
  EXPECT_THAT(shown->placed, SizeIs(3));
  EXPECT_THAT(shown->leftAlone, IsEmpty());
  for (const PlacedFile& file : shown->placed) EXPECT_NE(file.after.inode, 0u);
}

TEST_F(TreePublisherTest, EqualContentIsNeverOneFileOfTwoNames) {
  ASSERT_TRUE(arrive({{"a/1", "equal"}, {"a/2", "equal"}, {"b/1", "equal"}}).ok());

  for (const char* path : {"a/1", "a/2", "b/1"}) {
    struct stat info {};
    ASSERT_EQ(::stat((folder_ / path).c_str(), &info), 0);
    EXPECT_EQ(info.st_nlink, 1u) << path;
    EXPECT_EQ(contentOf(folder_ / path), "equal");
  }
}

TEST_F(TreePublisherTest, WhatIsThereIsKeptAndWhatIsMissingAdded) {
  folder_.write("a/1", "one");
  struct stat before {
  }, after{};
  ASSERT_EQ(::stat((folder_ / "a/1").c_str(), &before), 0);

  const auto shown = arrive({{"a/1", "one"}, {"a/2", "two"}});

  ASSERT_TRUE(shown.ok()) << shown.status();
  EXPECT_EQ(contents(), (Contents{{"a/1", "one"}, {"a/2", "two"}}));
  ASSERT_EQ(::stat((folder_ / "a/1").c_str(), &after), 0);
  EXPECT_EQ(before.st_ino, after.st_ino);
}

TEST_F(TreePublisherTest, ADirectoryOfOtherContentIsLeftAlone) {
  folder_.write("a/1", "own");

  const auto shown = arrive({{"a/1", "one"}, {"a/2", "two"}, {"b/1", "one"}});

  ASSERT_TRUE(shown.ok()) << shown.status();
  EXPECT_EQ(contents(), (Contents{{"a/1", "own"}, {"b/1", "one"}}));
  EXPECT_THAT(shown->leftAlone, SizeIs(1));
}

TEST_F(TreePublisherTest, LinksInTheWayLeadNowhere) {
  TempFolder elsewhere;
  std::filesystem::create_directory_symlink(elsewhere.path(), folder_ / "a");
  std::filesystem::create_symlink(elsewhere / "x", folder_ / "top");

  const auto shown = arrive({{"a/1", "one"}, {"top", "top"}});

  ASSERT_TRUE(shown.ok()) << shown.status();
  EXPECT_TRUE(std::filesystem::is_empty(elsewhere.path()));
  EXPECT_THAT(shown->leftAlone, SizeIs(2));
}

TEST_F(TreePublisherTest, ExecutablesAreExecutable) {
  stage("code");

  ASSERT_TRUE(publisher().show(listing({{"run", "code"}}, /*executable=*/true), {}, {}).ok());

  struct stat info {};
  ASSERT_EQ(::stat((folder_ / "run").c_str(), &info), 0);
  EXPECT_NE(info.st_mode & S_IXUSR, 0u);
}

TEST_F(TreePublisherTest, PathsThatATreeCannotHaveAreRefused) {
  stage("code");
  for (const char* path : {".roost-staging/x", "tmp.1/x", "a.lock", ".cache/huggingface/x"}) {
    EXPECT_EQ(publisher().show(listing({{path, "code"}}), {}, {}).status().code(),
              absl::StatusCode::kInvalidArgument)
        << path;
  }
  EXPECT_THAT(contents(), IsEmpty());
}

TEST_F(TreePublisherTest, WithoutItsContentNothingIsShown) {
  stage("one");

  EXPECT_FALSE(publisher().show(listing({{"a/1", "one"}, {"a/2", "two"}}), {}, {}).ok());

  EXPECT_THAT(contents(), IsEmpty());
}

}  // namespace
}  // namespace roost
