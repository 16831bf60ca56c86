#include "cache/index.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "absl/time/clock.h"
#include "protocol/limits.h"
#include "tests/cache/temp_folder.h"

namespace roost {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;

BlobId blobOf(uint8_t number) {
  return BlobId::sha256(Sha256{number});
}

TrustRecord recordOf(uint64_t inode, uint8_t blob = 1) {
  return {
      .stamp = {.fsid = 5, .inode = inode, .size = 2 * kPieceBytes, .mtimeNs = 10, .ctimeNs = 20},
      .claimed = blobOf(blob),
      .sha256 = {blob},
      .wrong = false,
      .verifiedAt = absl::FromUnixSeconds(1'700'000'000)};
}

const std::vector<PieceHash> kPieces = {PieceHash{1}, PieceHash{2}};

class IndexTest : public ::testing::Test {
 protected:
  std::string path() const { return folder_ / "index.db"; }
  void reopen() {
    index_.reset();
    auto opened = Index::open(path());
    ASSERT_TRUE(opened.ok()) << opened.status();
    index_ = std::move(opened->index);
    movedAside_ = opened->movedAside;
  }
  void SetUp() override { reopen(); }

  // As another version of roost would leave the file.
  void edit(const std::string& sql) {
    index_.reset();
    sqlite3* connection = nullptr;
    ASSERT_EQ(sqlite3_open(path().c_str(), &connection), SQLITE_OK);
    char* error = nullptr;
    ASSERT_EQ(sqlite3_exec(connection, sql.c_str(), nullptr, nullptr, &error), SQLITE_OK) << error;
    sqlite3_close(connection);
  }

  TempFolder folder_;
  std::unique_ptr<Index> index_;
  std::string movedAside_;
};

// ---- Trust

TEST_F(IndexTest, RemembersWhatWasVerified) {
  const TrustRecord record = recordOf(7);
  ASSERT_TRUE(index_->rememberTrust(record, kPieces).ok());
  reopen();
  EXPECT_EQ(movedAside_, "");
  EXPECT_EQ(*index_->trust(record.stamp, record.claimed), Trust::kVerified);
  EXPECT_EQ(*index_->pieces(record.stamp), kPieces);
  const auto found = *index_->trustRecord(record.stamp);
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->sha256, record.sha256);
  EXPECT_EQ(found->verifiedAt, record.verifiedAt);
}

TEST_F(IndexTest, AChangedFileIsUnknown) {
  const TrustRecord record = recordOf(7);
  ASSERT_TRUE(index_->rememberTrust(record, kPieces).ok());
  for (auto change : {+[](FileStamp& s) { ++s.size; }, +[](FileStamp& s) { ++s.mtimeNs; },
                      +[](FileStamp& s) { ++s.inode; }}) {
    FileStamp stamp = record.stamp;
    change(stamp);
    EXPECT_EQ(*index_->trust(stamp, record.claimed), Trust::kUnknown);
    EXPECT_THAT(*index_->pieces(stamp), IsEmpty());
  }
  EXPECT_EQ(*index_->trust(record.stamp, blobOf(9)), Trust::kUnknown) << "another name";
}

TEST_F(IndexTest, OnlyCtimeOrDeviceDifferingMeansRecheck) {
  const TrustRecord record = recordOf(7);
  ASSERT_TRUE(index_->rememberTrust(record, kPieces).ok());
  for (auto change : {+[](FileStamp& s) { ++s.ctimeNs; }, +[](FileStamp& s) { ++s.fsid; }}) {
    FileStamp stamp = record.stamp;
    change(stamp);
    EXPECT_EQ(*index_->trust(stamp, record.claimed), Trust::kRecheck);
    EXPECT_EQ(*index_->pieces(stamp), kPieces);
  }
}

TEST_F(IndexTest, WrongContentStaysWrongWhateverHappensToItsCtime) {
  TrustRecord record = recordOf(7);
  record.wrong = true;
  ASSERT_TRUE(index_->rememberTrust(record, kPieces).ok());
  EXPECT_EQ(*index_->trust(record.stamp, record.claimed), Trust::kWrong);
  ++record.stamp.ctimeNs;
  EXPECT_EQ(*index_->trust(record.stamp, record.claimed), Trust::kWrong);
}

TEST_F(IndexTest, ALaterHashReplacesAnEarlierOne) {
  TrustRecord record = recordOf(7, 1);
  ASSERT_TRUE(index_->rememberTrust(record, kPieces).ok());
  record.claimed = blobOf(2);
  record.stamp.mtimeNs = 11;
  ASSERT_TRUE(index_->rememberTrust(record, kPieces).ok());
  EXPECT_EQ(*index_->trust(record.stamp, blobOf(2)), Trust::kVerified);
  int records = 0;
  ASSERT_TRUE(index_->eachTrust([&](const TrustRecord&) { ++records; }).ok());
  EXPECT_EQ(records, 1);
}

TEST_F(IndexTest, LoadsAHundredThousandFilesAtStart) {
  constexpr uint64_t kFiles = 100'000;
  ASSERT_TRUE(index_
                  ->inTransaction([&]() -> absl::Status {
                    for (uint64_t inode = 1; inode <= kFiles; ++inode) {
                      const absl::Status status = index_->rememberTrust(recordOf(inode), kPieces);
                      if (!status.ok()) return status;
                    }
                    return absl::OkStatus();
                  })
                  .ok());
  const absl::Time began = absl::Now();
  reopen();
  uint64_t files = 0;
  ASSERT_TRUE(index_->eachTrust([&](const TrustRecord&) { ++files; }).ok());
  EXPECT_EQ(files, kFiles);
  RecordProperty("open_and_load", absl::FormatDuration(absl::Now() - began));
  printf("opened and loaded in %s\n", absl::FormatDuration(absl::Now() - began).c_str());
}

TEST_F(IndexTest, PrunesWhatIsOldAndUnused) {
  for (const uint64_t inode : {1, 2, 3}) {
    TrustRecord record = recordOf(inode);
    if (inode == 3) record.verifiedAt += absl::Hours(10);
    ASSERT_TRUE(index_->rememberTrust(record, kPieces).ok());
  }
  const auto keep = [](const TrustRecord& record) { return record.stamp.inode == 1; };
  EXPECT_EQ(*index_->pruneTrust(recordOf(1).verifiedAt + absl::Hours(1), keep), 1u);
  EXPECT_EQ(*index_->trust(recordOf(2).stamp, blobOf(1)), Trust::kUnknown);
  EXPECT_EQ(*index_->trust(recordOf(1).stamp, blobOf(1)), Trust::kVerified);
}

// ---- Damage and versions

TEST_F(IndexTest, GarbageIsMovedAsideAndTold) {
  index_.reset();
  folder_.write("index.db", "this is not a database, and long enough to be looked at as one");
  reopen();
  EXPECT_THAT(movedAside_, HasSubstr("index.db.corrupt"));
  EXPECT_TRUE(fs::exists(path() + ".corrupt"));
  EXPECT_TRUE(index_->rememberTrust(recordOf(1), kPieces).ok());
  reopen();
  EXPECT_EQ(movedAside_, "");
}

TEST_F(IndexTest, DamageAnywhereNeverCrashesIt) {
  for (uint64_t inode = 1; inode < 500; ++inode) {
    ASSERT_TRUE(index_->rememberTrust(recordOf(inode), kPieces).ok());
  }
  index_.reset();
  const std::string good = contentOf(path());
  std::mt19937_64 random(1);
  for (int i = 0; i < 60; ++i) {
    std::string bad = good;
    for (int flips = 0; flips < 20; ++flips) {
      bad[random() % bad.size()] = static_cast<char>(random());
    }
    if (i % 4 == 0) bad.resize(random() % bad.size());
    folder_.write("index.db", bad);
    auto opened = Index::open(path());
    ASSERT_TRUE(opened.ok()) << opened.status();
    (void)opened->index->eachTrust([](const TrustRecord&) {});
    opened->index.reset();
    for (const char* name : {"index.db", "index.db-wal", "index.db-shm"}) {
      fs::remove(folder_ / name);
    }
  }
}

TEST_F(IndexTest, ADowngradeKeepsTrustAndWhatItUnderstands) {
  ASSERT_TRUE(index_->rememberTrust(recordOf(7), kPieces).ok());
  ASSERT_TRUE(index_->saveJob(12, "job").ok());
  ASSERT_TRUE(index_->setValue("key", "value").ok());
  // A later version of trust has a column more, and keeps values in another way.
  edit(
      "UPDATE schema_groups SET version = 2 WHERE name IN ('trust', 'values');"
      "ALTER TABLE trust ADD COLUMN blake3 BLOB DEFAULT NULL;"
      "DROP TABLE value; CREATE TABLE value (whatever)");
  reopen();
  EXPECT_THAT(movedAside_, HasSubstr("version 2"));
  EXPECT_TRUE(fs::exists(path() + ".other-version"));
  EXPECT_EQ(*index_->trust(recordOf(7).stamp, blobOf(1)), Trust::kVerified);
  EXPECT_EQ(*index_->pieces(recordOf(7).stamp), kPieces);
  EXPECT_THAT(*index_->loadJobs(), ElementsAre(Pair(12, "job")));
  EXPECT_EQ(*index_->value("key"), std::nullopt);
  reopen();
  EXPECT_EQ(movedAside_, "");
}

TEST_F(IndexTest, ADatabaseOfSomethingElseIsNotTouched) {
  edit("DROP TABLE schema_groups");
  reopen();
  EXPECT_THAT(movedAside_, HasSubstr("not an index of roost"));
}

TEST_F(IndexTest, ASecondProcessIsTurnedAway) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(absl::IsAborted(Index::open(path()).status()) ? 0 : 1);
  int state = 0;
  ::waitpid(child, &state, 0);
  EXPECT_EQ(WEXITSTATUS(state), 0);
}

TEST_F(IndexTest, SurvivesKill) {
  index_.reset();
  const pid_t child = ::fork();
  if (child == 0) {
    auto opened = Index::open(path());
    (void)opened->index->rememberTrust(recordOf(7), kPieces);
    ::raise(SIGKILL);
  }
  ::waitpid(child, nullptr, 0);
  reopen();
  EXPECT_EQ(movedAside_, "");
  EXPECT_EQ(*index_->trust(recordOf(7).stamp, blobOf(1)), Trust::kVerified);
}

// ---- The rest

TEST_F(IndexTest, KeepsThePeersAdverts) {
  const NodeId peer = NodeId::ofNumber(3);
  const std::string binary("k\0\1", 3);
  ASSERT_TRUE(index_->saveCatalog(peer, false, {{binary, "v1"}, {"b", ""}}, {}, {9, 2}).ok());
  ASSERT_TRUE(index_->saveCatalog(peer, false, {{binary, "v2"}}, {"b"}, {9, 4}).ok());
  reopen();
  auto catalogs = *index_->loadCatalogs();
  ASSERT_EQ(catalogs.size(), 1u);
  EXPECT_EQ(catalogs[0].peer, peer);
  EXPECT_EQ(catalogs[0].position, (LogPosition{9, 4}));
  ASSERT_EQ(catalogs[0].adverts.size(), 1u);
  EXPECT_EQ(catalogs[0].adverts[0].key, binary);
  EXPECT_EQ(catalogs[0].adverts[0].value, "v2");

  ASSERT_TRUE(index_->saveCatalog(peer, true, {}, {}, {10, 0}).ok());
  EXPECT_THAT((*index_->loadCatalogs())[0].adverts, IsEmpty());
  ASSERT_TRUE(index_->dropCatalog(peer).ok());
  EXPECT_THAT(*index_->loadCatalogs(), IsEmpty());
}

TEST_F(IndexTest, KeepsJobsAndValues) {
  ASSERT_TRUE(index_->saveJob(2, "two").ok());
  ASSERT_TRUE(index_->saveJob(1, "one").ok());
  ASSERT_TRUE(index_->saveJob(2, "two again").ok());
  EXPECT_THAT(*index_->loadJobs(), ElementsAre(Pair(1, "one"), Pair(2, "two again")));
  ASSERT_TRUE(index_->dropJob(1).ok());
  EXPECT_THAT(*index_->loadJobs(), ElementsAre(Pair(2, "two again")));

  EXPECT_EQ(*index_->value("log"), std::nullopt);
  ASSERT_TRUE(index_->setValue("log", "").ok());
  EXPECT_EQ(*index_->value("log"), "");
}

TEST_F(IndexTest, CountersAddUpAndNeverWrap) {
  EXPECT_EQ(*index_->counter("saved"), 0u);
  EXPECT_EQ(*index_->addToCounter("saved", 5), 5u);
  EXPECT_EQ(*index_->addToCounter("saved", 7), 12u);
  EXPECT_EQ(*index_->addToCounter("saved", ~uint64_t{0}), ~uint64_t{0});
  reopen();
  EXPECT_EQ(*index_->counter("saved"), ~uint64_t{0});
}

TEST_F(IndexTest, AFailedTransactionChangesNothing) {
  EXPECT_TRUE(absl::IsCancelled(index_->inTransaction([&]() -> absl::Status {
    EXPECT_TRUE(index_->saveJob(1, "one").ok());
    return absl::CancelledError("changed my mind");
  })));
  EXPECT_THAT(*index_->loadJobs(), IsEmpty());
  EXPECT_TRUE(index_->saveJob(2, "two").ok());
}

}  // namespace
}  // namespace roost
