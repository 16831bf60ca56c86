// Caches of the datasets library: what is told of finished directories, and how they arrive.
#include <algorithm>
#include <filesystem>
#include <fstream>

#include "gmock/gmock.h"
#include "node/folders.h"
#include "tests/cache/datasets_folder.h"
#include "tests/node/folders_at_work.h"

namespace roost {
namespace {

using testing::Contents;
using testing::datasetCache;
using testing::DatasetsFolder;
using testing::finishedListing;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::repoNamed;
using testing::sha256Of;
using ::testing::SizeIs;

const std::string& kDirectory = DatasetsFolder::kDirectory;
const Contents kBase = {{"dataset_info.json", "{}"}, {"rows-train.arrow", "rows"}};
const std::string kMapped = "cache-0123456789abcdef.arrow";

class DatasetsCacheTest : public ::testing::Test {
 protected:
  RootConfig root(Share share = Share::kNode) const {
    return {.path = folder_.root(),
            .layout = Layout::kDatasets,
            .origin = "HF_DATASETS_CACHE",
            .share = share};
  }
  Listing listing(Contents files) const { return finishedListing(cache_, kDirectory, files); }
  static void startChecked(FoldersAtWork& folders) {
    folders->mayCheck();
    folders.start();
  }
  bool tellsOf(const FoldersAtWork& folders, const Listing& listing) const {
    const auto told = folders.told.repos.find({cache_, listing.commit});
    return told != folders.told.repos.end() && told->second.complete();
  }
  PresenceKnown checkPresent(FoldersAtWork& folders, const Listing& wanted) const {
    std::optional<PresenceKnown> answer;
    folders->checkPresent({key_, wanted}, [&](PresenceKnown known) { answer = std::move(known); });
    folders.until([&] { return answer.has_value(); });
    return *std::move(answer);
  }
  void publish(FoldersAtWork& folders, const Listing& wanted) {
    published_.reset();
    folders->publish({key_, wanted, {}, {}}, [&](RepoPublished done) { published_ = done.status; });
  }
  absl::Status waitForPublish(FoldersAtWork& folders) {
    folders.until([&] { return published_.has_value(); });
    return *published_;
  }
  // As fetches do it.
  void stage(FoldersAtWork& folders, const Contents& files) const {
    for (const auto& [name, text] : files) {
      const BlobSite site{cache_, finishedCommit({}), *RelativePath::parse(name)};
      const auto publisher = folders->publisher(site);
      ASSERT_TRUE(publisher.ok()) << publisher.status();
      const auto slot = (*publisher)->blobSlot(cache_, {sha256Of(text), text.size()});
      ASSERT_TRUE(slot.ok()) << slot.status();
      std::ofstream(slot->path(), std::ios::binary) << text;
      const auto stamp = FileStamp::ofPath(slot->path());
      Sha256 sha256{};
      const auto digest = slot->blob.id.digest();
      std::copy(digest.begin(), digest.end(), sha256.begin());
      folders->landed({slot->blob,
                       site,
                       slot->path(),
                       {PublishOutcome::kPublished, *stamp},
                       {slot->blob.id, sha256, {}}});
    }
  }

  DatasetsFolder folder_;
  boost::asio::io_context io_;
  const RepoId cache_ = datasetCache("org/rows");
  const ObtainKey key_{NodeId::ofNumber(1), 1};
  std::optional<absl::Status> published_;
};

TEST_F(DatasetsCacheTest, AFinishedDirectoryIsToldOnceAllOfItIsHashed) {
  folder_.prepare(kDirectory, kBase);
  FoldersAtWork folders(io_, {root()});
  folders.start();
  EXPECT_THAT(folders.told.repos, IsEmpty());

  folders->mayCheck();
  folders.until([&] { return tellsOf(folders, listing(kBase)); });

  EXPECT_THAT(folders.told.repos, SizeIs(1));
  EXPECT_THAT(folders.told.blobs, SizeIs(2)) << "by sha256 alone";
  EXPECT_FALSE(folders.told.blobs.at(sha256Of("rows")).unverified);
  ASSERT_THAT(folders.told.refs, SizeIs(1));
  EXPECT_EQ(folders.told.refs.begin()->first.ref.text(),
            "default/0.0.0/" + DatasetsFolder::kCommit);
  EXPECT_EQ(folders->inventory().listing(cache_, listing(kBase).commit), listing(kBase));
}

TEST_F(DatasetsCacheTest, WhatMapMakesAndCleanupRemovesChangesIt) {
  folder_.prepare(kDirectory, kBase);
  FoldersAtWork folders(io_, {root()});
  startChecked(folders);
  folders.until([&] { return tellsOf(folders, listing(kBase)); });
  Contents mapped = kBase;
  mapped[kMapped] = "mapped";

  folder_.write(kDirectory + "/tmpabc", "mapped");
  std::filesystem::rename(folder_ / (kDirectory + "/tmpabc"),
                          folder_ / (kDirectory + "/" + kMapped));
  folders.until([&] { return tellsOf(folders, listing(mapped)); });
  EXPECT_THAT(folders.told.repos, SizeIs(1));

  std::filesystem::remove(folder_ / (kDirectory + "/" + kMapped));
  folders.until([&] { return tellsOf(folders, listing(kBase)); });
  EXPECT_THAT(folders.told.repos, SizeIs(1));
}

TEST_F(DatasetsCacheTest, WhatIsDeletedIsNotToldOf) {
  folder_.prepare(kDirectory, kBase);
  FoldersAtWork folders(io_, {root()});
  startChecked(folders);
  folders.until([&] { return tellsOf(folders, listing(kBase)); });

  std::filesystem::remove_all(folder_ / "org___rows");

  folders.until([&] { return folders.told.repos.empty() && folders.told.blobs.empty(); });
}

TEST_F(DatasetsCacheTest, ItIsAsPublicAsItsDataset) {
  folder_.prepare(kDirectory, kBase);
  FoldersAtWork folders(io_, {root()});
  startChecked(folders);
  folders.until([&] { return tellsOf(folders, listing(kBase)); });
  const Commit commit = listing(kBase).commit;
  const RepoId dataset = repoNamed("org/Rows", RepoType::kDataset);

  folders->setVisibility(dataset, Visibility::kPublic);
  folders.settle();
  EXPECT_EQ(folders.told.repos.at({cache_, commit}).visibility, Visibility::kPublic);

  folders->setVisibility(dataset, Visibility::kGated);
  folders.settle();
  EXPECT_THAT(folders.told.repos, IsEmpty());
  EXPECT_THAT(folders.told.blobs, IsEmpty());
  EXPECT_THAT(folders.told.refs, IsEmpty());
  EXPECT_FALSE(folders->inventory().listingForPeers(cache_, commit));
  EXPECT_TRUE(folders->inventory().listing(cache_, commit)) << "this node still has it";
}

TEST_F(DatasetsCacheTest, TheOperatorMaySharePrivateOnes) {
  folder_.prepare(kDirectory, kBase);
  FoldersAtWork folders(io_, {root(Share::kCluster)});
  startChecked(folders);
  folders->setVisibility(repoNamed("org/rows", RepoType::kDataset), Visibility::kPrivate);

  folders.until([&] { return tellsOf(folders, listing(kBase)); });

  EXPECT_TRUE(folders->inventory().listingForPeers(cache_, listing(kBase).commit));
}

// ---- Arrivals

TEST_F(DatasetsCacheTest, WhatArrivesIsToldWithoutBeingHashedAgain) {
  FoldersAtWork folders(io_, {root()});
  folders.start();
  const Listing wanted = listing(kBase);
  EXPECT_THAT(checkPresent(folders, wanted).present, ::testing::ElementsAre(false, false));
  stage(folders, kBase);
  EXPECT_THAT(checkPresent(folders, wanted).present, ::testing::ElementsAre(true, true))
      << "as after a restart";

  publish(folders, wanted);
  ASSERT_TRUE(waitForPublish(folders).ok()) << *published_;

  EXPECT_EQ(folder_.contents(), kBase);
  folders.until([&] { return tellsOf(folders, wanted); });
  EXPECT_THAT(folders->snapshotPath(cache_, wanted.commit), HasSubstr("/org___rows"));
}

TEST_F(DatasetsCacheTest, WhatIsSharedWithThisNodeAloneIsNotSharedOn) {
  FoldersAtWork folders(io_, {root()});
  folders.start();
  Listing wanted = listing(kBase);
  wanted.visibility = Visibility::kPrivate;
  checkPresent(folders, wanted);
  stage(folders, kBase);

  publish(folders, wanted);
  ASSERT_TRUE(waitForPublish(folders).ok()) << *published_;

  EXPECT_EQ(folder_.contents(), kBase);
  EXPECT_THAT(folders.told.repos, IsEmpty());
}

TEST_F(DatasetsCacheTest, AClientAtWorkIsWaitedFor) {
  FoldersAtWork folders(io_, {root()});
  folders.start();
  checkPresent(folders, listing(kBase));
  stage(folders, kBase);
  std::filesystem::create_directories(folder_ / "org___rows/default/0.0.0");
  {
    const UniqueFd lock = folder_.lock(kDirectory + "_builder.lock");
    publish(folders, listing(kBase));
    folders.runJob("publish finished");
    folders.settle();
    EXPECT_FALSE(folder_.has(kDirectory));
  }

  EXPECT_TRUE(waitForPublish(folders).ok()) << *published_;
  EXPECT_EQ(folder_.contents(), kBase);
}

TEST_F(DatasetsCacheTest, AnotherContentIsToldOfAsPartial) {
  folder_.prepare(kDirectory, {{"dataset_info.json", "{}"}, {"rows-train.arrow", "other"}});
  FoldersAtWork folders(io_, {root()});
  folders.start();
  checkPresent(folders, listing(kBase));
  stage(folders, kBase);

  publish(folders, listing(kBase));

  EXPECT_TRUE(absl::IsOutOfRange(waitForPublish(folders))) << *published_;
}

TEST_F(DatasetsCacheTest, OnlyListsOfFinishedDirectoriesAreObeyed) {
  FoldersAtWork folders(io_, {root()});
  folders.start();
  Listing wrongCommit = listing(kBase);
  wrongCommit.commit = testing::commitOf('a');
  const Listing elsewhere = finishedListing(cache_, "org___rows/default", kBase);
  const Listing ofAnother = finishedListing(datasetCache("org/other"), kDirectory, kBase);

  for (const Listing& hostile : {wrongCommit, elsewhere, ofAnother}) {
    EXPECT_TRUE(absl::IsInvalidArgument(checkPresent(folders, hostile).status));
  }
}

TEST_F(DatasetsCacheTest, WithoutACacheToWriteItSaysWhatToDo) {
  RootConfig readOnly = root();
  readOnly.write = false;
  FoldersAtWork folders(io_, {readOnly});
  folders.start();

  EXPECT_THAT(checkPresent(folders, listing(kBase)).status.message(),
              HasSubstr("--datasets-cache"));
}

}  // namespace
}  // namespace roost
