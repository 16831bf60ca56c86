#include "cache/holder_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "cache/file_system.h"
#include "protocol/limits.h"
#include "tests/cache/temp_folder.h"

namespace roost {
namespace {

class HolderFileTest : public ::testing::Test {
 protected:
  absl::StatusOr<std::shared_ptr<const HolderFile>> open(const FilePlace& place) const {
    return HolderFile::open(place, blob_, hashes_, ours_.path());
  }
  std::shared_ptr<const LocalBlob> held(bool verified = true) const {
    return *LocalBlob::open(
        path_, blob_, *FileStamp::ofPath(path_),
        verified ? std::make_shared<const std::vector<PieceHash>>(hashes_) : nullptr);
  }

  TempFolder theirs_;
  TempFolder ours_;
  std::vector<uint8_t> content_ = randomBytes(kPieceBytes + 50, 1);
  BlobInfo blob_ = infoOf(content_);
  std::vector<PieceHash> hashes_ = hashesOf(content_).pieces;
  std::string path_ = theirs_.write("blob", textOf(content_));
};

TEST_F(HolderFileTest, WhatAHolderTellsIsFoundByAnAgentOnTheSameFileSystem) {
  const auto place = placeOf(*held());
  ASSERT_TRUE(place);
  const auto file = open(*place);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ((*file)->pieceHash(1), hashes_[1]);
  char first = 0;
  ASSERT_EQ(::pread((*file)->fd(), &first, 1, 0), 1);
  EXPECT_EQ(static_cast<uint8_t>(first), content_[0]);
}

TEST_F(HolderFileTest, APlaceIsToldWithoutSymlinks) {
  std::filesystem::create_directory_symlink(theirs_.path(), ours_ / "link");
  const auto linked = LocalBlob::open(ours_ / "link/blob", blob_, *FileStamp::ofPath(path_),
                                      std::make_shared<const std::vector<PieceHash>>(hashes_));
  ASSERT_TRUE(linked.ok());
  EXPECT_EQ(placeOf(**linked), placeOf(*held()));
}

TEST_F(HolderFileTest, WhatIsNotVerifiedHasNoPlace) {
  EXPECT_FALSE(placeOf(*held(false)));
}

TEST_F(HolderFileTest, WhatChangedHasNoPlace) {
  const auto blob = held();
  theirs_.write("blob", "short");
  EXPECT_FALSE(placeOf(*blob));
}

TEST_F(HolderFileTest, WhatIsNotTheFileThatWasMeantIsRefused) {
  const FilePlace right = *placeOf(*held());
  std::vector<FilePlace> wrong(6, right);
  wrong[0].fileSystem = "local:00000000000000000000000000000000";
  wrong[1].fileSystem.clear();
  ++wrong[2].inode;
  ++wrong[3].mtimeNs;
  wrong[4].path = "blob";
  wrong[5].path.push_back('\0');
  for (const FilePlace& place : wrong) {
    EXPECT_TRUE(absl::IsFailedPrecondition(open(place).status())) << place.path;
  }
  const auto shorter = HolderFile::open(right, {blob_.id, blob_.size - 1}, hashes_, ours_.path());
  EXPECT_TRUE(absl::IsFailedPrecondition(shorter.status()));
  const auto unhashed = HolderFile::open(right, blob_, {}, ours_.path());
  EXPECT_TRUE(absl::IsFailedPrecondition(unhashed.status()));
}

TEST_F(HolderFileTest, SymlinksFoldersAndPipesAreNotOpened) {
  FilePlace place = *placeOf(*held());
  const std::string name = theirs_ / "other";
  std::filesystem::create_symlink(path_, name);
  place.path = name;
  EXPECT_FALSE(open(place).ok());
  std::filesystem::remove(name);
  ASSERT_EQ(::mkfifo(name.c_str(), 0600), 0);  // opened for reading it would wait for a writer
  EXPECT_FALSE(open(place).ok());
  place.path = theirs_.path();
  EXPECT_FALSE(open(place).ok());
}

TEST_F(HolderFileTest, AFolderOnAnotherFileSystemTakesNothing) {
  const TempFolder memory("/dev/shm");
  if (realFolder(memory.path())->device == realFolder(theirs_.path())->device) {
    GTEST_SKIP() << "there is one file system only";
  }
  const auto file = HolderFile::open(*placeOf(*held()), blob_, hashes_, memory.path());
  EXPECT_TRUE(absl::IsFailedPrecondition(file.status())) << file.status();
}

}  // namespace
}  // namespace roost
