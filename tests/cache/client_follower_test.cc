// A writer beside a client that downloads the same blob into the same folder.
#include "cache/client_follower.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>

#include "cache/unique_fd.h"
#include "protocol/limits.h"
#include "tests/cache/temp_folder.h"

namespace roost {
namespace {

namespace fs = std::filesystem;

const NodeId kNode = *NodeId::parse("1234567890abcdef1234567890abcdef");

class ClientFollowerTest : public ::testing::Test {
 protected:
  ClientFollowerTest() {
    fs::create_directories(blobs());
    fs::create_directories(locks());
    follower_.emplace(*SafeDir::openRoot(hub_.path()), repo_, slot());
  }

  std::string blobs() const { return hub_ / "models--org--tiny/blobs"; }
  std::string locks() const { return hub_ / ".locks/models--org--tiny"; }
  std::string final() const { return blobs() + "/" + blob_.id.hex(); }
  std::string clientsFile() const { return final() + ".0123abcd.incomplete"; }
  BlobSlot slot() const { return {*SafeDir::openRoot(blobs()), blob_}; }
  uint64_t blocksOfOurs() const {
    struct stat st;
    const std::string path = blobs() + "/" + slot().temporaryName(kNode);
    return ::stat(path.c_str(), &st) == 0 ? static_cast<uint64_t>(st.st_blocks) * 512 : 0;
  }

  void open(bool shared = true) {
    auto writer = BlobWriter::open(
        slot(),
        {.node = kNode, .journalFolder = hub_ / "partial", .shared = shared, .memory = memory_},
        reservations_);
    if (!writer.ok()) throw std::runtime_error(writer.status().ToString());
    writer_ = *std::move(writer);
  }
  void write(uint64_t piece) {
    const auto part =
        absl::MakeConstSpan(content_).subspan(piece * kPieceBytes, pieceBytes(blob_.size, piece));
    ASSERT_TRUE(writer_->write(piece, part).ok());
  }
  bool reads(uint64_t piece) const {
    std::vector<uint8_t> buffer(kPieceBytes);
    const auto count = writer_->readPiece(piece, absl::MakeSpan(buffer));
    if (!count.ok()) return false;
    buffer.resize(*count);
    return std::equal(buffer.begin(), buffer.end(),
                      content_.begin() + static_cast<ptrdiff_t>(piece * kPieceBytes));
  }

  // ---- The client.
  void takeLock() {
    lock_ = UniqueFd(
        ::open((locks() + "/" + blob_.id.hex() + ".lock").c_str(), O_RDWR | O_CREAT, 0664));
    ASSERT_EQ(::flock(lock_.get(), LOCK_EX | LOCK_NB), 0);
  }
  void releaseLock() { lock_ = UniqueFd(); }
  void clientWrites(uint64_t upTo) {
    std::ofstream file(clientsFile(), std::ios::binary);
    file.write(reinterpret_cast<const char*>(content_.data()), static_cast<std::streamsize>(upTo));
  }
  void clientPublishes() { fs::rename(clientsFile(), final()); }

  ClientFollower::Seen look(bool waiting = false) {
    return follower_->look(*writer_, waiting, absl::Now() + later_);
  }

  TempFolder hub_{fs::exists("/dev/shm") ? "/dev/shm" : ::testing::TempDir()};
  const RepoId repo_ = *RepoId::make(HubOrigin::huggingFace(), RepoType::kModel, "org/tiny");
  const std::vector<uint8_t> content_ = randomBytes(6 * kPieceBytes + 1000, 1);
  const BlobInfo blob_ = infoOf(content_);
  static constexpr uint64_t kPieces = 7;
  std::shared_ptr<MemoryRoom> memory_ = std::make_shared<MemoryRoom>(uint64_t{64} << 20);
  std::shared_ptr<Reservations> reservations_ = Reservations::create(0);
  std::unique_ptr<BlobWriter> writer_;
  std::optional<ClientFollower> follower_;
  UniqueFd lock_;
  absl::Duration later_ = absl::ZeroDuration();
};

TEST_F(ClientFollowerTest, WithoutAClientTheBlobIsOurs) {
  EXPECT_FALSE(follower_->clientAtWork(absl::Now()));
  open(false);
  write(0);
  EXPECT_FALSE(look().shared);
  EXPECT_GE(blocksOfOurs(), kPieceBytes);
}

TEST_F(ClientFollowerTest, ALockOrAFreshFileIsAClient) {
  takeLock();
  EXPECT_TRUE(follower_->clientAtWork(absl::Now()));
  releaseLock();
  EXPECT_FALSE(follower_->clientAtWork(absl::Now()));
  clientWrites(10);
  EXPECT_TRUE(follower_->clientAtWork(absl::Now())) << "clients without locks";
  EXPECT_FALSE(follower_->clientAtWork(absl::Now() + absl::Seconds(11))) << "left by one";
}

TEST_F(ClientFollowerTest, TheBlobIsWrittenOnceByTheClient) {
  takeLock();
  clientWrites(0);
  open();
  for (uint64_t piece = 0; piece < kPieces; ++piece) {
    write(piece);
    EXPECT_EQ(look().settled, piece);
    EXPECT_TRUE(reads(piece)) << "from memory";
    clientWrites(std::min(blob_.size, (piece + 1) * kPieceBytes));
    EXPECT_EQ(look().settled, piece + 1);
    EXPECT_TRUE(reads(piece)) << "from the client's file";
    EXPECT_EQ(blocksOfOurs(), 0u);
    EXPECT_EQ(memory_->free(), uint64_t{64} << 20);
  }
  ASSERT_TRUE(writer_->finish().ok());
  EXPECT_TRUE(look(true).shared);
  EXPECT_FALSE(writer_->adopt()->has_value()) << "it has no name yet";

  clientPublishes();
  releaseLock();
  ASSERT_TRUE(look(true).shared);
  const auto adopted = writer_->adopt();
  ASSERT_TRUE(adopted.ok() && adopted->has_value()) << adopted.status();
  EXPECT_EQ((*adopted)->stamp.size, blob_.size);
  writer_.reset();
  EXPECT_EQ(std::distance(fs::directory_iterator(blobs()), fs::directory_iterator()), 1);
}

TEST_F(ClientFollowerTest, OnlyWhatIsRightCounts) {
  takeLock();
  open();
  write(0);
  write(1);
  clientWrites(2 * kPieceBytes);
  {
    std::fstream file(clientsFile(), std::ios::binary | std::ios::in | std::ios::out);
    file.seekp(kPieceBytes + 5);
    file.put(static_cast<char>(content_[kPieceBytes + 5] ^ 1));
  }
  EXPECT_EQ(look().settled, 1u);
  EXPECT_TRUE(reads(1)) << "ours is kept";
}

TEST_F(ClientFollowerTest, WhatDoesNotFitInMemoryWaitsOnTheDisk) {
  memory_ = std::make_shared<MemoryRoom>(2 * kPieceBytes);
  takeLock();
  open();
  for (uint64_t piece = 0; piece < 4; ++piece) write(piece);
  EXPECT_EQ(memory_->free(), 0u);
  EXPECT_EQ(blocksOfOurs(), 2 * kPieceBytes);
  for (uint64_t piece = 0; piece < 4; ++piece) EXPECT_TRUE(reads(piece));
  clientWrites(4 * kPieceBytes);
  EXPECT_EQ(look().settled, 4u);
  EXPECT_EQ(blocksOfOurs(), 0u);
}

TEST_F(ClientFollowerTest, AClientThatComesLaterTakesOver) {
  open(false);
  for (uint64_t piece = 0; piece < 3; ++piece) write(piece);
  EXPECT_FALSE(look().shared);
  takeLock();
  EXPECT_TRUE(look().shared);
  EXPECT_EQ(blocksOfOurs(), 3 * kPieceBytes) << "only what is there";
  clientWrites(3 * kPieceBytes);
  EXPECT_EQ(look().settled, 3u);
  EXPECT_EQ(blocksOfOurs(), 0u);
}

TEST_F(ClientFollowerTest, OfAClientThatGivesUpNothingIsLost) {
  takeLock();
  open();
  for (uint64_t piece = 0; piece < 3; ++piece) write(piece);
  clientWrites(2 * kPieceBytes);
  ASSERT_EQ(look().settled, 2u);
  fs::remove(clientsFile());  // as huggingface_hub does when a download fails
  releaseLock();
  EXPECT_FALSE(look().shared);
  EXPECT_EQ(blocksOfOurs(), 3 * kPieceBytes);
  for (uint64_t piece = 0; piece < 3; ++piece) EXPECT_TRUE(reads(piece));

  // And the next writer goes on from there.
  writer_->close(true);
  writer_.reset();
  open(false);
  EXPECT_EQ(writer_->present().size(), 3u);
}

TEST_F(ClientFollowerTest, AClientThatHangsAtTheEndIsNotWaitedForLongerThanFiveSeconds) {
  takeLock();
  open();
  for (uint64_t piece = 0; piece < kPieces; ++piece) write(piece);
  clientWrites(5 * kPieceBytes);
  ASSERT_TRUE(writer_->finish().ok());
  ASSERT_EQ(look(true).settled, 5u);
  later_ = absl::Seconds(4);
  EXPECT_TRUE(look(true).shared);
  later_ = absl::Seconds(6);
  EXPECT_FALSE(look(true).shared);
  ASSERT_TRUE(writer_->publish().ok());
  EXPECT_EQ(fs::file_size(final()), blob_.size);
}

TEST_F(ClientFollowerTest, WhileItIsFedAClientIsWaitedFor) {
  takeLock();
  open();
  write(0);
  clientWrites(kPieceBytes);
  ASSERT_EQ(look().settled, 1u);
  later_ = absl::Minutes(2);  // nothing came from anywhere
  EXPECT_TRUE(look().shared);
}

TEST_F(ClientFollowerTest, AFileThatIsOverwrittenIsNoticed) {
  takeLock();
  open();
  write(0);
  write(1);
  clientWrites(2 * kPieceBytes);
  ASSERT_EQ(look().settled, 2u);
  fs::resize_file(clientsFile(), 0);  // it begins again, in place
  EXPECT_TRUE(writer_->has(0));
  EXPECT_FALSE(reads(0)) << "wrong bytes are never read";
  EXPECT_TRUE(look().lost);
  ASSERT_TRUE(writer_->restart().ok());
  EXPECT_FALSE(writer_->lost());
  EXPECT_TRUE(writer_->present().empty());
}

TEST_F(ClientFollowerTest, AWrongFileUnderTheNameIsReplaced) {
  takeLock();
  open();
  for (uint64_t piece = 0; piece < kPieces; ++piece) write(piece);
  clientWrites(blob_.size);
  ASSERT_EQ(look().settled, kPieces);
  ASSERT_TRUE(writer_->finish().ok());
  std::ofstream(final(), std::ios::binary) << "something else";
  releaseLock();
  EXPECT_FALSE(writer_->adopt()->has_value());
  const auto published = writer_->publish();
  ASSERT_TRUE(published.ok()) << published.status();
  EXPECT_EQ(published->outcome, PublishOutcome::kReplacedWrong);
  EXPECT_EQ(fs::file_size(final()), blob_.size);
}

}  // namespace
}  // namespace roost
