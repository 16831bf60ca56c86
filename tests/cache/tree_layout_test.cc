#include "cache/tree_layout.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <filesystem>

#include "absl/time/clock.h"
#include "cache/finished_directory.h"
#include "cache/tree_scope.h"
#include "gmock/gmock.h"
#include "tests/cache/hub_folder.h"
#include "tests/cache/temp_folder.h"

namespace roost {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::sha256Of;

const HubOrigin kHub = HubOrigin::huggingFace();

class TreeLayoutTest : public ::testing::Test {
 protected:
  RootScan scan(absl::Duration later = absl::Hours(1)) const {
    const RootConfig root{
        .path = folder_.path(), .layout = Layout::kTree, .scope = "gpu=sm_90", .tree = "triton"};
    auto scan = scanTree(root, kHub, absl::Now() + later);
    EXPECT_TRUE(scan.ok()) << scan.status();
    return *std::move(scan);
  }
  std::vector<std::string> told(absl::Duration later = absl::Hours(1)) const {
    std::vector<std::string> paths;
    for (const RepoScan& repo : scan(later).contents) {
      for (const ScannedFile& file : repo.finished.front().files) {
        EXPECT_EQ(repo.copies[file.copy].place, file.path.text());
        paths.push_back(file.path.text() + (file.executable ? " x" : ""));
      }
    }
    return paths;
  }

  TempFolder folder_;
};

TEST_F(TreeLayoutTest, AllFilesAreOneListUnderTheScope) {
  folder_.write("A2/kernel.cubin", "code");
  folder_.write("top", "");
  folder_.write("run", "code");
  std::filesystem::permissions(folder_ / "run", std::filesystem::perms::owner_exec,
                               std::filesystem::perm_options::add);

  EXPECT_THAT(told(), ElementsAre("A2/kernel.cubin", "run x", "top"));
  const RootScan found = scan();
  EXPECT_EQ(found.contents.front().finished.front().ref.text(), "gpu=sm_90");
  EXPECT_THAT(found.repos, ElementsAre(*treeRepo(kHub, "triton", *TreeScope::parse("gpu=sm_90"))));
  EXPECT_THAT(found.problems, IsEmpty());
}

TEST_F(TreeLayoutTest, WhatMayStillBeWrittenIsLeftOutForNow) {
  folder_.write("A2/kernel.cubin", "code");

  EXPECT_THAT(told(absl::ZeroDuration()), IsEmpty());
  EXPECT_TRUE(scan(absl::ZeroDuration()).unsettled);
  EXPECT_FALSE(scan().unsettled);
}

TEST_F(TreeLayoutTest, TemporariesLinksAndWhatIsNoFileAreNotTold) {
  folder_.write("kernel", "code");
  for (const char* name : {"tmp.pid_1/kernel", "a.tmp", "a.lock", "a.incomplete", "a.part",
                           ".roost-staging/n/x", ".cache/huggingface/x.metadata"}) {
    folder_.write(name, "no");
  }
  std::filesystem::create_symlink("/etc/passwd", folder_ / "link");
  std::filesystem::create_directory_symlink("/etc", folder_ / "folder");
  ASSERT_EQ(::mkfifo((folder_ / "pipe").c_str(), 0600), 0);

  EXPECT_THAT(told(), ElementsAre("kernel"));
}

TEST_F(TreeLayoutTest, AnEmptyFolderIsToldOfAsNothing) {
  EXPECT_THAT(scan().repos, IsEmpty());
  EXPECT_THAT(scan().contents, IsEmpty());
}

TEST_F(TreeLayoutTest, FoldersThatLieTooDeepAreAProblem) {
  std::string path;
  for (int i = 0; i < 40; ++i) path += "d/";
  folder_.write(path + "kernel", "code");

  EXPECT_THAT(told(), IsEmpty());
  EXPECT_THAT(scan().problems, ElementsAre(HasSubstr("too deep")));
}

TEST(TreePath, NamesOfTemporariesAreRefusedWhereverTheyStand) {
  EXPECT_TRUE(isTreePath(*RelativePath::parse("a/b.cubin")));
  for (const char* path : {"tmp.1/a", "a/b.lock", ".roost-staging/a", ".cache/huggingface/a"}) {
    EXPECT_FALSE(isTreePath(*RelativePath::parse(path))) << path;
  }
}

// ---- Scopes

TEST(TreeScope, TheOrderOfItsWordsSaysNothing) {
  EXPECT_EQ(*TreeScope::parse("gpu=sm_90,torch=2.6"), *TreeScope::parse("torch=2.6 gpu=sm_90"));
  EXPECT_EQ(TreeScope::parse("b=2 a=1")->text(), "a=1/b=2");
}

TEST(TreeScope, WhatIsNoScopeIsRefused) {
  for (const char* text :
       {"", " ", "gpu=1 gpu=2", "a b c d e f g h i", "gpu=\xc3\xa4", "..", "a=;"}) {
    EXPECT_FALSE(TreeScope::parse(text).ok()) << text;
  }
}

TEST(TreeScope, ItIsInTheIdentity) {
  const auto repo = [](const char* name, const char* scope) {
    return *treeRepo(kHub, name, *TreeScope::parse(scope));
  };
  EXPECT_EQ(repo("triton", "gpu=sm_90"), repo("triton", "gpu=sm_90"));
  EXPECT_NE(repo("triton", "gpu=sm_90"), repo("triton", "gpu=sm_9"));
  EXPECT_NE(repo("triton", "gpu=sm_90"), repo("vllm", "gpu=sm_90"));
  EXPECT_EQ(treeName(repo("triton", "gpu=sm_90")), "triton");
  for (const char* name : {"", "a/b", "a--b", "../x"}) EXPECT_FALSE(checkTreeName(name).ok());
}

// ---- Lists of several nodes

Listing listingOf(const std::vector<std::string>& paths) {
  Listing listing{
      *treeRepo(kHub, "triton", *TreeScope::parse("x")), finishedCommit({}), true, {}, {}};
  for (const std::string& path : paths) {
    listing.files.push_back({*RelativePath::parse(path), {sha256Of(path), path.size()}, {}});
  }
  return listing;
}

TEST(AddDirectories, NoDirectoryIsMixedOfTwo) {
  Listing all = listingOf({"a/1", "a/b/1", "top"});

  addDirectories(all, listingOf({"a/2", "c/2", "other"}));

  std::vector<std::string> paths;
  for (const FileEntry& file : all.files) paths.push_back(file.path.text());
  EXPECT_THAT(paths, ElementsAre("a/1", "a/b/1", "c/2", "top"));
}

TEST(AddDirectories, AContradictionIsLeftOut) {
  Listing all = listingOf({"a/1"});

  addDirectories(all, listingOf({"a/1/x"}));

  EXPECT_EQ(all, listingOf({"a/1"}));
}

}  // namespace
}  // namespace roost
