// Trees at work in this node's folders: what is told of them, and which orders are refused.
#include "node/trees.h"

#include <utime.h>

#include <filesystem>
#include <fstream>

#include "cache/finished_directory.h"
#include "cache/tree_scope.h"
#include "gmock/gmock.h"
#include "node/folders.h"
#include "tests/cache/temp_folder.h"
#include "tests/node/folders_at_work.h"

namespace roost {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::sha256Of;
using ::testing::SizeIs;

class TreesTest : public ::testing::Test {
 protected:
  RootConfig root() const {
    return {.path = folder_.path(),
            .layout = Layout::kTree,
            .origin = "--root",
            .scope = "gpu=sm_90",
            .visibility = RootVisibility::kPrivate,
            .share = Share::kCluster,
            .tree = "triton"};
  }
  static RepoId repo(const std::string& scope) {
    return *treeRepo(HubOrigin::huggingFace(), "triton", *TreeScope::parse(scope));
  }
  static Listing listing(const RepoId& repo, const std::vector<std::string>& paths) {
    Listing listing{repo, finishedCommit({}), true, Visibility::kPrivate, {}};
    for (const std::string& path : paths) {
      listing.files.push_back({*RelativePath::parse(path), {sha256Of(path), path.size()}, {}});
    }
    listing.commit = finishedCommit(listing.files);
    return listing;
  }
  absl::Status checkPresent(FoldersAtWork& folders, const Listing& wanted) const {
    std::optional<PresenceKnown> answer;
    folders->checkPresent({{NodeId::ofNumber(1), 1}, wanted},
                          [&](PresenceKnown known) { answer = std::move(known); });
    folders.until([&] { return answer.has_value(); });
    return answer->status;
  }

  TempFolder folder_;
  boost::asio::io_context io_;
};

TEST_F(TreesTest, AllFilesAreToldAsOneListWhenAllAreHashed) {
  folder_.write("a/k", "a/k");
  folder_.write("top", "top");
  FoldersAtWork folders(io_, {root()});
  folders->mayCheck();
  folders.start();

  const Listing all = listing(repo("gpu=sm_90"), {"a/k", "top"});
  folders.until([&] { return folders.told.repos.contains({all.repo, all.commit}); });

  EXPECT_THAT(folders.told.repos, SizeIs(1));
  ASSERT_THAT(folders.told.refs, SizeIs(1));
  EXPECT_EQ(folders.told.refs.begin()->first.ref.text(), "gpu=sm_90");
  EXPECT_EQ(folders.told.repos.begin()->second.visibility, Visibility::kPrivate);
  EXPECT_EQ(folders->inventory().listingForPeers(all.repo, all.commit), all);
}

TEST_F(TreesTest, AnOrderForAnotherScopeIsRefusedWithBoth) {
  FoldersAtWork folders(io_, {root()});
  folders.start();

  const absl::Status other = checkPresent(folders, listing(repo("gpu=sm_80"), {"a/k"}));

  EXPECT_EQ(other.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(other.message()), HasSubstr("gpu=sm_90"));
  EXPECT_TRUE(checkPresent(folders, listing(repo("gpu=sm_90"), {"a/k"})).ok());
}

TEST_F(TreesTest, AnOrderWithPathsThatNoTreeHasIsRefused) {
  FoldersAtWork folders(io_, {root()});
  folders.start();

  for (const char* path : {".roost-staging/x", "tmp.1/k", "k.lock"}) {
    EXPECT_EQ(checkPresent(folders, listing(repo("gpu=sm_90"), {path})).code(),
              absl::StatusCode::kInvalidArgument)
        << path;
  }
  Listing forged = listing(repo("gpu=sm_90"), {"a/k"});
  forged.files[0].executable = true;
  EXPECT_EQ(checkPresent(folders, forged).code(), absl::StatusCode::kInvalidArgument)
      << "it is not the list that its commit names";
}

TEST_F(TreesTest, ANodeThatIsNotToldToShareTakesNothing) {
  FoldersAtWork folders(io_, {{.path = folder_.path(), .layout = Layout::kDatasets}});
  folders.start();

  const absl::Status refused = checkPresent(folders, listing(repo("gpu=sm_90"), {"a/k"}));

  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("not told to share"));
  EXPECT_TRUE(std::filesystem::is_empty(folder_.path()));
}

}  // namespace
}  // namespace roost
