#include "cache/datasets_layout.h"

#include <filesystem>

#include "gmock/gmock.h"
#include "tests/cache/datasets_folder.h"

namespace roost {
namespace {

using ::testing::Contains;
using testing::Contents;
using testing::datasetCache;
using testing::DatasetsFolder;
using ::testing::ElementsAre;
using testing::finishedListing;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

const std::string& kDirectory = DatasetsFolder::kDirectory;

class DatasetsLayoutTest : public ::testing::Test {
 protected:
  RootScan scan(Share share = Share::kNode) const {
    auto scan = scanDatasets(folder_.root(), share, HubOrigin::huggingFace());
    EXPECT_TRUE(scan.ok()) << scan.status();
    return *std::move(scan);
  }
  // "repo ref: files", of all that is told.
  std::vector<std::string> told(Share share = Share::kNode) const {
    std::vector<std::string> all;
    for (const RepoScan& repo : scan(share).contents) {
      for (const ScannedFinished& directory : repo.finished) {
        std::string line = absl::StrCat(repo.repo.name(), " ", directory.ref.text(), ":");
        for (const ScannedFile& file : directory.files) {
          const std::string& place = repo.copies[file.copy].place;
          EXPECT_EQ(place, file.path.text());
          absl::StrAppend(&line, " ", place.substr(place.rfind('/') + 1));
        }
        all.push_back(line);
      }
    }
    return all;
  }
  static std::string line(const std::string& files) {
    return absl::StrCat("org/rows default/0.0.0/", DatasetsFolder::kCommit, ": ", files);
  }

  DatasetsFolder folder_;
};

TEST_F(DatasetsLayoutTest, AFinishedDirectoryIsTold) {
  folder_.prepare();

  EXPECT_THAT(told(), ElementsAre(line("dataset_info.json rows-train.arrow")));
  EXPECT_THAT(scan().problems, IsEmpty());
}

TEST_F(DatasetsLayoutTest, WhatMapMadeIsPartOfIt) {
  folder_.prepare();
  folder_.write(kDirectory + "/cache-0123456789abcdef.arrow", "mapped");

  EXPECT_THAT(told(), ElementsAre(HasSubstr(": cache-0123456789abcdef.arrow dataset_info.json")));
}

TEST_F(DatasetsLayoutTest, TemporariesLocksAndHiddenFilesAreNot) {
  folder_.prepare();
  for (const char* name : {"/tmpabc123", "/a.lock", "/.hidden", "/b.arrow.incomplete"}) {
    folder_.write(kDirectory + name, "x");
  }

  EXPECT_THAT(told(), ElementsAre(line("dataset_info.json rows-train.arrow")));
}

TEST_F(DatasetsLayoutTest, WhatIsNotFinishedIsNotTold) {
  folder_.prepare(kDirectory, {{"rows-train.arrow", "rows"}});  // no dataset_info.json
  folder_.prepare("org___other/default/0.0.0/" + DatasetsFolder::kCommit,
                  {{"dataset_info.json", "{}"}, {"cache-01.arrow", "mapped"}});
  folder_.write(
      "org___third/default/0.0.0/" + DatasetsFolder::kCommit + ".incomplete/dataset_info.json",
      "{}");

  EXPECT_THAT(told(), IsEmpty());
  EXPECT_THAT(scan().problems, IsEmpty());
}

TEST_F(DatasetsLayoutTest, WhatIsBeingDeletedIsNotTold) {
  folder_.prepare(kDirectory, {{"dataset_info.json",
                                R"({"dataset_name": "rows", "splits": {"train": {}, "test": {}}})"},
                               {"rows-train.arrow", "rows"},
                               {"rows-test.arrow", "rows"}});
  EXPECT_THAT(told(), SizeIs(1));

  std::filesystem::remove(folder_ / (kDirectory + "/rows-test.arrow"));

  EXPECT_THAT(told(), IsEmpty());
}

TEST_F(DatasetsLayoutTest, WhatIsBeingMadeAnewIsNotTold) {
  folder_.prepare();
  folder_.write(kDirectory + ".incomplete/rows-train.arrow", "new");
  EXPECT_THAT(told(), SizeIs(1)) << "nobody holds the lock: a client was killed";

  const UniqueFd lock = folder_.lock(kDirectory + "_builder.lock");

  EXPECT_THAT(told(), IsEmpty());
}

TEST_F(DatasetsLayoutTest, AClientThatOnlyLooksMakesNoDifference) {
  folder_.prepare();
  const UniqueFd lock = folder_.lock(kDirectory + "_builder.lock");

  EXPECT_THAT(told(), SizeIs(1));
}

TEST_F(DatasetsLayoutTest, WhatWasMadeOfLocalFilesIsSharedOnlyOnDemand) {
  folder_.prepare("json/default-0123456789abcdef/0.0.0/" + std::string(64, 'd'));

  EXPECT_THAT(told(), IsEmpty());
  EXPECT_THAT(told(Share::kCluster), ElementsAre(HasSubstr("json default-0123456789abcdef")));
}

TEST_F(DatasetsLayoutTest, AHubDatasetWithoutAnOrgIsOfTheHub) {
  folder_.prepare("squad/plain_text/0.0.0/" + DatasetsFolder::kCommit);

  EXPECT_THAT(told(), ElementsAre(HasSubstr("squad plain_text/0.0.0")));
}

TEST_F(DatasetsLayoutTest, LinksAreNotFollowed) {
  folder_.prepare();
  TempFolder outside;
  outside.write("secret", "token");
  std::filesystem::create_symlink(outside / "secret", folder_ / (kDirectory + "/stolen.arrow"));
  folder_.prepare("org___b/default/0.0.0/" + DatasetsFolder::kCommit);
  std::filesystem::create_directory_symlink(folder_ / "org___b", folder_ / "org___linked");

  EXPECT_THAT(told(), ElementsAre(HasSubstr("org/b ")));
  EXPECT_THAT(scan().problems, ElementsAre(HasSubstr("\"stolen.arrow\" in it is not a file")));
}

TEST_F(DatasetsLayoutTest, ADirectoryThatNoNameCanTellIsAProblem) {
  folder_.prepare("org___rows/a config/0.0.0/" + DatasetsFolder::kCommit);

  EXPECT_THAT(told(), IsEmpty());
  EXPECT_THAT(scan().problems, ElementsAre(HasSubstr("a config")));
}

TEST_F(DatasetsLayoutTest, OtherFoldersArePassedOver) {
  folder_.prepare("downloads/default/0.0.0/" + DatasetsFolder::kCommit);
  folder_.prepare(".roost-staging/default/0.0.0/" + DatasetsFolder::kCommit);
  folder_.prepare("Org___NotSnake/default/0.0.0/" + DatasetsFolder::kCommit);
  folder_.write("token", "hf_secret");

  EXPECT_THAT(told(Share::kCluster), IsEmpty());
}

TEST_F(DatasetsLayoutTest, EveryDirectoryIsToBeWatched) {
  folder_.prepare();

  std::vector<std::string> paths;
  for (const ScannedDirectory& directory : scan().below) paths.push_back(directory.path);

  EXPECT_THAT(paths, ElementsAre("org___rows", "org___rows/default", "org___rows/default/0.0.0",
                                 kDirectory));
}

TEST(DatasetCacheNameTest, IsTheFoldersAndTheHubs) {
  for (const char* name : {"Org/MyData", "Org/my_data", "Org___my_data"}) {
    EXPECT_EQ(datasetCache(name).name(), "Org/my_data") << name;
  }
  EXPECT_EQ(datasetCache("org/ABCData2V").name(), "org/abc_data2_v");
  EXPECT_EQ(datasetCache("squad").name(), "squad");
  EXPECT_EQ(datasetsFolder(datasetCache("org/a___b")), "org___a___b");
  EXPECT_EQ(datasetCache("org___a___b").name(), "org/a___b");
  for (const char* name : {"", "../x", "org___..", "a/b/c", "a b"}) {
    EXPECT_FALSE(datasetCacheNamed(HubOrigin::huggingFace(), name).ok()) << name;
  }
}

TEST(DatasetCacheNameTest, IsKnownFromTheDataset) {
  const auto dataset = RepoId::make(HubOrigin::huggingFace(), RepoType::kDataset, "org/MyData");
  EXPECT_EQ(datasetCacheOf(*dataset)->toString(), "dataset-caches/org/my_data");
  EXPECT_FALSE(datasetCacheOf(testing::repoNamed("org/model")));
}

TEST(DatasetsPlaceTest, IsOneOfAFinishedDirectory) {
  const RepoId cache = datasetCache("org/rows");
  const auto place = [&](const std::string& path) {
    return datasetsPlace(cache, *RelativePath::parse(path));
  };
  EXPECT_EQ(place(kDirectory + "/a.arrow")->directory(), kDirectory);
  for (const std::string& path :
       {std::string("a.arrow"), kDirectory, kDirectory + "/sub/a.arrow",
        "org___other/default/0.0.0/" + DatasetsFolder::kCommit + "/a.arrow",
        kDirectory + ".incomplete/a.arrow", kDirectory + "/a.lock", kDirectory + "/tmpx",
        std::string("org___rows/default/0.0.0/x_builder.lock/a.arrow"),
        std::string("org___rows/.a/0.0.0/x/a.arrow")}) {
    EXPECT_FALSE(place(path)) << path;
  }
}

TEST(FinishedDirectoryTest, ItsCommitIsItsContent) {
  const RepoId cache = datasetCache("org/rows");
  const Contents files = {{"a.arrow", "a"}, {"dataset_info.json", "{}"}};
  const Listing listing = finishedListing(cache, kDirectory, files);
  EXPECT_TRUE(isFinishedListing(listing));
  EXPECT_EQ(listing.commit, finishedListing(cache, kDirectory, files).commit);

  Listing other = listing;
  other.files[0].blob.size += 1;
  EXPECT_FALSE(isFinishedListing(other));
  other = listing;
  other.complete = false;
  EXPECT_FALSE(isFinishedListing(other));
  EXPECT_NE(finishedListing(cache, kDirectory + "0", files).commit, listing.commit);
}

}  // namespace
}  // namespace roost
