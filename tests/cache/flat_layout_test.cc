#include "cache/flat_layout.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <utime.h>

#include "absl/strings/match.h"
#include "cache/layouts.h"
#include "tests/cache/flat_folder.h"

namespace roost {
namespace {

using testing::commitOf;
using ::testing::ElementsAre;
using testing::FlatFolder;
using testing::flatName;
using testing::flatUrl;
using testing::gitEtag;
using testing::gitSha1Of;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::lfsEtag;
using testing::repoNamed;
using testing::sha256Of;
using ::testing::SizeIs;

const HubOrigin kHub = HubOrigin::huggingFace();

// ---- Urls

std::string readUrl(const std::string& url, const HubOrigin& origin = kHub) {
  const auto read = parseFlatUrl(url, origin);
  if (!read) return "";
  const auto* ref = std::get_if<RefName>(&read->revision);
  return absl::StrCat(read->repo.toString(), "@",
                      ref != nullptr ? ref->text() : std::get<Commit>(read->revision).hex(), ":",
                      read->path.text());
}

struct Line {
  const char* url;
  const char* says;  // "": no repo
};

class FlatUrls : public ::testing::TestWithParam<Line> {};

TEST_P(FlatUrls, NameRepoRevisionAndPath) {
  EXPECT_EQ(readUrl(GetParam().url), GetParam().says) << GetParam().url;
}

INSTANTIATE_TEST_SUITE_P(
    OfTheHub, FlatUrls,
    ::testing::Values(
        Line{"https://huggingface.co/org/m/resolve/main/config.json", "org/m@main:config.json"},
        Line{"https://huggingface.co/gpt2/resolve/v1.0/sub/x.bin", "gpt2@v1.0:sub/x.bin"},
        Line{"https://huggingface.co/org/m/resolve/refs%2Fpr%2F1/a", "org/m@refs/pr/1:a"},
        Line{"https://huggingface.co/org/m/resolve/main/with%20space.txt",
             "org/m@main:with space.txt"},
        Line{"https://huggingface.co/org/m/resolve/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/a",
             "org/m@aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa:a"},
        Line{"https://huggingface.co/datasets/org/d/resolve/main/a", "datasets/org/d@main:a"}));

INSTANTIATE_TEST_SUITE_P(
    OfItsFormerStorage, FlatUrls,
    ::testing::Values(Line{"https://cdn.huggingface.co/org/m/pytorch_model.bin",
                           "org/m@main:pytorch_model.bin"},
                      Line{"https://s3.amazonaws.com/models.huggingface.co/bert/org/m/config.json",
                           "org/m@main:config.json"},
                      Line{"https://s3.amazonaws.com/models.huggingface.co/bert/m/vocab.txt",
                           "m@main:vocab.txt"}));

INSTANTIATE_TEST_SUITE_P(
    OfNoRepo, FlatUrls,
    ::testing::Values(
        Line{"https://s3.amazonaws.com/models.huggingface.co/bert/bert-base-uncased-vocab.txt", ""},
        Line{"https://s3.amazonaws.com/elsewhere/bert/org/m/config.json", ""},
        Line{"https://cdn.huggingface.co/bert-base-uncased-pytorch_model.bin", ""},
        Line{"https://huggingface.co.evil.com/org/m/resolve/main/a", ""},
        Line{"http://huggingface.co/org/m/resolve/main/a", ""},
        Line{"https://huggingface.co/org/m/raw/main/a", ""},
        Line{"https://huggingface.co/org/m/resolve/main", ""},
        Line{"https://huggingface.co/org/m/resolve/main/", ""},
        Line{"https://huggingface.co/a/b/c/resolve/main/a", ""},
        Line{"https://huggingface.co/", ""}, Line{"", ""}));

INSTANTIATE_TEST_SUITE_P(
    ThatMeanHarm, FlatUrls,
    ::testing::Values(Line{"https://huggingface.co/org/m/resolve/main/../../x", ""},
                      Line{"https://huggingface.co/org/m/resolve/main/%2e%2e/x", ""},
                      Line{"https://huggingface.co/org/m/resolve/main/a%2F..%2Fb", ""},
                      Line{"https://huggingface.co/org/m/resolve/..%2F..%2Fx/a", ""},
                      Line{"https://huggingface.co/%2e%2e/m/resolve/main/a", ""},
                      Line{"https://huggingface.co/org/m/resolve/main/a%00b", ""},
                      Line{"https://huggingface.co/org/m/resolve/main/a%zz", ""},
                      Line{"https://huggingface.co/org/m/resolve/main/a?x=1", ""},
                      Line{"https://huggingface.co/org/m/resolve/main/a#x", ""},
                      Line{"https://huggingface.co//org/m/resolve/main/a", ""}));

TEST(FlatUrl, OfTheConfiguredHubNamesItsRepos) {
  const HubOrigin own = *HubOrigin::parse("http://hub.example:8080/hf");
  EXPECT_EQ(readUrl("http://hub.example:8080/hf/org/m/resolve/main/a", own), "org/m@main:a");
  EXPECT_EQ(parseFlatUrl(flatUrl("org/m", "a"), own)->repo.origin(), own)
      << "as what lies in a hub cache is";
}

// ---- Folders

class FlatLayoutTest : public ::testing::Test {
 protected:
  RootScan scan() const {
    auto scan = scanFlat(flat_.root(), kHub);
    EXPECT_TRUE(scan.ok()) << scan.status();
    return *std::move(scan);
  }
  RepoScan theRepo() const {
    RootScan found = scan();
    EXPECT_THAT(found.contents, SizeIs(1));
    return found.contents.empty() ? RepoScan{repo_, {}, {}, {}, {}, {}, {}, {}} : found.contents[0];
  }
  std::vector<std::string> pathsOf(const ScannedSnapshot& snapshot) const {
    std::vector<std::string> paths;
    for (const ScannedFile& file : snapshot.files) paths.push_back(file.path.text());
    return paths;
  }
  void expectUnused(const std::string& why) const {
    const RootScan found = scan();
    EXPECT_THAT(found.contents, IsEmpty());
    EXPECT_THAT(found.problems, ElementsAre(HasSubstr(why)));
  }
  // As if written at that second.
  void writtenAt(const std::string& name, int seconds) const {
    const utimbuf times{seconds, seconds};
    ASSERT_EQ(utime((flat_ / name).c_str(), &times), 0);
  }

  FlatFolder flat_;
  const RepoId repo_ = repoNamed("org/m");
  const std::string url_ = flatUrl("org/m", "config.json");
};

TEST_F(FlatLayoutTest, FilesOfOneBranchAreOneSnapshotWithARefThatNoHubHasSpokenOf) {
  const std::string config = flat_.file(url_, "{}");
  flat_.file(flatUrl("org/m", "sub/model.bin"), "weights", lfsEtag("weights"));

  const RepoScan scan = theRepo();

  EXPECT_EQ(scan.repo, repo_);
  ASSERT_THAT(scan.snapshots, SizeIs(1));
  const ScannedSnapshot& snapshot = scan.snapshots[0];
  EXPECT_THAT(pathsOf(snapshot), ElementsAre("config.json", "sub/model.bin"));
  EXPECT_EQ(scan.copies[snapshot.files[0].copy].name, gitSha1Of("{}"));
  EXPECT_EQ(scan.copies[snapshot.files[0].copy].place, config);
  EXPECT_EQ(scan.copies[snapshot.files[1].copy].name, sha256Of("weights"));
  EXPECT_TRUE(snapshot.madeUp);
  EXPECT_THAT(scan.refs, ElementsAre(RefState{RefName::main(), snapshot.commit, std::nullopt}));
}

TEST_F(FlatLayoutTest, TheCommitIsMadeOfPathsAndEtagsAlone) {
  flat_.file(url_, "{}");
  FlatFolder other;
  other.file("https://cdn.huggingface.co/org/m/config.json", "{}", "W/" + gitEtag("{}"));

  const RepoScan scan = theRepo();

  EXPECT_EQ(scan.snapshots[0].commit,
            flatCommit({{*RelativePath::parse("config.json"), testing::gitSha1Hex("{}")}}));
  EXPECT_EQ(scanFlat(other.root(), kHub)->contents[0].snapshots[0].commit,
            scan.snapshots[0].commit);
  // printf 'config.json\0%s\n' "$(printf '{}' | git hash-object --stdin)" | sha256sum
  EXPECT_EQ(scan.snapshots[0].commit.hex(), "426b60faff8a66829adc3b3a2991933cc0c59cbd");
}

TEST_F(FlatLayoutTest, ARevisionThatIsACommitIsThatCommit) {
  flat_.file(flatUrl("org/m", "config.json", commitOf('a').hex()), "{}");

  const RepoScan scan = theRepo();

  EXPECT_EQ(scan.snapshots[0].commit, commitOf('a'));
  EXPECT_FALSE(scan.snapshots[0].madeUp);
  EXPECT_THAT(scan.refs, IsEmpty());
}

TEST_F(FlatLayoutTest, EachBranchIsASnapshotAndEqualOnesAreOne) {
  flat_.file(url_, "{}");
  flat_.file(flatUrl("org/m", "config.json", "same"), "{}");
  flat_.file(flatUrl("org/m", "config.json", "other"), "[]");

  const RepoScan scan = theRepo();

  EXPECT_THAT(scan.snapshots, SizeIs(2));
  ASSERT_THAT(scan.refs, SizeIs(3));
  EXPECT_EQ(scan.refs[0].ref.text(), "main");
  EXPECT_EQ(scan.refs[0].commit, scan.refs[2].commit);
}

TEST_F(FlatLayoutTest, OfAPathThatWasWrittenTwiceTheLaterIsShownAndBothAreHeld) {
  const std::string newer = flat_.file(url_, "new");
  const std::string older = flat_.file(url_, "old");
  writtenAt(older, 1'000);
  writtenAt(newer, 2'000);

  const RepoScan scan = theRepo();

  EXPECT_THAT(scan.copies, SizeIs(2));
  ASSERT_THAT(scan.snapshots, SizeIs(1));
  EXPECT_EQ(scan.copies[scan.snapshots[0].files[0].copy].name, gitSha1Of("new"));
}

TEST_F(FlatLayoutTest, AnMd5IsNoNameOfContent) {
  const std::string md5 = std::string(32, 'c');
  flat_.file("https://s3.amazonaws.com/models.huggingface.co/bert/org/m/config.json", "{}",
             "\"" + md5 + "\"");
  flat_.file("https://cdn.huggingface.co/org/m/pytorch_model.bin", "w", "\"" + md5 + "-18\"");

  const RepoScan scan = theRepo();

  ASSERT_THAT(scan.copies, SizeIs(2));
  EXPECT_EQ(scan.copies[0].name, std::nullopt);
  EXPECT_EQ(scan.copies[1].name, std::nullopt);
  EXPECT_THAT(pathsOf(scan.snapshots[0]), ElementsAre("config.json", "pytorch_model.bin"));
}

TEST_F(FlatLayoutTest, TensorFlowsFilesKeepTheirEnding) {
  flat_.file(flatUrl("org/m", "tf_model.h5"), "tf", lfsEtag("tf"));
  EXPECT_THAT(pathsOf(theRepo().snapshots[0]), ElementsAre("tf_model.h5"));
}

TEST_F(FlatLayoutTest, ReposAreToldApart) {
  flat_.file(url_, "{}");
  flat_.file(flatUrl("gpt2", "config.json"), "{}");

  const RootScan found = scan();

  EXPECT_THAT(found.repos, ElementsAre(repoNamed("gpt2"), repo_));
  EXPECT_THAT(found.contents, SizeIs(2));
  EXPECT_THAT(found.problems, IsEmpty());
}

TEST_F(FlatLayoutTest, WhatElseLiesThereIsNobodysBusiness) {
  flat_.file(url_, "{}");
  flat_.write("models--org--other/refs/main", commitOf('a').hex());
  flat_.write("version.txt", "1");
  flat_.write("tmpab12cd", "half a file");
  flat_.write(flatName(url_, "x") + ".incomplete", "half a file");
  flat_.write(std::string(64, 'A') + "." + std::string(64, 'b'), "capitals");

  const RootScan found = scan();

  EXPECT_THAT(found.repos, ElementsAre(repo_));
  EXPECT_THAT(found.problems, IsEmpty());
}

// ---- What is not used

TEST_F(FlatLayoutTest, AUrlThatDoesNotHashToTheNameIsNotBelieved) {
  const std::string name = flat_.file(url_, "{}");
  flat_.describe(name, flatUrl("org/other", "config.json"), gitEtag("{}"));
  expectUnused("1 of 1 files");
  expectUnused("does not fit");
}

TEST_F(FlatLayoutTest, AnEtagThatDoesNotHashToTheNameIsNotBelieved) {
  const std::string name = flat_.file(url_, "{}");
  flat_.describe(name, url_, gitEtag("other"));
  expectUnused("does not fit");
}

TEST_F(FlatLayoutTest, AnEndingThatTheUrlDoesNotHaveIsNotBelieved) {
  const std::string name = flat_.file(url_, "{}");
  std::filesystem::rename(flat_ / name, flat_ / (name + ".h5"));
  std::filesystem::rename(flat_ / (name + ".json"), flat_ / (name + ".h5.json"));
  expectUnused("does not fit");
}

TEST_F(FlatLayoutTest, AUrlOfNoRepoIsCounted) {
  flat_.file("https://s3.amazonaws.com/models.huggingface.co/bert/bert-base-uncased-vocab.txt",
             "a");
  flat_.file("https://example.com/org/m/resolve/main/config.json", "b");
  expectUnused("2 come from a URL that names no repo");
}

TEST_F(FlatLayoutTest, AnEtagThatIsNoHashIsCounted) {
  for (const char* etag : {"\"abc\"", "", "\"unclosed", "\"0123456789abcdef0123456789abcdef-x\""}) {
    flat_.file(url_, "{}", etag);
  }
  expectUnused("4 have an etag that is no hash");
}

TEST_F(FlatLayoutTest, ADescriptionIsWaitedForAMinute) {
  const std::string name = flat_.file(url_, "{}");
  std::filesystem::remove(flat_ / (name + ".json"));
  EXPECT_THAT(scan().contents, IsEmpty());
  EXPECT_THAT(scan().problems, IsEmpty());
}

TEST_F(FlatLayoutTest, DescriptionsOfNoSenseAreCounted) {
  const std::string name = flat_.file(url_, "{}");
  for (const std::string& text :
       {std::string(), std::string("null"), std::string("[]"), std::string("{\"url\": 1}"),
        std::string("{\"url\": \"") + url_ + "\", \"etag\": null}",
        std::string("{\"url\": \"\xff\"}"), std::string(30'000, '['),
        std::string(1 << 20, ' ') + "{}",
        "{\"url\":" + std::string(10'000, '[') + std::string(10'000, ']') + "}"}) {
    flat_.write(name + ".json", text);
    expectUnused("does not fit");
  }
}

TEST_F(FlatLayoutTest, LinksAreNotFollowed) {
  const std::string name = flat_.file(url_, "{}");
  const TempFolder outside;
  const std::string secret = outside.write("secret", "{}");
  std::filesystem::remove(flat_ / name);
  std::filesystem::create_symlink(secret, flat_ / name);
  expectUnused("1 are not files");
}

TEST_F(FlatLayoutTest, ADescriptionThatIsALinkOrAPipeIsNone) {
  const std::string name = flat_.file(url_, "{}");
  const std::string json = flat_ / (name + ".json");
  std::filesystem::rename(json, flat_ / "elsewhere");
  std::filesystem::create_symlink("elsewhere", json);
  EXPECT_THAT(scan().contents, IsEmpty());
  std::filesystem::remove(json);
  ASSERT_EQ(mkfifo(json.c_str(), 0600), 0);
  EXPECT_THAT(scan().contents, IsEmpty());
}

TEST_F(FlatLayoutTest, APathBelowAFileIsNotShown) {
  flat_.file(flatUrl("org/m", "a"), "a");
  flat_.file(flatUrl("org/m", "a-b"), "a-b");
  flat_.file(flatUrl("org/m", "a/b"), "a/b");

  const RepoScan scan = theRepo();

  EXPECT_THAT(pathsOf(scan.snapshots[0]), ElementsAre("a", "a-b"));
  EXPECT_THAT(scan.copies, SizeIs(3)) << "held all the same";
}

TEST_F(FlatLayoutTest, AFolderThatIsNotThereIsNotFound) {
  EXPECT_TRUE(absl::IsNotFound(scanFlat(flat_ / "none", kHub).status()));
}

TEST_F(FlatLayoutTest, IsReadThroughTheSeam) {
  flat_.file(url_, "{}");
  const RootConfig root{.path = flat_.root(), .layout = Layout::kFlat, .origin = "test"};
  EXPECT_THAT(scanRoot(root, kHub)->contents, SizeIs(1));
  EXPECT_EQ(repoBase(root, repo_), flat_.root());
  EXPECT_FALSE(takesArrivals(root));
}

TEST(FlatNames, AreContentAndDescriptions) {
  const std::string name = flatName("u", "e");
  EXPECT_TRUE(isFlatName(name));
  EXPECT_TRUE(isFlatName(name + ".json"));
  EXPECT_TRUE(isFlatName(name + ".h5.json"));
  EXPECT_FALSE(isFlatName(name + ".lock"));
  EXPECT_FALSE(isFlatName(name + ".incomplete"));
  EXPECT_FALSE(isFlatName("models--org--m"));
}

}  // namespace
}  // namespace roost
