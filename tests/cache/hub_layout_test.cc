#include "cache/hub_layout.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "protocol/limits.h"
#include "tests/cache/hub_folder.h"

namespace roost {
namespace {

using testing::commitOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using testing::gitSha1Hex;
using testing::gitSha1Of;
using ::testing::HasSubstr;
using testing::HubFolder;
using ::testing::IsEmpty;
using ::testing::Not;
using testing::repoNamed;
using testing::sha256Hex;
using testing::sha256Of;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

class HubLayoutTest : public ::testing::Test {
 protected:
  RepoScan scan(const KnownTrees& known = {}) {
    auto scanned = scanRepo(hub_.root(), repo_, known);
    EXPECT_TRUE(scanned.ok()) << scanned.status();
    return *std::move(scanned);
  }
  // Path → place of its content, of one commit.
  static std::map<std::string, std::string> places(const RepoScan& scan, const Commit& commit) {
    std::map<std::string, std::string> result;
    for (const ScannedSnapshot& snapshot : scan.snapshots) {
      if (snapshot.commit != commit) continue;
      for (const ScannedFile& file : snapshot.files) {
        result[file.path.text()] = scan.copies[file.copy].place;
      }
    }
    return result;
  }
  static std::vector<std::string> directoriesOf(const RepoScan& scan) {
    std::vector<std::string> paths;
    for (const ScannedDirectory& directory : scan.directories) paths.push_back(directory.path);
    return paths;
  }
  std::filesystem::path dir() const { return hub_.at(repo_); }

  HubFolder hub_;
  const RepoId repo_ = repoNamed("org/tiny");
  const Commit commit_ = commitOf('a');
  const std::string folder_ = "models--org--tiny";
};

// ---- What each client leaves

TEST_F(HubLayoutTest, HuggingfaceHub2) {
  HubFolder::write(hub_.root() / "CACHEDIR.TAG", "Signature: 8a477f597d28d172789f06886806bc55");
  HubFolder::write(hub_.root() / ".locks" / folder_ / (gitSha1Hex("{}") + ".lock"), "");
  hub_.file(repo_, commit_, "config.json", "{}");
  hub_.file(repo_, commit_, "sub/extra.txt", "extra");
  hub_.file(repo_, commit_, "model.safetensors", "weights", /*lfs=*/true);
  hub_.ref(repo_, "main", commit_.hex());
  hub_.ref(repo_, "refs/pr/1", commitOf('b').hex());
  HubFolder::write(dir() / ".no_exist" / commit_.hex() / "chat_template.jinja", "");
  hub_.tree(
      repo_, commit_,
      {{"config.json", "{}"}, {"sub/extra.txt", "extra"}, {"model.safetensors", "weights", true}});

  const RepoScan found = scan();
  EXPECT_EQ(places(found, commit_), (std::map<std::string, std::string>{
                                        {"config.json", "blobs/" + gitSha1Hex("{}")},
                                        {"model.safetensors", "blobs/" + sha256Hex("weights")},
                                        {"sub/extra.txt", "blobs/" + gitSha1Hex("extra")}}));
  EXPECT_THAT(found.copies, SizeIs(3));
  ASSERT_THAT(found.refs, SizeIs(2));
  EXPECT_EQ(found.refs[0].ref.text(), "main");
  EXPECT_EQ(found.refs[0].commit, commit_);
  EXPECT_EQ(found.refs[1].ref.text(), "refs/pr/1");
  ASSERT_TRUE(found.trees.contains(commit_));
  EXPECT_TRUE(found.trees.at(commit_).manifest->complete);
  EXPECT_THAT(found.trees.at(commit_).manifest->files, SizeIs(3));
  EXPECT_THAT(found.problems, IsEmpty());
  EXPECT_THAT(
      directoriesOf(found),
      UnorderedElementsAre(folder_, folder_ + "/blobs", folder_ + "/trees", folder_ + "/snapshots",
                           folder_ + "/snapshots/" + commit_.hex(),
                           folder_ + "/snapshots/" + commit_.hex() + "/sub", folder_ + "/refs",
                           folder_ + "/refs/refs", folder_ + "/refs/refs/pr"));
}

TEST_F(HubLayoutTest, HuggingfaceHub036WithADownloadUnderWay) {
  hub_.file(repo_, commit_, "config.json", "{}");
  HubFolder::write(dir() / "blobs" / (sha256Hex("weights") + ".incomplete"), "wei");
  hub_.ref(repo_, "main", "");  // written in place: empty for a moment
  const RepoScan found = scan();
  EXPECT_THAT(found.copies, SizeIs(1));
  EXPECT_THAT(found.refs, IsEmpty());
  EXPECT_TRUE(found.trees.empty());
  EXPECT_THAT(found.problems, IsEmpty());
}

TEST_F(HubLayoutTest, OtherClientsLocksAndPartsAreNoBlobs) {
  const std::string etag = sha256Hex("weights");
  for (const char* suffix : {".part", ".lock", ".incomplete", ".downloadInProgress", ".tmp",
                             ".1a2b3c4d.incomplete", ".shared", ".roost-part"}) {
    HubFolder::write(dir() / "blobs" / (etag + suffix), "x");
  }
  HubFolder::write(dir() / "blobs" / ("." + etag + ".shared"), "x");
  HubFolder::write(dir() / "blobs" / "README", "x");
  hub_.blob(repo_, etag, "weights");
  EXPECT_THAT(scan().copies, SizeIs(1));
}

TEST_F(HubLayoutTest, WithoutSymlinksTheTreeNamesTheContent) {
  HubFolder::write(dir() / "snapshots" / commit_.hex() / "config.json", "{}");
  HubFolder::write(dir() / "snapshots" / commit_.hex() / "model.safetensors", "weights");
  HubFolder::write(dir() / "snapshots" / commit_.hex() / "yarn.lock", "lock");
  std::filesystem::create_directories(dir() / "blobs");
  hub_.tree(repo_, commit_,
            {{"config.json", "{}"}, {"model.safetensors", "weights", true}, {"yarn.lock", "lock"}});
  const RepoScan found = scan();
  ASSERT_THAT(found.copies, SizeIs(3));
  std::map<std::string, std::optional<BlobId>> names;
  for (const ScannedCopy& copy : found.copies) names[copy.place] = copy.name;
  const std::string folder = "snapshots/" + commit_.hex() + "/";
  EXPECT_EQ(names.at(folder + "config.json"), gitSha1Of("{}"));
  EXPECT_EQ(names.at(folder + "model.safetensors"), sha256Of("weights"));
  EXPECT_EQ(names.at(folder + "yarn.lock"), gitSha1Of("lock"));
}

TEST_F(HubLayoutTest, WithoutSymlinksAndTreeNobodyNamesTheContent) {
  HubFolder::write(dir() / "snapshots" / commit_.hex() / "config.json", "{}");
  HubFolder::write(dir() / "snapshots" / commit_.hex() / "model.bin.incomplete", "wei");
  const RepoScan found = scan();
  ASSERT_THAT(found.copies, SizeIs(1));
  EXPECT_FALSE(found.copies[0].name.has_value());
  EXPECT_EQ(found.copies[0].stamp.size, 2u);
}

TEST_F(HubLayoutTest, InTheSharedStoreTheLinksNameIsTheEtag) {
  const std::string xet(64, 'c');
  HubFolder::write(hub_.root() / "blobs" / ".huggingface-shared-blobs", "1\n");
  HubFolder::write(hub_.root() / "blobs" / "cc" / xet, "weights");
  HubFolder::write(hub_.root() / "blobs" / "cc" / (xet + ".refs"), "models--org--tiny/blobs/x");
  HubFolder::link("../../blobs/cc/" + xet, dir() / "blobs" / sha256Hex("weights"));
  hub_.show(repo_, commit_, "model.safetensors", sha256Hex("weights"));
  const RepoScan found = scan();
  ASSERT_THAT(found.copies, SizeIs(1));
  EXPECT_EQ(found.copies[0].name, sha256Of("weights"));
  EXPECT_EQ(found.copies[0].stamp.size, 7u);
  EXPECT_THAT(places(found, commit_), SizeIs(1));
  EXPECT_THAT(directoriesOf(found), Contains("blobs/cc"));
  EXPECT_THAT(found.problems, IsEmpty());
}

TEST_F(HubLayoutTest, TwoRevisionsShareABlob) {
  hub_.file(repo_, commit_, "config.json", "{}");
  hub_.show(repo_, commitOf('b'), "renamed.json", gitSha1Hex("{}"));
  const RepoScan found = scan();
  EXPECT_THAT(found.copies, SizeIs(1));
  EXPECT_EQ(places(found, commit_).at("config.json"),
            places(found, commitOf('b')).at("renamed.json"));
}

TEST_F(HubLayoutTest, AbsoluteLinksAndLinksToOtherReposInsideTheRootAreFollowed) {
  const RepoId other = repoNamed("org/other");
  hub_.blob(repo_, gitSha1Hex("{}"), "{}");
  hub_.blob(other, sha256Hex("weights"), "weights");
  const auto snapshot = dir() / "snapshots" / commit_.hex();
  HubFolder::link(dir() / "blobs" / gitSha1Hex("{}"), snapshot / "config.json");
  HubFolder::link(hub_.at(other) / "blobs" / sha256Hex("weights"), snapshot / "model.bin");
  const RepoScan found = scan();
  EXPECT_EQ(places(found, commit_).at("config.json"), "blobs/" + gitSha1Hex("{}"));
  ASSERT_THAT(found.copies, SizeIs(2));
  EXPECT_EQ(found.copies[1].name, sha256Of("weights"));
  EXPECT_THAT(found.problems, IsEmpty());
}

TEST_F(HubLayoutTest, ABrokenLinkIsSimplyNotThere) {
  hub_.show(repo_, commit_, "model.safetensors", sha256Hex("weights"));
  HubFolder::link("../../blobs/cc/" + std::string(64, 'c'), dir() / "blobs" / sha256Hex("x"));
  const RepoScan found = scan();
  ASSERT_THAT(found.snapshots, SizeIs(1));
  EXPECT_THAT(found.snapshots[0].files, IsEmpty());
  EXPECT_THAT(found.copies, IsEmpty());
  EXPECT_THAT(found.problems, IsEmpty());
}

TEST_F(HubLayoutTest, ARootThatIsALinkIsReadWhereItLeads) {
  hub_.file(repo_, commit_, "config.json", "{}");
  const auto link = hub_.outside() / "link";
  std::filesystem::create_directory_symlink("hub", link);
  HubFolder::link(link / folder_ / "blobs" / gitSha1Hex("{}"),
                  dir() / "snapshots" / commit_.hex() / "absolute.json");
  const auto found = scanRepo(link, repo_, {});
  ASSERT_TRUE(found.ok());
  EXPECT_THAT(places(*found, commit_), SizeIs(2));
}

// ---- Refs and trees

TEST_F(HubLayoutTest, OnlyFortyHexDigitsAreARef) {
  const std::string hex = commit_.hex();
  EXPECT_EQ(parseRef(hex), commit_);
  for (const std::string& bad : {std::string(), hex + "\n", hex.substr(1), hex + "0",
                                 std::string(40, 'A'), absl::StrCat(" ", hex.substr(1))}) {
    EXPECT_EQ(parseRef(bad), std::nullopt) << bad;
  }
}

TEST_F(HubLayoutTest, ARefsTimeIsWhenTheHubSaidSo) {
  for (const char* name : {"asked", "unasked", "future"}) hub_.ref(repo_, name, commit_.hex());
  const auto set = [&](const char* name, time_t seconds) {
    const timespec times[2] = {{seconds, 0}, {seconds, 0}};
    ASSERT_EQ(utimensat(AT_FDCWD, (dir() / "refs" / name).c_str(), times, 0), 0);
  };
  set("asked", 1'700'000'000);
  set("unasked", 0);
  set("future", absl::ToUnixSeconds(absl::Now()) + 3600);
  const RepoScan found = scan();
  ASSERT_THAT(found.refs, SizeIs(3));
  EXPECT_EQ(found.refs[0].hubTime, absl::FromUnixSeconds(1'700'000'000));
  EXPECT_EQ(found.refs[1].hubTime, std::nullopt);  // future
  EXPECT_EQ(found.refs[2].hubTime, std::nullopt);  // unasked
}

TEST_F(HubLayoutTest, ATreeThatIsNoTreeIsToldOfAndTheRestStands) {
  hub_.file(repo_, commit_, "config.json", "{}");
  HubFolder::write(dir() / "trees" / (commit_.hex() + ".json"), "{\"format_version\":2}");
  const RepoScan found = scan();
  EXPECT_TRUE(found.trees.empty());
  EXPECT_THAT(places(found, commit_), SizeIs(1));
  EXPECT_THAT(found.problems, ElementsAre(HasSubstr("unknown format_version 2")));
}

TEST_F(HubLayoutTest, ATreeIsParsedOnce) {
  hub_.tree(repo_, commit_, {{"config.json", "{}"}});
  const RepoScan first = scan();
  const RepoScan second = scan(first.trees);
  EXPECT_EQ(first.trees.at(commit_).manifest, second.trees.at(commit_).manifest);
}

TEST_F(HubLayoutTest, ATreeWithoutASnapshotIsACommitToo) {
  hub_.tree(repo_, commit_, {{"config.json", "{}"}});
  const RepoScan found = scan();
  ASSERT_THAT(found.snapshots, SizeIs(1));
  EXPECT_EQ(found.snapshots[0].commit, commit_);
}

// ---- Hostile folders

TEST_F(HubLayoutTest, LinksOutOfTheRootAreRefusedAndToldOf) {
  HubFolder::write(hub_.outside() / "secret", "secret");
  const auto snapshot = dir() / "snapshots" / commit_.hex();
  HubFolder::link("/etc/passwd", snapshot / "passwd");
  HubFolder::link("../../../../secret", snapshot / "secret");
  HubFolder::link("/etc/passwd", dir() / "blobs" / sha256Hex("x"));
  hub_.show(repo_, commit_, "x", sha256Hex("x"));
  const RepoScan found = scan();
  EXPECT_THAT(found.copies, IsEmpty());
  EXPECT_THAT(places(found, commit_), IsEmpty());
  EXPECT_THAT(found.problems, SizeIs(3));
  EXPECT_THAT(found.problems, ::testing::Each(HasSubstr("outside")));
}

TEST_F(HubLayoutTest, ARootWithAPrefixOfItsNameIsOutside) {
  HubFolder::write(hub_.outside() / "hub2" / "file", "secret");
  HubFolder::link("../../../../hub2/file", dir() / "snapshots" / commit_.hex() / "file");
  EXPECT_THAT(scan().copies, IsEmpty());
}

TEST_F(HubLayoutTest, FoldersThatAreLinksAreNotEntered) {
  HubFolder::write(hub_.outside() / "elsewhere" / sha256Hex("weights"), "weights");
  std::filesystem::create_directories(dir());
  std::filesystem::create_directory_symlink(hub_.outside() / "elsewhere", dir() / "blobs");
  std::filesystem::create_directories(dir() / "snapshots" / commit_.hex());
  std::filesystem::create_directory_symlink(hub_.outside() / "elsewhere",
                                            dir() / "snapshots" / commit_.hex() / "sub");
  const RepoScan found = scan();
  EXPECT_THAT(found.copies, IsEmpty());
  EXPECT_THAT(found.problems, Contains(HasSubstr("it is a link to another folder")));
}

TEST_F(HubLayoutTest, ARepoFolderThatIsALinkIsRefusedWithTheReason) {
  std::filesystem::create_directory(hub_.outside() / "elsewhere");
  std::filesystem::create_directory_symlink(hub_.outside() / "elsewhere", dir());
  const auto scanned = scanRepo(hub_.root(), repo_, {});
  EXPECT_TRUE(absl::IsPermissionDenied(scanned.status()));
  EXPECT_THAT(std::string(scanned.status().message()), HasSubstr("it is a link"));
}

TEST_F(HubLayoutTest, LinksInCirclesAreNotThere) {
  const auto snapshot = dir() / "snapshots" / commit_.hex();
  HubFolder::link("b", snapshot / "a");
  HubFolder::link("a", snapshot / "b");
  HubFolder::link("../../snapshots", snapshot / "up");
  const RepoScan found = scan();
  EXPECT_THAT(places(found, commit_), IsEmpty());
}

TEST_F(HubLayoutTest, AFifoIsNoBlobAndNothingBlocks) {
  std::filesystem::create_directories(dir() / "blobs");
  std::filesystem::create_directories(dir() / "refs");
  std::filesystem::create_directories(dir() / "trees");
  std::filesystem::create_directories(dir() / "snapshots" / commit_.hex());
  for (const auto& path : {dir() / "blobs" / sha256Hex("x"), dir() / "refs" / "main",
                           dir() / "trees" / (commit_.hex() + ".json"),
                           dir() / "snapshots" / commit_.hex() / "fifo"}) {
    ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  }
  HubFolder::link("../../blobs/../refs/main", dir() / "snapshots" / commit_.hex() / "linked");
  const RepoScan found = scan();
  EXPECT_THAT(found.copies, IsEmpty());
  EXPECT_THAT(found.refs, IsEmpty());
  EXPECT_THAT(found.problems, SizeIs(2));
}

TEST_F(HubLayoutTest, NamesThatNoRepoHasAreToldOfAndLeftOut) {
  hub_.blob(repo_, gitSha1Hex("{}"), "{}");
  const std::string up = "../../blobs/" + gitSha1Hex("{}");
  const auto snapshot = dir() / "snapshots" / commit_.hex();
  HubFolder::link(up, snapshot / "back\\slash");
  HubFolder::link(up, snapshot / "new\nline");
  HubFolder::link(up, snapshot / "fine.json");
  hub_.ref(repo_, "bad name", commit_.hex());
  HubFolder::write(dir() / "snapshots" / "not-a-commit" / "file", "x");
  const RepoScan found = scan();
  EXPECT_THAT(places(found, commit_), SizeIs(1));
  EXPECT_THAT(found.problems, SizeIs(2));
  EXPECT_THAT(found.refs, IsEmpty());
}

TEST_F(HubLayoutTest, DepthIsBounded) {
  std::string deep;
  for (size_t i = 0; i < kPathDepthMax + 5; ++i) deep += "d/";
  hub_.file(repo_, commit_, deep + "file", "x");
  const RepoScan found = scan();
  EXPECT_THAT(places(found, commit_), IsEmpty());
  EXPECT_THAT(found.problems, ElementsAre(HasSubstr("too deep")));
}

TEST_F(HubLayoutTest, ProblemsAreBounded) {
  for (size_t i = 0; i < kScanProblemsMax + 7; ++i) {
    HubFolder::link("/etc/passwd",
                    dir() / "snapshots" / commit_.hex() / ("file" + std::to_string(i)));
  }
  const RepoScan found = scan();
  EXPECT_THAT(found.problems, SizeIs(kScanProblemsMax + 1));
  EXPECT_THAT(found.problems.back(), HasSubstr("7 more"));
}

// Needs two users: the test's own process is root, and looks through the eyes of another.
TEST_F(HubLayoutTest, WhatAnotherUserKeepsPrivateFailsAloneAndQuietlyForTrees) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root to be another user";
  hub_.file(repo_, commit_, "config.json", "{}");
  hub_.file(repo_, commit_, "model.safetensors", "weights", true);
  hub_.tree(repo_, commit_, {{"config.json", "{}"}});
  chmod((dir() / "trees" / (commit_.hex() + ".json")).c_str(), 0600);
  chmod((dir() / "blobs" / sha256Hex("weights")).c_str(), 0600);
  chmod(hub_.outside().c_str(), 0755);
  ASSERT_EQ(seteuid(65534), 0);
  const auto scanned = scanRepo(hub_.root(), repo_, {});
  ASSERT_EQ(seteuid(0), 0);
  ASSERT_TRUE(scanned.ok()) << scanned.status();
  EXPECT_TRUE(scanned->trees.empty());
  EXPECT_THAT(scanned->copies, SizeIs(1));
  EXPECT_THAT(scanned->problems, ElementsAre(HasSubstr("cannot read")));
}

// ---- The root

TEST_F(HubLayoutTest, TheRootListsReposAndTellsOfAmbiguousNames) {
  for (const char* name : {"models--org--tiny", "datasets--data", "spaces--a--b", "models--a--b--c",
                           "kernels--a--b", ".locks", "blobs", "version.txt"}) {
    std::filesystem::create_directory(hub_.root() / name);
  }
  const auto found = scanRoot(hub_.root(), HubOrigin::huggingFace());
  ASSERT_TRUE(found.ok());
  EXPECT_THAT(found->repos, ElementsAre(repo_, repoNamed("data", RepoType::kDataset),
                                        repoNamed("a/b", RepoType::kSpace)));
  EXPECT_THAT(found->problems, ElementsAre(HasSubstr("models--a--b--c")));
}

TEST_F(HubLayoutTest, ARootOrRepoThatIsGoneIsNotFound) {
  EXPECT_TRUE(absl::IsNotFound(scanRepo(hub_.root(), repo_, {}).status()));
  EXPECT_TRUE(absl::IsNotFound(scanRoot(hub_.root() / "no", HubOrigin::huggingFace()).status()));
}

}  // namespace
}  // namespace roost
