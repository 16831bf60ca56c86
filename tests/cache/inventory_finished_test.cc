// What the inventory makes of finished directories: their names, and whom they are told to.
#include "cache/datasets_layout.h"
#include "cache/finished_directory.h"
#include "cache/inventory.h"
#include "gmock/gmock.h"

namespace roost {
namespace {

using ::testing::ElementsAre;

constexpr char kBase[] = "org___my_rows/default/0.0.0/x/my_rows-train.arrow";
constexpr char kMapped[] = "org___my_rows/default/0.0.0/x/cache-01.arrow";

class InventoryFinishedTest : public ::testing::Test {
 protected:
  InventoryFinishedTest() {
    Root root;
    root.config.path = "/datasets";
    root.config.layout = Layout::kDatasets;
    root_ = inventory_.addRoot(root);
  }
  // One directory with these files; those that are named were hashed before.
  void apply(const std::vector<std::string>& paths, const std::vector<std::string>& hashed) {
    RepoScan scan{cache_, {}, {}, {}, {}, {}, {}, {}};
    ScannedFinished directory{*RefName::parse("default/0.0.0/x"), absl::UnixEpoch(), {}};
    std::vector<CopyTrust> trust;
    for (const std::string& path : paths) {
      const auto number = static_cast<uint32_t>(scan.copies.size());
      directory.files.push_back({*RelativePath::parse(path), number});
      scan.copies.push_back({path, std::nullopt, {1, 1 + number, 12, 1000, 1000}});
      const bool known = std::find(hashed.begin(), hashed.end(), path) != hashed.end();
      trust.push_back(known ? CopyTrust{Trust::kVerified, BlobId::sha256(Sha256{}), Sha256{}}
                            : CopyTrust{});
    }
    scan.finished.push_back(std::move(directory));
    inventory_.apply(root_, scan, trust);
  }
  // The files of the one directory that is told of; none if none is.
  std::vector<std::string> told() const {
    std::vector<std::string> paths;
    for (const RepoView& view : inventory_.repos()) {
      for (const RepoAdvert& advert : view.commits) {
        const auto listing = inventory_.listingForPeers(cache_, advert.commit);
        if (!listing) continue;
        EXPECT_TRUE(isFinishedListing(*listing));
        for (const FileEntry& file : listing->files) paths.push_back(file.path.text());
      }
    }
    return paths;
  }
  static RepoId dataset(const std::string& name) {
    return *RepoId::make(HubOrigin::huggingFace(), RepoType::kDataset, name);
  }

  Inventory inventory_;
  RootIndex root_{};
  const RepoId cache_ = *datasetCacheNamed(HubOrigin::huggingFace(), "org/MyRows");
};

TEST_F(InventoryFinishedTest, WhatMapAddsIsLeftOutUntilItIsHashed) {
  apply({kMapped, kBase}, {kBase});
  EXPECT_THAT(told(), ElementsAre(kBase));

  const auto job = inventory_.nextToVerify(absl::Now());
  ASSERT_TRUE(job.has_value());
  inventory_.checked(job->copy, {job->stamp, BlobId::sha256(Sha256{}), Sha256{}});

  EXPECT_THAT(told(), ElementsAre(kMapped, kBase));
}

TEST_F(InventoryFinishedTest, WithoutAllThatWasPreparedThereIsNone) {
  apply({kMapped, kBase}, {kMapped});

  EXPECT_THAT(told(), ElementsAre());
}

TEST_F(InventoryFinishedTest, OfTwoDatasetsWithOneFolderTheStricterCounts) {
  apply({kBase}, {kBase});

  inventory_.setVisibility(dataset("org/my_rows"), Visibility::kPrivate);
  inventory_.setVisibility(dataset("org/MyRows"), Visibility::kPublic);

  EXPECT_EQ(inventory_.visibilityOf(cache_), Visibility::kPrivate);
  EXPECT_THAT(told(), ElementsAre());
}

TEST_F(InventoryFinishedTest, TheSourcesWordCountsMoreThanAnotherNodes) {
  apply({kBase}, {kBase});
  inventory_.setVisibility(cache_, Visibility::kPublic);

  inventory_.setVisibility(dataset("org/MyRows"), Visibility::kGated);

  EXPECT_EQ(inventory_.visibilityOf(cache_), Visibility::kGated);
  EXPECT_THAT(told(), ElementsAre());
}

TEST_F(InventoryFinishedTest, AFolderThatIsRestrictedRestrictsWhatWasMadeOfIt) {
  apply({kBase}, {kBase});
  Root hub;
  hub.config.path = "/hub";
  hub.config.visibility = RootVisibility::kPrivate;
  const RootIndex index = inventory_.addRoot(hub);
  EXPECT_THAT(told(), ElementsAre(kBase));

  inventory_.apply(index, RepoScan{dataset("org/MyRows"), {}, {}, {}, {}, {}, {}, {}}, {});

  EXPECT_EQ(inventory_.visibilityOf(cache_), Visibility::kPrivate);
  EXPECT_THAT(told(), ElementsAre());
}

}  // namespace
}  // namespace roost
