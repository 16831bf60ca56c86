#include "node/folders.h"

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "gmock/gmock.h"
#include "tests/node/folders_at_work.h"

namespace roost {
namespace {

using testing::commitOf;
using ::testing::ElementsAre;
using testing::gitSha1Of;
using ::testing::HasSubstr;
using testing::HubFolder;
using ::testing::IsEmpty;
using ::testing::Key;
using testing::repoNamed;
using testing::sha256Of;
using ::testing::SizeIs;

class FoldersTest : public ::testing::Test {
 protected:
  // As a blob that Transfers wrote: it has its name, and its hash is known.
  LandedBlob land(const std::string& content) { return land(content, repo_); }
  LandedBlob land(const std::string& content, const RepoId& repo) {
    const BlobId id = sha256Of(content);
    hub_.blob(repo, id.hex(), content);
    const std::string path = (hub_.at(repo) / "blobs" / id.hex()).string();
    return {{id, content.size()},
            {repo, commit_, *RelativePath::parse("a")},
            path,
            {PublishOutcome::kPublished, *FileStamp::ofPath(path)},
            hashesOf(std::vector<uint8_t>(content.begin(), content.end()))};
  }
  BlobSite site() const { return {repo_, commit_, *RelativePath::parse("a")}; }
  Listing listing(const std::vector<std::pair<std::string, std::string>>& files,
                  bool complete = false) const {
    Listing listing{repo_, commit_, complete};
    for (const auto& [path, content] : files) {
      listing.files.push_back(
          {*RelativePath::parse(path), {sha256Of(content), content.size()}, GitSha1{}});
    }
    return listing;
  }
  PresenceKnown checkPresent(const Listing& wanted) { return checkPresent(folders_, wanted); }
  static PresenceKnown checkPresent(FoldersAtWork& folders, const Listing& wanted) {
    std::optional<PresenceKnown> answer;
    folders->checkPresent({{NodeId::ofNumber(1), 1}, wanted},
                          [&](PresenceKnown known) { answer = std::move(known); });
    folders.until([&] { return answer.has_value(); });
    return *std::move(answer);
  }
  absl::Status publish(const Listing& wanted, const std::vector<RefState>& refs = {}) {
    std::optional<absl::Status> answer;
    folders_->publish({{NodeId::ofNumber(1), 1}, wanted, {}, refs}, [&](RepoPublished done) {
      answer = done.status;
      folders_.events.push_back("published");
    });
    folders_.until([&] { return answer.has_value(); });
    return *answer;
  }
  RefState main() const { return {RefName::main(), commit_, std::nullopt}; }
  bool exists(const std::string& place) const {
    return std::filesystem::exists(hub_.at(repo_) / place);
  }

  HubFolder hub_;
  boost::asio::io_context io_;
  FoldersAtWork folders_{io_, {rootAt(hub_.root())}};
  const RepoId repo_ = repoNamed("org/tiny");
  const Commit commit_ = commitOf('a');
};

// ---- Scans

TEST_F(FoldersTest, WhatIsThereAtTheStartIsToldWhenTheFoldersAreSettled) {
  const BlobId blob = hub_.file(repo_, commit_, "config.json", "{}");
  hub_.ref(repo_, "main", commit_.hex());

  folders_.start();

  EXPECT_THAT(folders_.told.blobs, ElementsAre(Key(blob)));
  EXPECT_TRUE(folders_.told.blobs.at(blob).unverified);
  EXPECT_EQ(folders_.told.repos.at({repo_, commit_}).files, 1u);
  EXPECT_EQ(folders_.told.refs.at({repo_, RefName::main()}).state.commit, commit_);
  EXPECT_EQ(folders_.events.back(), "settled");
  EXPECT_EQ(std::count(folders_.events.begin(), folders_.events.end(), "settled"), 1);
}

TEST_F(FoldersTest, ANodeWithoutFoldersIsSettledAtOnce) {
  FoldersAtWork none(io_, {});

  none->start();

  EXPECT_TRUE(none->isSettled());
  EXPECT_THAT(none.events, ElementsAre("settled"));
}

TEST_F(FoldersTest, ANewFileIsTold) {
  hub_.file(repo_, commit_, "config.json", "{}");
  folders_.start();

  const BlobId blob = hub_.file(repo_, commit_, "model.bin", "weights", true);

  folders_.until([&] { return folders_.told.repos.at({repo_, commit_}).files == 2; });
  EXPECT_TRUE(folders_.told.blobs.contains(blob));
}

TEST_F(FoldersTest, ANewRepoIsTold) {
  folders_.start();

  const BlobId blob = hub_.file(repo_, commit_, "config.json", "{}");

  folders_.until([&] { return folders_.told.repos.contains({repo_, commit_}); });
  EXPECT_TRUE(folders_.told.blobs.contains(blob));
}

TEST_F(FoldersTest, AFileThatIsDeletedIsWithdrawn) {
  hub_.file(repo_, commit_, "config.json", "{}");
  const BlobId blob = hub_.file(repo_, commit_, "model.bin", "weights", true);
  folders_.start();

  std::filesystem::remove(hub_.at(repo_) / "blobs" / blob.hex());

  folders_.until([&] { return !folders_.told.blobs.contains(blob); });
  EXPECT_THAT(folders_.told.blobs, ElementsAre(Key(gitSha1Of("{}"))));
  EXPECT_EQ(folders_.told.repos.at({repo_, commit_}).files, 1u);
}

TEST_F(FoldersTest, ARepoThatIsDeletedIsWithdrawnAndToldAgainWhenItComesBack) {
  hub_.file(repo_, commit_, "config.json", "{}");
  hub_.ref(repo_, "main", commit_.hex());
  folders_.start();

  std::filesystem::remove_all(hub_.at(repo_));
  folders_.until([&] { return folders_.told.blobs.empty() && folders_.told.refs.empty(); });
  EXPECT_THAT(folders_.told.repos, IsEmpty());

  hub_.file(repo_, commit_, "config.json", "{}");
  folders_.until([&] { return folders_.told.repos.contains({repo_, commit_}); });
}

TEST_F(FoldersTest, TheScanOfARepoThatIsGoneIsEnoughToWithdrawIt) {
  hub_.file(repo_, commit_, "config.json", "{}");
  folders_.start();

  std::filesystem::remove_all(hub_.at(repo_));
  folders_.runJob("scan repo");  // the root's is left lying
  folders_.settle();

  EXPECT_THAT(folders_.told.blobs, IsEmpty());
  EXPECT_THAT(folders_.told.repos, IsEmpty());
}

TEST_F(FoldersTest, WhatWentWhileTheAgentWasAwayIsWithdrawnBeforeItSaysThatItIsReady) {
  BlobAdvert gone{{sha256Of("gone"), 4}};
  FoldersAtWork folders(io_, {rootAt(hub_.root())}, {{7, Advert(gone)}});
  folders.told.blobs.emplace(gone.blob.id, gone);

  folders.start();

  EXPECT_THAT(folders.told.blobs, IsEmpty());
  EXPECT_THAT(folders.events, ElementsAre("told", "settled"));
}

TEST_F(FoldersTest, AfterTheEndNothingIsToldAnyMore) {
  folders_.start();
  hub_.file(repo_, commit_, "config.json", "{}");
  folders_.runJob("scan root");

  folders_->stop();

  do {
    folders_.settle();
  } while (folders_.pool.runNext());
  EXPECT_THAT(folders_.told.blobs, IsEmpty());
}

// ---- Landings

TEST_F(FoldersTest, ALandedBlobIsToldAtOnceAsVerified) {
  hub_.file(repo_, commit_, "config.json", "{}");
  folders_.start();

  folders_->landed(land("weights"));
  folders_.settle();  // no job runs: nothing is scanned

  ASSERT_TRUE(folders_.told.blobs.contains(sha256Of("weights")));
  EXPECT_FALSE(folders_.told.blobs.at(sha256Of("weights")).unverified);
}

TEST_F(FoldersTest, ManyLandingsOfOneTurnAreToldTogether) {
  folders_.start();
  const size_t before = folders_.events.size();
  for (int i = 0; i < 50; ++i) folders_->landed(land("content " + std::to_string(i)));

  folders_.settle();

  EXPECT_THAT(folders_.told.blobs, SizeIs(50));
  EXPECT_EQ(folders_.events.size(), before + 1);
}

TEST_F(FoldersTest, TheScanAfterALandingChangesNothing) {
  folders_.start();
  folders_->landed(land("weights"));
  folders_.settle();
  const size_t before = folders_.told.changes;

  folders_.runJob("scan repo");
  hub_.ref(repo_, "main", commit_.hex());  // what shows that the scan was taken in
  folders_.until([&] { return folders_.told.refs.contains({repo_, RefName::main()}); });

  EXPECT_EQ(folders_.told.changes, before + 1) << "the ref";
  EXPECT_EQ(folders_->inventory().summary().blobs, 1u);
}

TEST_F(FoldersTest, AScanThatDidNotSeeALandedBlobDoesNotWithdrawIt) {
  hub_.file(repo_, commit_, "config.json", "{}");
  folders_.start();
  hub_.ref(repo_, "main", commit_.hex());
  folders_.runJob("scan repo");  // has read the folder; what it found is on its way
  folders_->landed(land("weights"));
  folders_.settle();
  const size_t before = folders_.told.changes;

  folders_.until([&] { return folders_.told.refs.contains({repo_, RefName::main()}); });

  EXPECT_EQ(folders_.told.changes, before + 1) << "the ref";
  EXPECT_TRUE(folders_.told.blobs.contains(sha256Of("weights")));
}

TEST_F(FoldersTest, ALandedBlobThatIsDeletedIsWithdrawn) {
  folders_.start();
  const LandedBlob landed = land("weights");
  folders_->landed(landed);
  folders_.settle();

  std::filesystem::remove(landed.path);

  folders_.until([&] { return folders_.told.blobs.empty(); });
}

TEST_F(FoldersTest, ALandedBlobIsServedWithTheHashesOfItsPieces) {
  folders_.start();
  const LandedBlob landed = land("weights");
  folders_->landed(landed);

  std::optional<std::shared_ptr<const LocalBlob>> opened;
  folders_->open(landed.blob.id, [&](auto blob) { opened = std::move(blob); });
  folders_.until([&] { return opened.has_value(); });
  ASSERT_NE(*opened, nullptr);
  std::vector<uint8_t> bytes(landed.blob.size);
  EXPECT_TRUE((*opened)->read(0, absl::MakeSpan(bytes)).ok());

  // The same size, in place: only the hash of the piece can tell.
  std::fstream(landed.path, std::ios::in | std::ios::out) << "WEIGHTS";
  EXPECT_EQ((*opened)->read(0, absl::MakeSpan(bytes)).code(), absl::StatusCode::kDataLoss);
}

// ---- Checks

TEST_F(FoldersTest, NothingIsHashedBeforeItIsKnownWhoElseSeesTheFolders) {
  const BlobId blob = hub_.file(repo_, commit_, "config.json", "{}");
  folders_.start();
  EXPECT_FALSE(folders_.pool.runNext("hash"));

  folders_->mayCheck();

  folders_.until([&] { return !folders_.told.blobs.at(blob).unverified; });
  EXPECT_EQ(folders_->inventory().summary().checkBytesLeft, 0u);
}

TEST_F(FoldersTest, ANewFileIsSoonServedWithTheHashesOfItsPiecesToo) {
  const BlobId blob = hub_.file(repo_, commit_, "config.json", "{}");
  folders_.start();
  folders_->mayCheck();
  // Hashed at once it may still change unseen; when it has settled it is hashed again.
  folders_.until([&] {
    folders_->mayCheck();  // as each second
    std::optional<std::shared_ptr<const LocalBlob>> opened;
    folders_->open(blob, [&](auto local) { opened = std::move(local); });
    folders_.until([&] { return opened.has_value(); });
    return *opened != nullptr && (*opened)->pieces() != nullptr;
  });
  EXPECT_FALSE(folders_.told.blobs.at(blob).unverified);
}

TEST_F(FoldersTest, WrongContentIsWithdrawnAndAProblem) {
  const std::string name = sha256Of("weights").hex();
  hub_.blob(repo_, name, "garbage");
  hub_.show(repo_, commit_, "model.bin", name);
  folders_.start();
  ASSERT_THAT(folders_.told.blobs, SizeIs(1));

  folders_->mayCheck();

  folders_.until([&] { return folders_.told.blobs.empty(); });
  EXPECT_THAT(folders_.told.repos, IsEmpty());
  EXPECT_THAT(folders_->problems(),
              ElementsAre(HasSubstr("its content is " + sha256Of("garbage").toString())));
}

TEST_F(FoldersTest, VerifyTellsWhatIsRightWrongAndMissing) {
  hub_.file(repo_, commit_, "right", "right", true);
  hub_.blob(repo_, sha256Of("wrong").hex(), "WRONG");
  hub_.show(repo_, commit_, "wrong", sha256Of("wrong").hex());
  hub_.tree(repo_, commit_,
            {{"right", "right", true}, {"wrong", "wrong", true}, {"gone", "gone", true}});
  folders_.start();

  for (const char* round : {"never hashed", "known to be wrong"}) {
    const VerifiedRepo found = folders_.run(folders_->verifyRepo(repo_));
    EXPECT_EQ(found.filesOk, 1u) << round;
    EXPECT_EQ(found.bytesOk, 5u) << round;
    EXPECT_THAT(found.missing, ElementsAre("gone")) << round;
    ASSERT_THAT(found.wrong, SizeIs(1)) << round;
    EXPECT_EQ(found.wrong[0].path, "wrong") << round;
    EXPECT_EQ(found.wrong[0].expected, sha256Of("wrong").toString()) << round;
    EXPECT_EQ(found.wrong[0].found, sha256Of("WRONG").toString()) << round;
  }
  EXPECT_FALSE(folders_.told.blobs.contains(sha256Of("wrong")));
}

TEST_F(FoldersTest, VerifyEndsWhenTheAgentStops) {
  hub_.file(repo_, commit_, "right", "right", true);
  folders_.start();
  bool ended = false;
  boost::asio::co_spawn(folders_.io, folders_->verifyRepo(repo_),
                        [&](std::exception_ptr, const VerifiedRepo& found) {
                          ended = true;
                          EXPECT_EQ(found.filesOk, 0u);
                        });
  folders_.settle();

  folders_->stop();
  folders_.pool.stop(WorkPool::AtStop::kDrop);
  folders_.settle();

  EXPECT_TRUE(ended);
}

TEST_F(FoldersTest, ACopyThatRottedIsWithdrawnAndReported) {
  folders_.start();
  const LandedBlob landed = land("weights");
  folders_->landed(landed);

  folders_->foundBad(landed.blob.id, absl::DataLossError("piece 0 differs"));

  EXPECT_THAT(folders_.told.blobs, IsEmpty());
  EXPECT_THAT(folders_.reports, ElementsAre(HasSubstr(landed.path)));
}

// ---- Where arrivals go

TEST_F(FoldersTest, ArrivalsGoToTheFirstRootThatCanBeWritten) {
  HubFolder readOnly, last;
  RootConfig served = rootAt(readOnly.root());
  served.write = false;
  const std::string file = HubFolder().outside().string();
  std::ofstream(file) << "not a folder";
  const std::string fresh = (hub_.outside() / "made/hub").string();
  FoldersAtWork folders(io_, {served, rootAt(file + "/hub"), rootAt(fresh), rootAt(last.root())});
  folders.start();
  EXPECT_FALSE(folders->publisher(site()).ok()) << "nobody asked yet";

  const PresenceKnown known = checkPresent(folders, listing({{"a", "aa"}}));

  EXPECT_TRUE(known.status.ok()) << known.status;
  EXPECT_GT(known.freeBytes, 0u);
  EXPECT_EQ((*folders->publisher(site()))->root().path(), fresh);
  EXPECT_THAT(folders->snapshotPath(repo_, commit_), HasSubstr(fresh));
  std::filesystem::remove(file);
}

TEST_F(FoldersTest, NoRootThatCanBeWrittenIsSaid) {
  RootConfig served = rootAt(hub_.root());
  served.write = false;
  FoldersAtWork folders(io_, {served});
  folders.start();

  const PresenceKnown known = checkPresent(folders, listing({{"a", "aa"}}));

  EXPECT_EQ(known.status.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(std::string(known.status.message()), HasSubstr("--hub-cache"));
}

TEST_F(FoldersTest, PresentIsWhatTheRepoHasOrWhatIsRightElsewhere) {
  const RepoId other = repoNamed("org/other");
  hub_.file(repo_, commit_, "own", "own", true);
  hub_.file(other, commit_, "elsewhere", "elsewhere", true);
  hub_.file(other, commit_, "wrong", "wrong", true);
  HubFolder::write(hub_.at(other) / "blobs" / sha256Of("wrong").hex(), "WRONG");
  folders_.start();

  EXPECT_THAT(
      checkPresent(
          listing(
              {{"nowhere", "nowhere"}, {"other", "elsewhere"}, {"own", "own"}, {"wrong", "wrong"}}))
          .present,
      ElementsAre(false, true, true, false));

  EXPECT_FALSE(folders_.told.blobs.at(sha256Of("elsewhere")).unverified) << "it was hashed for it";
}

// ---- Publishing

TEST_F(FoldersTest, ARepoIsPublishedWholeAndToldBeforeTheAnswer) {
  folders_.start();
  checkPresent(listing({}));
  for (const char* content : {"aa", "bb"}) folders_->landed(land(content));

  EXPECT_TRUE(publish(listing({{"a", "aa"}, {"sub/b", "bb"}}, true), {main()}).ok());

  EXPECT_EQ(contentOf((hub_.at(repo_) / "snapshots" / commit_.hex() / "sub/b").string()), "bb");
  EXPECT_TRUE(exists("trees/" + commit_.hex() + ".json"));
  EXPECT_EQ(contentOf((hub_.at(repo_) / "refs/main").string()), commit_.hex());
  EXPECT_TRUE(folders_.told.repos.at({repo_, commit_}).complete());
  EXPECT_TRUE(folders_.told.refs.contains({repo_, RefName::main()}));
  EXPECT_EQ(folders_.events.back(), "published");
}

TEST_F(FoldersTest, WhatLiesInAnotherRepoIsLinked) {
  const RepoId other = repoNamed("org/other");
  folders_.start();
  checkPresent(listing({}));
  folders_->landed(land("aa", other));

  EXPECT_TRUE(publish(listing({{"a", "aa"}}), {main()}).ok());

  const std::string name = "blobs/" + sha256Of("aa").hex();
  EXPECT_TRUE(std::filesystem::equivalent(hub_.at(other) / name, hub_.at(repo_) / name));
  EXPECT_EQ(folders_->inventory().findIn(RootIndex{0}, repo_, sha256Of("aa"))->trust,
            Trust::kVerified)
      << "its hash goes with it";
}

TEST_F(FoldersTest, WhatLacksABlobGetsNeitherListNorRef) {
  folders_.start();
  checkPresent(listing({}));
  folders_->landed(land("aa"));

  EXPECT_FALSE(publish(listing({{"a", "aa"}, {"b", "bb"}}, true), {main()}).ok());

  EXPECT_FALSE(exists("trees/" + commit_.hex() + ".json"));
  EXPECT_FALSE(exists("refs/main"));
}

TEST_F(FoldersTest, SomethingElseUnderAFilesNameIsSaidAndStays) {
  HubFolder::write(hub_.at(repo_) / "snapshots" / commit_.hex() / "a" / "mine", "precious");
  folders_.start();
  checkPresent(listing({}));
  folders_->landed(land("aa"));

  const absl::Status status = publish(listing({{"a", "aa"}}, true), {main()});

  EXPECT_THAT(std::string(status.message()), HasSubstr("something else has that name"));
  EXPECT_TRUE(exists("snapshots/" + commit_.hex() + "/a/mine"));
  EXPECT_FALSE(exists("refs/main"));
}

TEST_F(FoldersTest, NothingIsPublishedBeforeARootIsChosen) {
  folders_.start();
  EXPECT_EQ(publish(listing({{"a", "aa"}})).code(), absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace roost
