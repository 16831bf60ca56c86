#include "cache/local_blob.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "protocol/limits.h"
#include "tests/cache/temp_folder.h"

namespace roost {
namespace {

namespace fs = std::filesystem;

class LocalBlobTest : public ::testing::Test {
 protected:
  absl::StatusOr<std::shared_ptr<const LocalBlob>> tryOpen() {
    return LocalBlob::open(path_, infoOf(content_), stamp_, pieces_);
  }
  absl::Status readPiece(const LocalBlob& blob, uint64_t piece) {
    buffer_.resize(pieceBytes(content_.size(), piece));
    return blob.read(piece * kPieceBytes, absl::MakeSpan(buffer_));
  }
  void flipByteAt(uint64_t offset) {
    std::fstream file(path_, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(offset)).put(static_cast<char>(~content_[offset]));
  }
  // As if the flip were rot: the file system does not know of it.
  void rotAt(uint64_t offset) {
    flipByteAt(offset);
    timespec times[2] = {};
    times[0].tv_nsec = UTIME_OMIT;
    times[1] = {stamp_.mtimeNs / 1'000'000'000, stamp_.mtimeNs % 1'000'000'000};
    ASSERT_EQ(::utimensat(AT_FDCWD, path_.c_str(), times, 0), 0);
  }

  TempFolder folder_;
  std::vector<uint8_t> content_ = randomBytes(2 * kPieceBytes + 50, 1);
  std::string path_ = folder_.write("blob", textOf(content_));
  FileStamp stamp_ = *FileStamp::ofPath(path_);
  std::shared_ptr<const std::vector<PieceHash>> pieces_ =
      std::make_shared<const std::vector<PieceHash>>(hashesOf(content_).pieces);
  std::vector<uint8_t> buffer_;
};

TEST_F(LocalBlobTest, ReadsAnyRange) {
  const auto blob = *tryOpen();
  buffer_.resize(1000);
  ASSERT_TRUE(blob->read(kPieceBytes - 500, absl::MakeSpan(buffer_)).ok());
  EXPECT_TRUE(std::equal(buffer_.begin(), buffer_.end(), content_.begin() + kPieceBytes - 500));
  ASSERT_TRUE(readPiece(*blob, 2).ok());
  EXPECT_EQ(buffer_.size(), 50u);
}

TEST_F(LocalBlobTest, WhatIsNotToStayLeavesThePageCache) {
  const int fd = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC);
  ASSERT_EQ(::fsync(fd), 0);  // dirty pages would stay
  ASSERT_EQ(::posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
  ::close(fd);
  if (!cachedBytes(path_)) GTEST_SKIP() << "this file system has no disk";
  const auto blob = *tryOpen();
  for (const bool keepCached : {false, true}) {
    for (uint64_t piece = 0; piece < 3; ++piece) {
      buffer_.resize(pieceBytes(content_.size(), piece));
      ASSERT_TRUE(blob->read(piece * kPieceBytes, absl::MakeSpan(buffer_), keepCached).ok());
    }
    EXPECT_EQ(*cachedBytes(path_) >= 2 * kPieceBytes, keepCached) << *cachedBytes(path_);
  }
}

TEST_F(LocalBlobTest, ReadsFromMemoryWithoutWaiting) {
  const auto blob = *tryOpen();
  ASSERT_TRUE(readPiece(*blob, 0).ok());  // now it is in the page cache
  std::vector<uint8_t> bytes(kPieceBytes);
  const auto read = blob->tryRead(0, absl::MakeSpan(bytes));
  ASSERT_TRUE(read.ok());
  if (!*read) GTEST_SKIP() << "the file system of " << path_ << " has no RWF_NOWAIT";
  EXPECT_EQ(bytes, buffer_);
}

TEST_F(LocalBlobTest, RotDoesNotLeave) {
  rotAt(kPieceBytes + 9);
  const auto blob = tryOpen();
  ASSERT_TRUE(blob.ok()) << blob.status();
  EXPECT_TRUE(readPiece(**blob, 0).ok());
  EXPECT_TRUE(absl::IsDataLoss(readPiece(**blob, 1)));
  buffer_.resize(kPieceBytes);
  const auto tried = (*blob)->tryRead(kPieceBytes, absl::MakeSpan(buffer_));
  if (tried.ok()) {
    EXPECT_FALSE(*tried) << "rot was served";
  } else {
    EXPECT_TRUE(absl::IsDataLoss(tried.status()));
  }
}

TEST_F(LocalBlobTest, AFileThatChangedIsNotOpened) {
  flipByteAt(5);
  EXPECT_TRUE(absl::IsAborted(tryOpen().status()));
}

TEST_F(LocalBlobTest, AFileThatChangesMeanwhileIsNoticedAtItsEnd) {
  pieces_ = nullptr;  // not verified yet: only the stamp tells
  const auto blob = *tryOpen();
  ASSERT_TRUE(readPiece(*blob, 0).ok());
  flipByteAt(5);
  EXPECT_TRUE(absl::IsAborted(readPiece(*blob, 2)));
}

TEST_F(LocalBlobTest, ATruncatedFileIsDataLoss) {
  const auto blob = *tryOpen();
  fs::resize_file(path_, kPieceBytes);
  EXPECT_TRUE(absl::IsDataLoss(readPiece(*blob, 1)));
}

TEST_F(LocalBlobTest, ADeletedFileIsServedToItsEnd) {
  const auto blob = *tryOpen();
  fs::remove(path_);
  EXPECT_TRUE(readPiece(*blob, 2).ok());
  EXPECT_TRUE(absl::IsNotFound(tryOpen().status()));
}

TEST_F(LocalBlobTest, ANewHardLinkChangesNothing) {
  const auto blob = *tryOpen();
  fs::create_hard_link(path_, folder_ / "second");
  EXPECT_NE(*FileStamp::ofPath(path_), stamp_);
  EXPECT_TRUE(readPiece(*blob, 2).ok());
  EXPECT_TRUE(tryOpen().ok());
}

TEST_F(LocalBlobTest, AFifoIsNotAFile) {
  fs::remove(path_);
  ASSERT_EQ(::mkfifo(path_.c_str(), 0600), 0);
  EXPECT_FALSE(tryOpen().ok());
}

}  // namespace
}  // namespace roost
