// The caches of transformers: models that arrive are shown in both places, and the flat layout is
// told of like any other.
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>

#include "gmock/gmock.h"
#include "node/folders.h"
#include "tests/cache/flat_folder.h"
#include "tests/node/folders_at_work.h"

namespace roost {
namespace {

using testing::commitOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using testing::FlatFolder;
using testing::flatUrl;
using testing::gitSha1Of;
using ::testing::HasSubstr;
using testing::HubFolder;
using ::testing::IsEmpty;
using ::testing::Not;
using testing::repoNamed;
using testing::sha256Of;
using ::testing::SizeIs;

class TransformersCacheTest : public ::testing::Test {
 protected:
  static RootConfig showing(const std::string& path, ShowHere show) {
    return {.path = path, .origin = "TRANSFORMERS_CACHE", .show = show};
  }
  static RootConfig flatAt(const std::string& path) {
    return {.path = path, .layout = Layout::kFlat, .origin = "test", .write = false};
  }
  Listing listing(const std::vector<std::pair<std::string, std::string>>& files) const {
    Listing listing{repo_, commit_, false};
    for (const auto& [path, content] : files) {
      listing.files.push_back(
          {*RelativePath::parse(path), {gitSha1Of(content), content.size()}, std::nullopt});
    }
    return listing;
  }
  PresenceKnown checkPresent(FoldersAtWork& folders, const Listing& wanted) const {
    std::optional<PresenceKnown> answer;
    folders->checkPresent({{NodeId::ofNumber(1), 1}, wanted},
                          [&](PresenceKnown known) { answer = std::move(known); });
    folders.until([&] { return answer.has_value(); });
    return *std::move(answer);
  }
  absl::Status publish(FoldersAtWork& folders, const Listing& wanted) const {
    std::optional<absl::Status> answer;
    const RefState main{RefName::main(), commit_, std::nullopt};
    folders->publish({{NodeId::ofNumber(1), 1}, wanted, {}, {main}},
                     [&](RepoPublished done) { answer = done.status; });
    folders.until([&] { return answer.has_value(); });
    return *answer;
  }
  // Makes what lies in hub_ the target's, and shows it.
  absl::Status warm(FoldersAtWork& folders, const Listing& wanted) const {
    checkPresent(folders, wanted);
    return publish(folders, wanted);
  }
  std::string blobOf(const std::string& content) const {
    return absl::StrCat("blobs/", gitSha1Of(content).hex());
  }
  std::string shownIn(const std::string& root, const std::string& path) const {
    return contentOf(
        absl::StrCat(root, "/", repo_.folder(), "/snapshots/", commit_.hex(), "/", path));
  }

  HubFolder hub_;
  HubFolder four_;  // the folder of transformers 4
  FlatFolder flat_;
  boost::asio::io_context io_;
  const RepoId repo_ = repoNamed("org/m");
  const Commit commit_ = commitOf('a');
  const std::string url_ = flatUrl("org/m", "config.json");
};

// ---- Both places

TEST_F(TransformersCacheTest, AModelThatArrivesIsInBothAndItsContentOnceOnDisk) {
  hub_.file(repo_, commit_, "config.json", "{}");
  FoldersAtWork folders(io_, {rootAt(hub_.root()), showing(four_.root(), ShowHere::kLink)});
  folders.start();

  EXPECT_TRUE(warm(folders, listing({{"config.json", "{}"}})).ok());

  EXPECT_TRUE(
      std::filesystem::equivalent(hub_.at(repo_) / blobOf("{}"), four_.at(repo_) / blobOf("{}")));
  EXPECT_EQ(shownIn(four_.root(), "config.json"), "{}");
  EXPECT_EQ(contentOf((four_.at(repo_) / "refs/main").string()), commit_.hex());
  EXPECT_EQ(shownIn(hub_.root(), "config.json"), "{}");
  EXPECT_THAT(folders->problems(), IsEmpty());
}

TEST_F(TransformersCacheTest, AFolderThatIsNotThereYetIsMade) {
  hub_.file(repo_, commit_, "config.json", "{}");
  const std::string later = (four_.outside() / "later/cache").string();
  FoldersAtWork folders(io_, {rootAt(hub_.root()), showing(later, ShowHere::kLink)});
  folders.start();

  EXPECT_TRUE(warm(folders, listing({{"config.json", "{}"}})).ok());

  EXPECT_EQ(shownIn(later, "config.json"), "{}");
}

TEST_F(TransformersCacheTest, WhatLiesThereAlreadyIsInTheHubCacheAfterAnOrder) {
  four_.file(repo_, commit_, "config.json", "{}");
  FoldersAtWork folders(io_, {rootAt(hub_.root()), showing(four_.root(), ShowHere::kLink)});
  folders.start();

  EXPECT_THAT(checkPresent(folders, listing({{"config.json", "{}"}})).present, ElementsAre(true));
  EXPECT_TRUE(publish(folders, listing({{"config.json", "{}"}})).ok());

  EXPECT_EQ(shownIn(hub_.root(), "config.json"), "{}");
}

TEST_F(TransformersCacheTest, OnlyModelsAreShownThere) {
  const RepoId dataset = repoNamed("org/d", RepoType::kDataset);
  hub_.file(dataset, commit_, "config.json", "{}");
  FoldersAtWork folders(io_, {rootAt(hub_.root()), showing(four_.root(), ShowHere::kLink)});
  folders.start();
  Listing wanted = listing({{"config.json", "{}"}});
  wanted.repo = dataset;

  EXPECT_TRUE(warm(folders, wanted).ok());

  EXPECT_TRUE(std::filesystem::is_empty(four_.root()));
}

TEST_F(TransformersCacheTest, WrongContentGetsNoSecondName) {
  hub_.file(repo_, commit_, "config.json", "{}");
  hub_.file(repo_, commit_, "model.bin", "weights");
  HubFolder::write(hub_.at(repo_) / blobOf("weights"), "WEIGHTS");
  FoldersAtWork folders(io_, {rootAt(hub_.root()), showing(four_.root(), ShowHere::kLink)});
  folders.start();

  EXPECT_TRUE(warm(folders, listing({{"config.json", "{}"}, {"model.bin", "weights"}})).ok())
      << "its own client put it there";

  EXPECT_FALSE(std::filesystem::exists(four_.at(repo_) / blobOf("weights")));
  EXPECT_FALSE(std::filesystem::exists(four_.at(repo_) / "refs/main"));
  EXPECT_THAT(folders->problems(),
              Contains(HasSubstr("org/m is not shown in " + four_.root().string())));
}

TEST_F(TransformersCacheTest, AFolderThatCannotBeWrittenIsAProblemAndTheOrderIsDone) {
  hub_.file(repo_, commit_, "config.json", "{}");
  HubFolder::write(four_.outside() / "file", "not a folder");
  const std::string blocked = (four_.outside() / "file/hub").string();
  FoldersAtWork folders(io_, {rootAt(hub_.root()), showing(blocked, ShowHere::kLink)});
  folders.start();

  EXPECT_TRUE(warm(folders, listing({{"config.json", "{}"}})).ok());

  EXPECT_THAT(folders->problems(), Contains(HasSubstr("is not shown in " + blocked)));
  std::filesystem::remove(four_.outside() / "file");
  EXPECT_TRUE(warm(folders, listing({{"config.json", "{}"}})).ok());
  EXPECT_THAT(folders->problems(), Not(Contains(HasSubstr("is not shown")))) << "mended";
}

class OtherFileSystemTest : public TransformersCacheTest {
 protected:
  void SetUp() override {
    struct stat here, there;
    if (::stat(hub_.root().c_str(), &here) != 0 || ::stat(memory_.path().c_str(), &there) != 0 ||
        here.st_dev == there.st_dev) {
      GTEST_SKIP() << "/dev/shm is not a file system of its own";
    }
  }
  const TempFolder memory_{"/dev/shm"};
};

TEST_F(OtherFileSystemTest, NothingIsCopiedThereUnasked) {
  hub_.file(repo_, commit_, "config.json", "{}");
  FoldersAtWork folders(io_, {rootAt(hub_.root()), showing(memory_.path(), ShowHere::kLink)});
  folders.start();

  EXPECT_TRUE(warm(folders, listing({{"config.json", "{}"}})).ok());

  EXPECT_FALSE(std::filesystem::exists(memory_ / (repo_.folder() + "/" + blobOf("{}"))));
  EXPECT_THAT(folders->problems(), Contains(HasSubstr("show = \"copy\"")));
}

TEST_F(OtherFileSystemTest, ACopyIsMadeThereIfTheOperatorWantsIt) {
  hub_.file(repo_, commit_, "config.json", "{}");
  FoldersAtWork folders(io_, {rootAt(hub_.root()), showing(memory_.path(), ShowHere::kCopy)});
  folders.start();

  EXPECT_TRUE(warm(folders, listing({{"config.json", "{}"}})).ok());

  EXPECT_EQ(shownIn(memory_.path(), "config.json"), "{}");
  EXPECT_THAT(folders->problems(), IsEmpty());
}

// ---- The flat layout

TEST_F(TransformersCacheTest, AFlatFolderIsTold) {
  flat_.file(url_, "{}");
  FoldersAtWork folders(io_, {rootAt(hub_.root()), flatAt(flat_.root())});

  folders.start();

  ASSERT_THAT(folders.told.refs, SizeIs(1));
  const RefState& main = folders.told.refs.begin()->second.state;
  EXPECT_EQ(main.hubTime, std::nullopt);
  const RepoAdvert& repo = folders.told.repos.at({repo_, main.commit});
  EXPECT_EQ(repo.files, 1u);
  EXPECT_FALSE(repo.complete());
  EXPECT_TRUE(folders.told.blobs.at(gitSha1Of("{}")).unverified);
}

TEST_F(TransformersCacheTest, FlatFilesComeAndGo) {
  FoldersAtWork folders(io_, {rootAt(hub_.root()), flatAt(flat_.root())});
  folders.start();

  const std::string name = flat_.file(url_, "{}");
  folders.until([&] { return folders.told.blobs.contains(gitSha1Of("{}")); });

  std::filesystem::remove(flat_ / name);
  folders.until([&] { return folders.told.blobs.empty() && folders.told.repos.empty(); });
  EXPECT_THAT(folders.told.refs, IsEmpty());
}

TEST_F(TransformersCacheTest, ATamperedFlatFileIsWithdrawnAndAProblem) {
  const std::string name = flat_.file(url_, "{}");
  flat_.write(name, "[]");
  FoldersAtWork folders(io_, {rootAt(hub_.root()), flatAt(flat_.root())});
  folders.start();

  folders->mayCheck();
  folders.until([&] { return folders.told.blobs.empty(); });

  EXPECT_THAT(folders.told.repos, IsEmpty());
  EXPECT_THAT(folders->problems(),
              ElementsAre(::testing::AllOf(HasSubstr(flat_ / name), HasSubstr("is not shared"),
                                           HasSubstr("delete it"))));
}

TEST_F(TransformersCacheTest, WhatOnlyAnMd5NamesIsKnownByItsContent) {
  flat_.file("https://s3.amazonaws.com/models.huggingface.co/bert/org/m/config.json", "{}",
             "\"0123456789abcdef0123456789abcdef\"");
  FoldersAtWork folders(io_, {rootAt(hub_.root()), flatAt(flat_.root())});
  folders.start();
  EXPECT_THAT(folders.told.blobs, IsEmpty());

  folders->mayCheck();
  folders.until([&] { return folders.told.repos.size() == 1; });

  EXPECT_TRUE(folders.told.blobs.contains(gitSha1Of("{}")));
  EXPECT_TRUE(folders.told.blobs.contains(sha256Of("{}")));
  const auto shown = folders->inventory().listing(repo_, folders.told.repos.begin()->first.commit);
  ASSERT_TRUE(shown.has_value());
  EXPECT_EQ(shown->files[0].blob.id, gitSha1Of("{}"));
}

TEST_F(TransformersCacheTest, WhatAFlatFolderHoldsIsHashedAndShownWhenItIsOrdered) {
  const std::string name = flat_.file(url_, "{}");
  FoldersAtWork folders(io_, {rootAt(hub_.root()), flatAt(flat_.root())});
  folders.start();

  EXPECT_THAT(checkPresent(folders, listing({{"config.json", "{}"}})).present, ElementsAre(true));
  EXPECT_TRUE(publish(folders, listing({{"config.json", "{}"}})).ok());

  EXPECT_EQ(shownIn(hub_.root(), "config.json"), "{}");
  EXPECT_FALSE(std::filesystem::equivalent(flat_ / name, hub_.at(repo_) / blobOf("{}")))
      << "old clients write in place";
}

TEST_F(TransformersCacheTest, WhatAFlatFolderHoldsIsShownInBothPlacesAndCopiedOnce) {
  flat_.file(url_, "{}");
  FoldersAtWork folders(
      io_, {rootAt(hub_.root()), showing(four_.root(), ShowHere::kLink), flatAt(flat_.root())});
  folders.start();

  EXPECT_TRUE(warm(folders, listing({{"config.json", "{}"}})).ok());

  EXPECT_TRUE(
      std::filesystem::equivalent(hub_.at(repo_) / blobOf("{}"), four_.at(repo_) / blobOf("{}")));
  EXPECT_THAT(folders->problems(), IsEmpty());
}

TEST_F(TransformersCacheTest, ATamperedFlatFileCountsAsMissing) {
  flat_.write(flat_.file(url_, "{}"), "[]");
  FoldersAtWork folders(io_, {rootAt(hub_.root()), flatAt(flat_.root())});
  folders.start();

  EXPECT_THAT(checkPresent(folders, listing({{"config.json", "{}"}})).present, ElementsAre(false));
}

TEST_F(TransformersCacheTest, BothLayoutsInOneFolderWork) {
  const BlobId modern = four_.file(repo_, commit_, "config.json", "{}");
  FoldersAtWork folders(io_, {rootAt(four_.root()), flatAt(four_.root())});
  folders.start();

  const std::string url = flatUrl("org/old", "config.json"), etag = testing::gitEtag("old");
  const std::string name = testing::flatName(url, etag);
  HubFolder::land(four_.root() / name, "old");
  HubFolder::write(four_.root() / (name + ".json"),
                   testing::flatJson(url, "\\\"" + gitSha1Of("old").hex() + "\\\""));
  folders.until([&] { return folders.told.blobs.contains(gitSha1Of("old")); });
  const BlobId later = four_.file(repo_, commit_, "model.bin", "weights", true);
  folders.until([&] { return folders.told.blobs.contains(later); });

  EXPECT_TRUE(folders.told.blobs.contains(modern));
  EXPECT_THAT(folders.told.repos, SizeIs(2));
  EXPECT_THAT(folders->problems(), IsEmpty());
}

}  // namespace
}  // namespace roost
