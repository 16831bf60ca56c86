#include "cache/blob_writer.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/magic.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <numeric>
#include <random>
#include <thread>

#include "cache/file_system.h"
#include "cache/leftovers.h"
#include "cache/piece_journal.h"
#include "protocol/limits.h"
#include "tests/cache/equal_xxh3.h"
#include "tests/cache/temp_folder.h"

namespace roost {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const NodeId kNode = *NodeId::parse("1234567890abcdef1234567890abcdef");

class BlobWriterTest : public ::testing::Test {
 protected:
  explicit BlobWriterTest(const std::string& in = ::testing::TempDir()) : folder_(in) {}
  void SetUp() override { fs::create_directory(blobs()); }

  std::string blobs() const { return folder_ / "blobs"; }
  std::string journals() const { return folder_ / "partial"; }
  std::string final(const BlobInfo& blob) const { return blobs() + "/" + blob.id.hex(); }
  std::string temporary(const BlobInfo& blob) const {
    return blobs() + "/" + slot(blob).temporaryName(kNode);
  }
  BlobSlot slot(const BlobInfo& blob) const { return {*SafeDir::openRoot(blobs()), blob}; }

  absl::StatusOr<std::unique_ptr<BlobWriter>> tryOpen(const BlobInfo& blob) {
    return BlobWriter::open(slot(blob), {.node = kNode, .journalFolder = journals()},
                            reservations_);
  }
  std::unique_ptr<BlobWriter> open(const BlobInfo& blob) {
    auto writer = tryOpen(blob);
    if (!writer.ok()) throw std::runtime_error(writer.status().ToString());
    return *std::move(writer);
  }
  static absl::Status write(BlobWriter& writer, const std::vector<uint8_t>& content,
                            uint64_t piece) {
    return writer.write(piece, absl::MakeConstSpan(content).subspan(
                                   piece * kPieceBytes, pieceBytes(content.size(), piece)));
  }
  std::vector<std::string> filesInBlobs() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(blobs())) {
      names.push_back(entry.path().filename());
    }
    return names;
  }
  bool noJournals() const { return !fs::exists(journals()) || fs::is_empty(journals()); }

  TempFolder folder_;
  std::shared_ptr<Reservations> reservations_ = Reservations::create(0);
};

TEST_F(BlobWriterTest, PublishesWhatItVerified) {
  const auto content = randomBytes(2 * kPieceBytes + 100, 1);
  const BlobInfo blob = infoOf(content);
  auto writer = open(blob);
  for (uint64_t piece = 0; piece < 3; ++piece) ASSERT_TRUE(write(*writer, content, piece).ok());
  EXPECT_FALSE(fs::exists(final(blob)));

  const auto hashes = writer->finish();
  ASSERT_TRUE(hashes.ok()) << hashes.status();
  EXPECT_FALSE(fs::exists(final(blob)));
  const auto published = writer->publish();
  ASSERT_TRUE(published.ok()) << published.status();

  EXPECT_EQ(published->outcome, PublishOutcome::kPublished);
  EXPECT_EQ(published->stamp, *FileStamp::ofPath(final(blob)));
  EXPECT_EQ(hashes->pieces, hashesOf(content).pieces);
  EXPECT_EQ(contentOf(final(blob)), textOf(content));
  EXPECT_THAT(filesInBlobs(), ElementsAre(blob.id.hex()));
  EXPECT_TRUE(noJournals());
}

TEST_F(BlobWriterTest, TakesPiecesInEveryOrder) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const auto algorithm = seed % 2 ? HashAlgorithm::kGitSha1 : HashAlgorithm::kSha256;
    const auto content = randomBytes(5 * kPieceBytes + seed, seed);
    auto writer = open(infoOf(content, algorithm));
    std::vector<uint64_t> order(pieceCount(content.size()));
    std::iota(order.begin(), order.end(), 0);
    std::shuffle(order.begin(), order.end(), std::mt19937_64(seed));
    for (const uint64_t piece : order) ASSERT_TRUE(write(*writer, content, piece).ok());
    EXPECT_EQ(writer->finish()->sha256, hashesOf(content).sha256) << "seed " << seed;
  }
}

TEST_F(BlobWriterTest, WhatASecondSenderSendsIsNotHashedInsteadOfWhatIsStored) {
  const auto first = randomBytes(kPieceBytes, 1);
  const auto second = randomBytes(kPieceBytes, 2);
  auto content = first;
  content.insert(content.end(), second.begin(), second.end());
  auto wrong = second;
  wrong[3] ^= 1;
  for (const auto& lie : {wrong, withEqualXxh3(second)}) {
    ASSERT_NE(lie, second);
    auto writer = open(infoOf(content));
    // The second piece comes early, and wrong; right once more when it would be its turn.
    auto stored = *writer->store(1, lie);
    writer->hash(1, lie, stored);
    stored = *writer->store(0, first);
    ASSERT_TRUE(writer->hash(0, first, stored));
    stored = *writer->store(1, second);
    EXPECT_FALSE(stored.taken);
    writer->hash(1, second, stored);
    ASSERT_TRUE(writer->catchUp().ok());
    EXPECT_TRUE(absl::IsDataLoss(writer->finish().status())) << "the file has the wrong bytes";
  }
}

TEST_F(BlobWriterTest, WhatWasStoredBeforeARestartIsForgotten) {
  const auto content = randomBytes(2 * kPieceBytes, 1);
  const auto piece = absl::MakeConstSpan(content).first(kPieceBytes);
  auto writer = open(infoOf(content));
  const auto stored = *writer->store(0, piece);
  EXPECT_FALSE(writer->forgot(stored));
  ASSERT_TRUE(writer->restart().ok());
  EXPECT_TRUE(writer->forgot(stored));
  EXPECT_FALSE(writer->hash(0, piece, stored));
  EXPECT_FALSE(writer->has(0));
}

// Who reads from it still keeps the file open.
TEST_F(BlobWriterTest, OnceClosedTheNextOneMayWrite) {
  const auto content = randomBytes(2 * kPieceBytes, 1);
  const auto writer = open(infoOf(content));
  ASSERT_TRUE(write(*writer, content, 0).ok());
  writer->close(true);
  const auto next = open(infoOf(content));
  ASSERT_NE(next, nullptr);
  EXPECT_TRUE(next->has(0));
}

// What a holder has, and knows of it.
std::shared_ptr<const HolderFile> holderFile(const TempFolder& folder,
                                             const std::vector<uint8_t>& has,
                                             const std::vector<uint8_t>& knows) {
  const std::string path = folder.write("theirs", textOf(has));
  const FileStamp stamp = *FileStamp::ofPath(path);
  const FilePlace place{fileSystemNameOf(*realFolder(folder.path())), path, stamp.inode,
                        stamp.mtimeNs};
  return *HolderFile::open(place, infoOf(knows), hashesOf(knows).pieces, folder.path());
}

TEST_F(BlobWriterTest, CopiesFromAHoldersFile) {
  const auto content = randomBytes(3 * kPieceBytes + 100, 1);
  const auto file = holderFile(folder_, content, content);
  auto writer = open(infoOf(content));
  std::vector<uint8_t> buffer;
  for (const uint64_t piece : {3, 0, 2, 1, 1}) {
    buffer.resize(pieceBytes(content.size(), piece));
    const auto stored = writer->copy(piece, *file, absl::MakeSpan(buffer));
    ASSERT_TRUE(stored.ok()) << stored.status();
    EXPECT_TRUE(std::equal(buffer.begin(), buffer.end(), content.begin() + piece * kPieceBytes));
    if (writer->hash(piece, buffer, *stored)) {
      ASSERT_TRUE(writer->catchUp().ok());
    }
  }
  ASSERT_TRUE(writer->finish().ok());
  ASSERT_TRUE(writer->publish().ok());
  EXPECT_EQ(contentOf(final(infoOf(content))), textOf(content));
}

TEST_F(BlobWriterTest, WhatAHoldersFileDoesNotHaveIsNotCopied) {
  const auto content = randomBytes(2 * kPieceBytes, 1);
  auto has = content;
  has[kPieceBytes + 5] ^= 1;
  const auto file = holderFile(folder_, has, content);
  auto writer = open(infoOf(content));
  std::vector<uint8_t> buffer(kPieceBytes);
  EXPECT_TRUE(writer->copy(0, *file, absl::MakeSpan(buffer)).ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(writer->copy(1, *file, absl::MakeSpan(buffer)).status()));
  EXPECT_FALSE(writer->has(1));
  EXPECT_TRUE(absl::IsNotFound(writer->readPiece(1, absl::MakeSpan(buffer)).status()));
  // Cut short since.
  fs::resize_file(folder_ / "theirs", kPieceBytes / 2);
  EXPECT_TRUE(absl::IsFailedPrecondition(writer->copy(1, *file, absl::MakeSpan(buffer)).status()));
  // And by another way it comes all the same.
  ASSERT_TRUE(write(*writer, content, 1).ok());
  EXPECT_TRUE(writer->has(1));
}

TEST_F(BlobWriterTest, BesideAClientACopyWaitsAsWhatCameByALink) {
  const auto content = randomBytes(2 * kPieceBytes, 1);
  const auto file = holderFile(folder_, content, content);
  auto writer = open(infoOf(content));
  writer->share(true);
  std::vector<uint8_t> buffer(kPieceBytes);
  ASSERT_TRUE(writer->copy(1, *file, absl::MakeSpan(buffer)).ok());
  EXPECT_EQ(*writer->readPiece(1, absl::MakeSpan(buffer)), kPieceBytes);
  EXPECT_TRUE(std::equal(buffer.begin(), buffer.end(), content.begin() + kPieceBytes));
}

// As the queues of a fetch do it: while one piece is hashed the next one is stored.
TEST_F(BlobWriterTest, HashesOnOneThreadWhatIsStoredOnAnother) {
  const auto content = randomBytes(24 * kPieceBytes + 11, 1);
  const auto bytes = [&](uint64_t piece) {
    return absl::MakeConstSpan(content).subspan(piece * kPieceBytes,
                                                pieceBytes(content.size(), piece));
  };
  auto writer = open(infoOf(content));
  std::vector<std::thread> hashing;
  std::atomic<int> early = 0;
  for (const uint64_t first : {1, 0, 2}) {  // piece 0 comes in the middle
    for (uint64_t piece = first; piece < pieceCount(content.size()); piece += 3) {
      const auto stored = writer->store(piece, bytes(piece));
      ASSERT_TRUE(stored.ok()) << stored.status();
      hashing.emplace_back([&, piece, number = *stored] {
        if (writer->hash(piece, bytes(piece), number)) ++early;
      });
    }
  }
  for (std::thread& thread : hashing) thread.join();
  EXPECT_GT(early, 0);
  ASSERT_TRUE(writer->catchUp().ok());
  EXPECT_EQ(writer->finish()->sha256, hashesOf(content).sha256);
}

TEST_F(BlobWriterTest, StoresNothingOnceItIsClosed) {
  const auto content = randomBytes(2 * kPieceBytes, 1);
  auto writer = open(infoOf(content));
  ASSERT_TRUE(write(*writer, content, 0).ok());
  writer->close(false);
  EXPECT_TRUE(filesInBlobs().empty());
  EXPECT_TRUE(absl::IsCancelled(write(*writer, content, 1)));
  writer.reset();
  EXPECT_TRUE(filesInBlobs().empty());
}

TEST_F(BlobWriterTest, WhatFindsNoRoomInThePageCacheIsDroppedFromIt) {
  constexpr uint64_t kKept = 20 * kPieceBytes;
  const auto content = randomBytes(100 * kPieceBytes, 1);
  auto writer = *BlobWriter::open(
      slot(infoOf(content)),
      {.node = kNode, .journalFolder = journals(), .pages = std::make_shared<PageCacheRoom>(kKept)},
      reservations_);
  for (uint64_t piece = 0; piece < 100; ++piece) {
    ASSERT_TRUE(write(*writer, content, piece).ok());
  }
  const auto before = cachedBytes(temporary(infoOf(content)));
  if (!before) GTEST_SKIP() << "this file system does not tell what is cached";
  EXPECT_LT(*before, 60 * kPieceBytes) << "not only at the end";
  ASSERT_TRUE(writer->finish().ok());
  ASSERT_TRUE(writer->publish().ok());
  const auto after = cachedBytes(final(infoOf(content)));
  EXPECT_LT(*after, kKept + 2 * kPieceBytes);
  EXPECT_GE(*after, kKept - 2 * kPieceBytes) << "what has room stays";
  EXPECT_EQ(contentOf(final(infoOf(content))), textOf(content));
}

TEST_F(BlobWriterTest, AnEmptyBlobNeedsNoPieces) {
  auto writer = open(infoOf({}));
  EXPECT_THAT(writer->missing(), IsEmpty());
  ASSERT_TRUE(writer->finish().ok());
  ASSERT_TRUE(writer->publish().ok());
  EXPECT_EQ(fs::file_size(final(infoOf({}))), 0u);
}

TEST_F(BlobWriterTest, KnowsWhatIsMissing) {
  const auto content = randomBytes(4 * kPieceBytes, 1);
  auto writer = open(infoOf(content));
  ASSERT_TRUE(write(*writer, content, 0).ok());
  ASSERT_TRUE(write(*writer, content, 2).ok());
  EXPECT_THAT(writer->missing(), ElementsAre(1, 3));
  EXPECT_EQ(writer->prefixBytes(), kPieceBytes);
  EXPECT_EQ(writer->finish().status().code(), absl::StatusCode::kOutOfRange);
  ASSERT_TRUE(write(*writer, content, 1).ok());
  EXPECT_EQ(writer->prefixBytes(), 3 * kPieceBytes);
}

TEST_F(BlobWriterTest, RefusesPiecesOfAWrongLengthOrPlace) {
  const auto content = randomBytes(kPieceBytes + 10, 1);
  auto writer = open(infoOf(content));
  EXPECT_TRUE(absl::IsInvalidArgument(writer->write(0, absl::MakeConstSpan(content).first(10))));
  EXPECT_TRUE(absl::IsInvalidArgument(writer->write(2, {})));
  EXPECT_TRUE(
      absl::IsInvalidArgument(writer->write(1, absl::MakeConstSpan(content).first(kPieceBytes))));
}

TEST_F(BlobWriterTest, WrongContentIsNeverPublished) {
  const auto content = randomBytes(2 * kPieceBytes, 1);
  const auto lie = randomBytes(2 * kPieceBytes, 2);
  auto writer = open(infoOf(content));
  ASSERT_TRUE(write(*writer, content, 0).ok());
  ASSERT_TRUE(write(*writer, lie, 1).ok());
  for (int i = 0; i < 2; ++i) {
    const auto finished = writer->finish();
    EXPECT_TRUE(absl::IsDataLoss(finished.status()));
    EXPECT_THAT(finished.status().message(), HasSubstr(infoOf(content).id.hex()));
  }
  EXPECT_EQ(writer->pieceHashes()[0], hashesOf(content).pieces[0]);
  EXPECT_EQ(writer->pieceHashes()[1], hashesOf(lie).pieces[1]);

  ASSERT_TRUE(writer->restart().ok());
  EXPECT_THAT(writer->missing(), ElementsAre(0, 1));
  for (uint64_t piece = 0; piece < 2; ++piece) ASSERT_TRUE(write(*writer, content, piece).ok());
  EXPECT_TRUE(writer->finish().ok());
  EXPECT_TRUE(writer->publish().ok());
}

TEST_F(BlobWriterTest, LeavesNothingBehindWhenLetGo) {
  const auto content = randomBytes(2 * kPieceBytes, 1);
  {
    auto writer = open(infoOf(content));
    ASSERT_TRUE(write(*writer, content, 0).ok());
  }
  EXPECT_THAT(filesInBlobs(), IsEmpty());
  EXPECT_TRUE(noJournals());
}

TEST_F(BlobWriterTest, GoesOnFromAKeptPart) {
  const auto content = randomBytes(4 * kPieceBytes + 1, 1);
  {
    auto writer = open(infoOf(content));
    for (const uint64_t piece : {0, 1, 3}) ASSERT_TRUE(write(*writer, content, piece).ok());
    writer->close(true);
  }
  auto writer = open(infoOf(content));
  EXPECT_THAT(writer->present(), ElementsAre(0, 1, 3));
  EXPECT_EQ(writer->prefixBytes(), 2 * kPieceBytes);
  ASSERT_TRUE(write(*writer, content, 4).ok());
  ASSERT_TRUE(write(*writer, content, 2).ok());
  EXPECT_TRUE(writer->finish().ok());
}

TEST_F(BlobWriterTest, APieceThatRottedMeanwhileCountsAsMissing) {
  const auto content = randomBytes(3 * kPieceBytes, 1);
  const BlobInfo blob = infoOf(content);
  {
    auto writer = open(blob);
    for (uint64_t piece = 0; piece < 3; ++piece) ASSERT_TRUE(write(*writer, content, piece).ok());
    writer->close(true);
  }
  std::fstream(temporary(blob), std::ios::in | std::ios::out).seekp(kPieceBytes + 5).put('!');
  EXPECT_THAT(open(blob)->missing(), ElementsAre(1));
}

TEST_F(BlobWriterTest, ATornJournalLosesOnlyItsTail) {
  const auto content = randomBytes(3 * kPieceBytes, 1);
  const BlobInfo blob = infoOf(content);
  {
    auto writer = open(blob);
    for (uint64_t piece = 0; piece < 3; ++piece) ASSERT_TRUE(write(*writer, content, piece).ok());
    writer->close(true);
  }
  const fs::path journal = fs::directory_iterator(journals())->path();
  fs::resize_file(journal, fs::file_size(journal) - 7);
  auto writer = open(blob);
  EXPECT_THAT(writer->missing(), ElementsAre(2));
  ASSERT_TRUE(write(*writer, content, 2).ok());
  writer->close(true);
  writer.reset();
  EXPECT_THAT(open(blob)->missing(), IsEmpty());
}

TEST_F(BlobWriterTest, AJournalOfGarbageMeansBeginningAgain) {
  const auto content = randomBytes(2 * kPieceBytes, 1);
  const BlobInfo blob = infoOf(content);
  fs::create_directory(journals());
  folder_.write("partial/" + PieceJournal::fileName(blob.id, blobs()),
                textOf(randomBytes(1000, 9)));
  folder_.write("blobs/" + slot(blob).temporaryName(kNode), textOf(randomBytes(5000, 9)));
  auto writer = open(blob);
  EXPECT_THAT(writer->missing(), ElementsAre(0, 1));
  for (uint64_t piece = 0; piece < 2; ++piece) ASSERT_TRUE(write(*writer, content, piece).ok());
  ASSERT_TRUE(writer->finish().ok());
  ASSERT_TRUE(writer->publish().ok());
  EXPECT_EQ(contentOf(final(blob)), textOf(content));
}

TEST_F(BlobWriterTest, ASecondWriterOfTheSameBlobIsTurnedAway) {
  const auto content = randomBytes(100, 1);
  const auto first = open(infoOf(content));
  EXPECT_TRUE(absl::IsAborted(tryOpen(infoOf(content)).status()));
}

TEST_F(BlobWriterTest, APlantedTemporaryIsNotWrittenThrough) {
  const auto content = randomBytes(100, 1);
  const BlobInfo blob = infoOf(content);
  const std::string victim = folder_.write("victim", "precious");
  fs::create_symlink(victim, temporary(blob));
  EXPECT_TRUE(absl::IsPermissionDenied(tryOpen(blob).status()));
  EXPECT_EQ(contentOf(victim), "precious");

  // A second name for a file would change that file.
  fs::remove(temporary(blob));
  fs::create_hard_link(victim, temporary(blob));
  auto writer = open(blob);
  ASSERT_TRUE(write(*writer, content, 0).ok());
  EXPECT_EQ(contentOf(victim), "precious");
}

TEST_F(BlobWriterTest, DoesNotReplaceTheSameContent) {
  const auto content = randomBytes(kPieceBytes + 9, 1);
  const BlobInfo blob = infoOf(content);
  auto writer = open(blob);
  for (uint64_t piece = 0; piece < 2; ++piece) ASSERT_TRUE(write(*writer, content, piece).ok());
  ASSERT_TRUE(writer->finish().ok());
  // A client lands the same blob at the last moment.
  folder_.write("blobs/" + blob.id.hex(), textOf(content));
  const FileStamp clients = *FileStamp::ofPath(final(blob));
  const auto published = writer->publish();
  ASSERT_TRUE(published.ok()) << published.status();
  EXPECT_EQ(published->outcome, PublishOutcome::kAlreadyThere);
  EXPECT_EQ(*FileStamp::ofPath(final(blob)), clients);
  EXPECT_THAT(filesInBlobs(), ElementsAre(blob.id.hex()));
}

TEST_F(BlobWriterTest, ReplacesWrongContentUnderTheName) {
  const auto content = randomBytes(kPieceBytes + 9, 1);
  const BlobInfo blob = infoOf(content);
  for (const size_t wrongSize : {size_t{12}, content.size()}) {
    fs::remove(final(blob));
    auto writer = open(blob);
    for (uint64_t piece = 0; piece < 2; ++piece) ASSERT_TRUE(write(*writer, content, piece).ok());
    ASSERT_TRUE(writer->finish().ok());
    folder_.write("blobs/" + blob.id.hex(), textOf(randomBytes(wrongSize, 8)));
    EXPECT_EQ(writer->publish()->outcome, PublishOutcome::kReplacedWrong);
    EXPECT_EQ(contentOf(final(blob)), textOf(content));
  }
}

TEST_F(BlobWriterTest, ServesPiecesWhileItIsWritten) {
  const auto content = randomBytes(8 * kPieceBytes, 1);
  const auto other = randomBytes(8 * kPieceBytes, 2);
  auto writer = open(infoOf(content));
  std::vector<uint8_t> buffer(kPieceBytes);
  EXPECT_TRUE(absl::IsNotFound(writer->readPiece(3, absl::MakeSpan(buffer)).status()));
  std::atomic<bool> done = false;
  std::atomic<int> wrong = 0;
  std::thread reader([&] {
    std::vector<uint8_t> bytes(kPieceBytes);
    for (uint64_t i = 0; !done; ++i) {
      const uint64_t piece = i % 8;
      const auto read = writer->readPiece(piece, absl::MakeSpan(bytes));
      if (absl::IsNotFound(read.status())) continue;
      const auto isPieceOf = [&](const std::vector<uint8_t>& whole) {
        return std::equal(bytes.begin(), bytes.end(),
                          whole.begin() + static_cast<ptrdiff_t>(piece * kPieceBytes));
      };
      if (!read.ok() || (!isPieceOf(content) && !isPieceOf(other))) ++wrong;
    }
  });
  for (int round = 0; round < 10; ++round) {
    for (uint64_t piece = 8; piece-- > 0;) {
      ASSERT_TRUE(write(*writer, round % 2 ? other : content, piece).ok());
    }
    ASSERT_TRUE(writer->restart().ok());
  }
  done = true;
  reader.join();
  EXPECT_EQ(wrong, 0);
}

TEST_F(BlobWriterTest, APieceThatRotsIsNotServed) {
  const auto content = randomBytes(kPieceBytes, 1);
  auto writer = open(infoOf(content));
  ASSERT_TRUE(write(*writer, content, 0).ok());
  std::fstream(temporary(infoOf(content)), std::ios::in | std::ios::out).seekp(77).put('!');
  std::vector<uint8_t> buffer(kPieceBytes);
  EXPECT_TRUE(absl::IsDataLoss(writer->readPiece(0, absl::MakeSpan(buffer)).status()));
}

// ---- Full disk

TEST_F(BlobWriterTest, SaysWhatItNeedsBeforeWritingAnything) {
  reservations_ = Reservations::create(
      kFreeBytesKept, [](int) { return absl::StatusOr<uint64_t>(kFreeBytesKept + 1000); });
  const auto status = tryOpen(infoOf(randomBytes(1001, 1))).status();
  EXPECT_TRUE(absl::IsResourceExhausted(status));
  EXPECT_THAT(status.message(), HasSubstr("1001 bytes"));
  EXPECT_THAT(status.message(), HasSubstr("1000 bytes"));
  EXPECT_THAT(filesInBlobs(), IsEmpty());
  EXPECT_TRUE(tryOpen(infoOf(randomBytes(1000, 1))).ok());
}

// But on tmpfs, where that would write zeros.
TEST_F(BlobWriterTest, ItsRoomIsTakenBeforeAnythingIsWritten) {
  const auto blob = infoOf(randomBytes(3 * kPieceBytes, 1));
  const auto writer = tryOpen(blob);
  ASSERT_TRUE(writer.ok());
  struct stat made {};
  struct statfs system {};
  ASSERT_EQ(::stat(temporary(blob).c_str(), &made), 0);
  ASSERT_EQ(::statfs(temporary(blob).c_str(), &system), 0);
  EXPECT_EQ(made.st_size, static_cast<off_t>(blob.size));
  const bool ahead = system.f_type != TMPFS_MAGIC;
  EXPECT_EQ(made.st_blocks * 512 >= made.st_size, ahead);
}

TEST_F(BlobWriterTest, AFailedAllocationLeavesNothing) {
  const auto content = randomBytes(2 * kPieceBytes, 1);
  // In a process of its own: the limit is the process's.
  const pid_t child = ::fork();
  if (child == 0) {
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{kPieceBytes, kPieceBytes};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    ::_exit(tryOpen(infoOf(content)).ok() ? 1 : 0);
  }
  int state = 0;
  ::waitpid(child, &state, 0);
  EXPECT_EQ(WEXITSTATUS(state), 0);
  EXPECT_THAT(filesInBlobs(), IsEmpty());
}

TEST_F(BlobWriterTest, AReallyFullDiskIsResourceExhausted) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to mount a small file system";
  if (::mount("tmpfs", blobs().c_str(), "tmpfs", 0, "size=4m") != 0) {
    GTEST_SKIP() << "mount of a tmpfs is not allowed here";
  }
  const auto status = tryOpen(infoOf(randomBytes(5 << 20, 1))).status();
  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  EXPECT_THAT(filesInBlobs(), IsEmpty());

  // Somebody else fills it behind the back of the accounting.
  reservations_ = Reservations::create(0, [](int) { return absl::StatusOr<uint64_t>(1 << 30); });
  const auto surprised = tryOpen(infoOf(randomBytes(5 << 20, 1))).status();
  EXPECT_TRUE(absl::IsResourceExhausted(surprised)) << surprised;
  EXPECT_THAT(filesInBlobs(), IsEmpty());
  EXPECT_EQ(::umount(blobs().c_str()), 0);
}

// ---- kill -9

// Writes the blob in a random order and dies, at the latest after `writes` pieces: by its own hand
// between two steps, or by ours at any instruction.
[[noreturn]] void writeUntilKilled(BlobWriter& writer, const std::vector<uint8_t>& content,
                                   uint64_t seed) {
  std::vector<uint64_t> order = writer.missing();
  std::mt19937_64 random(seed);
  if (seed % 2) std::shuffle(order.begin(), order.end(), random);
  size_t left = random() % (order.size() + 3);
  for (const uint64_t piece : order) {
    if (left-- == 0) ::raise(SIGKILL);
    (void)writer.write(piece, absl::MakeConstSpan(content).subspan(
                                  piece * kPieceBytes, pieceBytes(content.size(), piece)));
  }
  if (left-- == 0) ::raise(SIGKILL);
  (void)writer.finish();
  if (left == 0) ::raise(SIGKILL);
  (void)writer.publish();
  ::raise(SIGKILL);
  ::_exit(1);
}

// In memory where there is such a file system: a thousand fsyncs of a disk take their time.
class KillTest : public BlobWriterTest {
 protected:
  KillTest() : BlobWriterTest(fs::exists("/dev/shm") ? "/dev/shm" : ::testing::TempDir()) {}
};

TEST_F(KillTest, IsSafeToKillAnywhere) {
  constexpr int kRuns = 150;
  int resumed = 0, publishedByDying = 0;
  const auto content = randomBytes(4 * kPieceBytes + 321, 1);
  const BlobInfo blob = infoOf(content);
  for (uint64_t seed = 0; seed < kRuns; ++seed) {
    const pid_t child = ::fork();
    if (child == 0) {
      auto writer = tryOpen(blob);
      if (!writer.ok()) ::_exit(1);
      writeUntilKilled(**writer, content, seed);
    }
    // Every third is also killed from outside, in the middle of whatever it does.
    if (seed % 3 == 0) {
      ::usleep(static_cast<useconds_t>(std::mt19937_64(seed)() % 6000));
      ::kill(child, SIGKILL);
    }
    int state = 0;
    ASSERT_EQ(::waitpid(child, &state, 0), child);
    ASSERT_TRUE(WIFSIGNALED(state)) << "seed " << seed;

    if (fs::exists(final(blob))) {
      ++publishedByDying;
      ASSERT_EQ(contentOf(final(blob)), textOf(content)) << "torn, seed " << seed;
    } else {
      auto writer = open(blob);
      if (!writer->present().empty()) ++resumed;
      for (const uint64_t piece : writer->missing()) {
        ASSERT_TRUE(write(*writer, content, piece).ok());
      }
      ASSERT_TRUE(writer->finish().ok()) << "seed " << seed;
      ASSERT_TRUE(writer->publish().ok());
      ASSERT_EQ(contentOf(final(blob)), textOf(content)) << "seed " << seed;
    }
    ASSERT_TRUE(removeOrphanJournals(journals(), kNode).ok());
    ASSERT_THAT(filesInBlobs(), ElementsAre(blob.id.hex())) << "seed " << seed;
    ASSERT_TRUE(noJournals());
    fs::remove(final(blob));
  }
  EXPECT_GT(resumed, kRuns / 4);
  EXPECT_GT(publishedByDying, 0);
}

// ---- Leftovers

TEST_F(BlobWriterTest, OldTemporariesOfThisNodeWithoutAJournalAreRemoved) {
  const auto kept = randomBytes(2 * kPieceBytes, 1), inUse = randomBytes(100, 2);
  const auto abandoned = randomBytes(100, 3), ofAnother = randomBytes(100, 4);
  {
    auto writer = open(infoOf(kept));
    ASSERT_TRUE(write(*writer, kept, 0).ok());
    writer->close(true);
  }
  const auto writer =
      *BlobWriter::open(slot(infoOf(inUse)), {.node = kNode, .journalFolder = ""}, reservations_);
  folder_.write("blobs/" + slot(infoOf(abandoned)).temporaryName(kNode), "abandoned");
  folder_.write("blobs/small." + kNode.shortHex() + ".roost-part", "abandoned");
  const std::string theirs = slot(infoOf(ofAnother)).temporaryName(NodeId::ofNumber(7));
  folder_.write("blobs/" + theirs, "not ours");

  const SafeDir folder = *SafeDir::openRoot(blobs());
  EXPECT_EQ(*removeStaleTemporaries(folder, kNode, journals(), absl::Hours(1)), 0);
  EXPECT_EQ(*removeStaleTemporaries(folder, kNode, journals(), absl::ZeroDuration()), 2);
  EXPECT_THAT(filesInBlobs(),
              ::testing::UnorderedElementsAre(slot(infoOf(kept)).temporaryName(kNode),
                                              slot(infoOf(inUse)).temporaryName(kNode), theirs));
}

TEST_F(BlobWriterTest, JournalsWithoutATemporaryAreRemoved) {
  const auto content = randomBytes(2 * kPieceBytes, 1);
  const auto keep = [&](uint64_t seed) {
    auto writer = open(infoOf(randomBytes(2 * kPieceBytes, seed)));
    ASSERT_TRUE(write(*writer, randomBytes(2 * kPieceBytes, seed), 0).ok());
    writer->close(true);
  };
  keep(1);
  keep(2);
  EXPECT_EQ(*removeOrphanJournals(journals(), kNode), 0);
  fs::remove(temporary(infoOf(content)));
  EXPECT_EQ(*removeOrphanJournals(journals(), kNode), 1);
}

}  // namespace
}  // namespace roost
