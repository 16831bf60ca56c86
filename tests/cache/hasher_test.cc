#include "cache/hasher.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cache/unique_fd.h"
#include "protocol/limits.h"
#include "tests/cache/temp_folder.h"

namespace roost {
namespace {

using ::testing::HasSubstr;

std::vector<uint8_t> bytesOf(const std::string& text) {
  return {text.begin(), text.end()};
}

// One shot of OpenSSL over the whole, as reference.
std::string reference(const EVP_MD* algorithm, const std::string& text) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned length = 0;
  EVP_Digest(text.data(), text.size(), digest, &length, algorithm, nullptr);
  return hexOf({digest, length});
}

UniqueFd openForReading(const std::string& path) {
  return UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
}

void ageBy(const std::string& path, time_t seconds) {
  struct timespec times[2];
  ::clock_gettime(CLOCK_REALTIME, &times[0]);
  times[0].tv_sec -= seconds;
  times[1] = times[0];
  ASSERT_EQ(::utimensat(AT_FDCWD, path.c_str(), times, 0), 0);
}

TEST(BlobHasher, KnowsThePublishedVectors) {
  EXPECT_EQ(hashesOf(bytesOf("abc")).id.hex(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  // git hash-object of "hello world\n", and of nothing.
  EXPECT_EQ(hashesOf(bytesOf("hello world\n"), HashAlgorithm::kGitSha1).id.hex(),
            "3b18e512dba79e4c8300dd08aeb37f8e728b8dad");
  EXPECT_EQ(hashesOf({}, HashAlgorithm::kGitSha1).id.hex(),
            "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");
  EXPECT_EQ(hashesOf({}).id.hex(),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_TRUE(hashesOf({}).pieces.empty());
}

TEST(BlobHasher, AgreesWithOneShotHashesForEverySizeAroundAPiece) {
  for (const uint64_t size :
       {uint64_t{1}, kPieceBytes - 1, kPieceBytes, kPieceBytes + 1, 3 * kPieceBytes + 12345}) {
    const auto content = randomBytes(size, size);
    const BlobHashes hashes = hashesOf(content, HashAlgorithm::kGitSha1);
    EXPECT_EQ(hexOf(hashes.sha256), reference(EVP_sha256(), textOf(content)));
    EXPECT_EQ(hashes.id.hex(), reference(EVP_sha1(), "blob " + std::to_string(size) +
                                                         std::string(1, '\0') + textOf(content)));
    ASSERT_EQ(hashes.pieces.size(), pieceCount(size));
    for (uint64_t piece = 0; piece < hashes.pieces.size(); ++piece) {
      const auto bytes =
          absl::MakeConstSpan(content).subspan(piece * kPieceBytes, pieceBytes(size, piece));
      EXPECT_EQ(hashes.pieces[piece], pieceHash(bytes)) << "piece " << piece << " of " << size;
    }
  }
}

TEST(BlobHasher, DoesNotCareHowTheBytesWereCut) {
  const auto content = randomBytes(2 * kPieceBytes + 777, 1);
  const BlobHashes whole = hashesOf(content);
  std::mt19937_64 random(7);
  BlobHasher hasher(HashAlgorithm::kSha256, content.size());
  for (size_t at = 0; at < content.size();) {
    const size_t step = std::min<size_t>(1 + random() % 300'000, content.size() - at);
    hasher.update(absl::MakeConstSpan(content).subspan(at, step));
    at += step;
  }
  const BlobHashes cut = hasher.finish();
  EXPECT_EQ(cut.id, whole.id);
  EXPECT_EQ(cut.pieces, whole.pieces);
}

TEST(HashFile, HashesWhatIsThereAndReportsProgress) {
  const TempFolder folder;
  const auto content = randomBytes(2 * kPieceBytes + 5, 3);
  const std::string path = folder.write("file", textOf(content));
  for (const bool background : {false, true}) {
    std::atomic<uint64_t> progress = 0;
    const auto hashed = hashFile(openForReading(path).get(), path, infoOf(content),
                                 {.progress = &progress, .leavePageCacheAlone = background});
    ASSERT_TRUE(hashed.ok()) << hashed.status();
    EXPECT_EQ(hashed->hashes.id, infoOf(content).id);
    EXPECT_EQ(progress.load(), content.size());
  }
}

TEST(HashFile, TellsWrongContentWithoutAnError) {
  const TempFolder folder;
  auto content = randomBytes(1000, 3);
  const BlobInfo claimed = infoOf(content);
  content[500] ^= 1;
  const std::string path = folder.write("file", textOf(content));
  const auto hashed = hashFile(openForReading(path).get(), path, claimed, {});
  ASSERT_TRUE(hashed.ok());
  EXPECT_NE(hashed->hashes.id, claimed.id);
}

TEST(HashFile, RefusesAnotherSize) {
  const TempFolder folder;
  const std::string path = folder.write("file", "12345");
  BlobInfo claimed = infoOf(bytesOf("12345"));
  claimed.size = 6;
  const auto hashed = hashFile(openForReading(path).get(), path, claimed, {});
  EXPECT_EQ(hashed.status().code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(hashed.status().message(), HasSubstr("5 bytes, expected 6"));
}

TEST(HashFile, StopsWhenCancelled) {
  const TempFolder folder;
  const auto content = randomBytes(100, 3);
  const std::string path = folder.write("file", textOf(content));
  const std::atomic<bool> cancelled = true;
  EXPECT_TRUE(absl::IsCancelled(
      hashFile(openForReading(path).get(), path, infoOf(content), {.cancelled = &cancelled})
          .status()));
}

TEST(HashFile, OnlyAnOldFileCountsAsSettled) {
  const TempFolder folder;
  const auto content = randomBytes(100, 3);
  const std::string path = folder.write("file", textOf(content));
  const auto fresh = hashFile(openForReading(path).get(), path, infoOf(content), {});
  ASSERT_TRUE(fresh.ok());
  EXPECT_FALSE(fresh->settled);

  // ctime cannot be set back, so an old mtime alone does not settle it.
  ageBy(path, 3600);
  const auto onlyModifiedLongAgo = hashFile(openForReading(path).get(), path, infoOf(content), {});
  EXPECT_FALSE(onlyModifiedLongAgo->settled);
}

TEST(FileStamp, SettlesTwoSecondsAfterTheLastChange) {
  const absl::Time changed = absl::FromUnixSeconds(1'000'000);
  const FileStamp stamp{.mtimeNs = absl::ToUnixNanos(changed - absl::Hours(1)),
                        .ctimeNs = absl::ToUnixNanos(changed)};
  EXPECT_FALSE(stamp.settled(changed + absl::Milliseconds(1999)));
  EXPECT_TRUE(stamp.settled(changed + absl::Seconds(2)));
}

// Pages of a file that are in memory.
size_t residentPages(const std::string& path, size_t size) {
  const UniqueFd fd = openForReading(path);
  void* map = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, fd.get(), 0);
  std::vector<unsigned char> pages((size + 4095) / 4096);
  ::mincore(map, size, pages.data());
  ::munmap(map, size);
  return static_cast<size_t>(
      std::count_if(pages.begin(), pages.end(), [](unsigned char page) { return page & 1; }));
}

TEST(HashFile, BackgroundWorkLeavesThePageCacheAsItFoundIt) {
  const TempFolder folder;
  const auto content = randomBytes(8 * kPieceBytes, 3);
  const std::string path = folder.write("file", textOf(content));
  const UniqueFd fd = openForReading(path);
  ASSERT_EQ(::fsync(fd.get()), 0);
  ::posix_fadvise(fd.get(), 0, 0, POSIX_FADV_DONTNEED);
  if (residentPages(path, content.size()) > 0) {
    GTEST_SKIP() << "the file system of " << path << " keeps all its files in memory";
  }
  // Somebody uses the third piece.
  std::vector<uint8_t> buffer(kPieceBytes);
  ::posix_fadvise(fd.get(), 0, 0, POSIX_FADV_RANDOM);
  ASSERT_EQ(::pread(fd.get(), buffer.data(), buffer.size(), 2 * kPieceBytes), kPieceBytes);
  const size_t before = residentPages(path, content.size());
  ASSERT_GT(before, 0u);

  ASSERT_TRUE(hashFile(fd.get(), path, infoOf(content), {.leavePageCacheAlone = true}).ok());
  EXPECT_EQ(residentPages(path, content.size()), before);
}

}  // namespace
}  // namespace roost
