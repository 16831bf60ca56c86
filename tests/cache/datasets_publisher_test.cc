#include "cache/datasets_publisher.h"

#include <sys/stat.h>

#include <filesystem>

#include "gmock/gmock.h"
#include "tests/cache/datasets_folder.h"

namespace roost {
namespace {

using testing::Contents;
using testing::datasetCache;
using testing::DatasetsFolder;
using ::testing::ElementsAre;
using testing::finishedListing;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::sha256Of;
using ::testing::SizeIs;

const std::string& kDirectory = DatasetsFolder::kDirectory;
const Contents kBase = {{"dataset_info.json", "{}"}, {"rows-train.arrow", "rows"}};
const Contents kMapped = {{"cache-0123456789abcdef.arrow", "mapped"},
                          {"dataset_info.json", "{}"},
                          {"rows-train.arrow", "rows"}};

class DatasetsPublisherTest : public ::testing::Test {
 protected:
  DatasetsPublisher publisher() const {
    auto opened = DatasetsPublisher::open(folder_.root(), node_, Reservations::create());
    EXPECT_TRUE(opened.ok()) << opened.status();
    return *std::move(opened);
  }
  // As a fetch leaves it.
  void stage(const std::string& content) const {
    const auto slot =
        publisher().staging().blobs().blobSlot(cache_, {sha256Of(content), content.size()});
    ASSERT_TRUE(slot.ok()) << slot.status();
    std::ofstream(slot->path(), std::ios::binary) << content;
  }
  Listing listing(const Contents& files, const std::string& directory = kDirectory) const {
    return finishedListing(cache_, directory, files);
  }
  absl::StatusOr<ShownFinished> show(const Listing& wanted, const std::vector<RefState>& refs = {},
                                     const KnownFiles& known = {}) const {
    return publisher().show(wanted, refs, known);
  }
  // All staged, and shown.
  absl::StatusOr<ShownFinished> arrive(const Contents& files) const {
    for (const auto& [name, text] : files) stage(text);
    return show(listing(files));
  }
  std::string lookLock() const {
    std::string name = folder_.root() + "/" + kDirectory;
    std::replace(name.begin(), name.end(), '/', '_');
    return name + ".lock";
  }
  bool isStaged(const std::string& content) const {
    return publisher().staging().has(cache_, {sha256Of(content), content.size()});
  }

  DatasetsFolder folder_;
  const RepoId cache_ = datasetCache("org/rows");
  const NodeId node_ = NodeId::ofNumber(1);
};

TEST_F(DatasetsPublisherTest, ADirectoryAppearsWhole) {
  const auto shown = arrive(kMapped);

  ASSERT_TRUE(shown.ok()) << shown.status();
  EXPECT_EQ(folder_.contents(), kMapped);
  EXPECT_THAT(shown->placed, SizeIs(3));
  EXPECT_THAT(shown->leftAlone, IsEmpty());
  for (const PlacedFile& file : shown->placed) EXPECT_TRUE(file.before.sameContent(file.after));
}

TEST_F(DatasetsPublisherTest, ItIsAsOldAsWhereItCameFrom) {
  for (const auto& [name, text] : kBase) stage(text);
  const absl::Time written = absl::FromUnixSeconds(1'700'000'000);
  const Listing wanted = listing(kBase);
  const RefState ref{*RefName::parse(kDirectory.substr(kDirectory.find('/') + 1)), wanted.commit,
                     written};

  ASSERT_TRUE(show(wanted, {ref}).ok());

  struct stat info {};
  ASSERT_EQ(::stat((folder_ / kDirectory).c_str(), &info), 0);
  EXPECT_EQ(absl::TimeFromTimespec(info.st_mtim), written);
}

// "h-1/x" stands before "h/x" in a list, and the folder "h" before "h-1".
TEST_F(DatasetsPublisherTest, ContentThatTwoDirectoriesShareReachesBoth) {
  const std::string other = kDirectory + "-1";
  Listing wanted = listing(kBase, other);
  for (const FileEntry& file : listing(kBase).files) wanted.files.push_back(file);
  wanted.commit = finishedCommit(wanted.files);
  for (const auto& [name, text] : kBase) stage(text);

  const auto shown = show(wanted);

  ASSERT_TRUE(shown.ok()) << shown.status();
  EXPECT_EQ(folder_.contents(), kBase);
  EXPECT_TRUE(folder_.has(other + "/dataset_info.json"));
  EXPECT_THAT(shown->placed, SizeIs(2 * kBase.size()));
}

TEST_F(DatasetsPublisherTest, WhileAClientPreparesItNothingIsTouched) {
  std::filesystem::create_directories(folder_ / "org___rows/default/0.0.0");
  for (const std::string& name : {kDirectory + "_builder.lock", lookLock()}) {
    {
      const UniqueFd lock = folder_.lock(name);
      EXPECT_TRUE(absl::IsAborted(arrive(kBase).status())) << name;
      EXPECT_FALSE(folder_.has(kDirectory));
      EXPECT_TRUE(isStaged("rows")) << "nothing is lost";
    }
  }

  EXPECT_TRUE(show(listing(kBase)).ok());
  EXPECT_EQ(folder_.contents(), kBase);
}

TEST_F(DatasetsPublisherTest, ADirectoryWithTheSameBaseGetsWhatMapMade) {
  folder_.prepare(kDirectory, kBase);
  folder_.write(kDirectory + "/cache-own.arrow", "own");
  folder_.write(kDirectory + "/tmpbusy", "half");

  const auto shown = arrive(kMapped);

  ASSERT_TRUE(shown.ok()) << shown.status();
  Contents both = kMapped;
  both["cache-own.arrow"] = "own";
  both["tmpbusy"] = "half";
  EXPECT_EQ(folder_.contents(), both);
  EXPECT_THAT(shown->placed, SizeIs(1));
}

TEST_F(DatasetsPublisherTest, WhatMapMadeHereStays) {
  folder_.prepare(kDirectory, kBase);
  folder_.write(kDirectory + "/cache-0123456789abcdef.arrow", "made here");

  ASSERT_TRUE(arrive(kMapped).ok());

  EXPECT_EQ(folder_.contents().at("cache-0123456789abcdef.arrow"), "made here");
}

TEST_F(DatasetsPublisherTest, ADirectoryWithAnotherBaseIsLeftAlone) {
  const std::vector<Contents> others = {
      {{"dataset_info.json", "{}"}, {"rows-train.arrow", "othr"}},  // same size
      {{"dataset_info.json", "{ }"}, {"rows-train.arrow", "rows"}},
      {{"dataset_info.json", "{}"}},
      {{"dataset_info.json", "{}"}, {"rows-train.arrow", "rows"}, {"rows-test.arrow", "more"}}};
  for (size_t i = 0; i < others.size(); ++i) {
    const DatasetsFolder folder;
    folder.prepare(kDirectory, others[i]);
    auto publisher = DatasetsPublisher::open(folder.root(), node_, Reservations::create());
    for (const auto& [name, text] : kMapped) {
      const auto slot =
          publisher->staging().blobs().blobSlot(cache_, {sha256Of(text), text.size()});
      std::ofstream(slot->path(), std::ios::binary) << text;
    }

    const auto shown = publisher->show(listing(kMapped), {}, {});

    ASSERT_TRUE(shown.ok()) << shown.status();
    EXPECT_THAT(shown->leftAlone, ElementsAre(HasSubstr("was left as it is"))) << i;
    EXPECT_EQ(folder.contents(), others[i]) << i;
    EXPECT_FALSE(publisher->staging().has(cache_, {sha256Of("mapped"), 6}))
        << "nobody will want it";
  }
}

TEST_F(DatasetsPublisherTest, AnEmptyDirectoryIsNone) {
  std::filesystem::create_directories(folder_ / kDirectory);

  ASSERT_TRUE(arrive(kBase).ok());

  EXPECT_EQ(folder_.contents(), kBase);
}

TEST_F(DatasetsPublisherTest, ContentOfTwoFilesIsThereTwice) {
  const std::string second = "org___rows/other/0.0.0/" + DatasetsFolder::kCommit;
  Listing both = listing({{"dataset_info.json", "{}"}, {"a.arrow", "rows"}, {"b.arrow", "rows"}});
  const Listing other = listing(kBase, second);
  both.files.insert(both.files.end(), other.files.begin(), other.files.end());
  ASSERT_TRUE(normalize(both).ok());
  stage("rows");
  stage("{}");

  const auto shown = show(both);

  ASSERT_TRUE(shown.ok()) << shown.status();
  EXPECT_THAT(folder_.contents(), SizeIs(3));
  EXPECT_EQ(folder_.contents(second), kBase);
  struct stat info {};
  ASSERT_EQ(::stat((folder_ / (kDirectory + "/a.arrow")).c_str(), &info), 0);
  EXPECT_EQ(info.st_nlink, 1u) << "who writes into one must not change the other";
}

TEST_F(DatasetsPublisherTest, WhatTheNodeHasElsewhereIsCopied) {
  stage("{}");
  const std::string elsewhere = folder_ / "elsewhere";
  folder_.write("elsewhere", "rows");
  const auto stamp = FileStamp::ofPath(elsewhere);

  ASSERT_TRUE(
      show(listing(kBase), {}, {{{sha256Of("rows"), {elsewhere, *stamp, false, true}}}, {}}).ok());

  EXPECT_EQ(folder_.contents(), kBase);
  EXPECT_EQ(contentOf(elsewhere), "rows");
}

TEST_F(DatasetsPublisherTest, WithoutAllContentNothingAppears) {
  stage("rows");

  EXPECT_TRUE(absl::IsNotFound(show(listing(kBase)).status()));

  EXPECT_FALSE(folder_.has(kDirectory));
}

// Killed between the moves into the directory and its rename.
TEST_F(DatasetsPublisherTest, AfterAKillNothingIsMixed) {
  folder_.write(absl::StrCat(".roost-staging/", node_.shortHex(), "/ready/old.arrow"), "old");

  ASSERT_TRUE(arrive(kBase).ok());

  EXPECT_EQ(folder_.contents(), kBase);
}

TEST_F(DatasetsPublisherTest, HostilePathsAreRefused) {
  stage("rows");
  for (const char* path : {"org___rows/a/b/c.incomplete/x", "other/a/b/c/x", "x.lock"}) {
    Listing hostile = listing({});
    hostile.files.push_back({*RelativePath::parse(path), {sha256Of("rows"), 4}, std::nullopt});
    EXPECT_TRUE(absl::IsInvalidArgument(show(hostile).status())) << path;
  }
}

TEST_F(DatasetsPublisherTest, ALinkInTheWayLeadsNowhere) {
  const TempFolder outside;
  std::filesystem::create_directory_symlink(outside.path(), folder_ / "org___rows");

  EXPECT_TRUE(absl::IsPermissionDenied(arrive(kBase).status()));

  EXPECT_TRUE(std::filesystem::is_empty(outside.path()));
}

TEST_F(DatasetsPublisherTest, AStagingFolderThatNobodyNeedsGoes) {
  ASSERT_TRUE(arrive(kBase).ok());

  removeStaleStaging(folder_.root(), node_, "", absl::ZeroDuration());

  EXPECT_FALSE(folder_.has(".roost-staging"));
  stage("rows");
  removeStaleStaging(folder_.root(), node_, "", absl::ZeroDuration());
  EXPECT_TRUE(isStaged("rows")) << "a job may go on with it after a restart";
}

}  // namespace
}  // namespace roost
