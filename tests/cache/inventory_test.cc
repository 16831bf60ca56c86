#include "cache/inventory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <map>

#include "tests/cache/hub_folder.h"

namespace roost {
namespace {

using testing::commitOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using testing::gitSha1Of;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::repoNamed;
using testing::sha256Of;
using ::testing::SizeIs;

Sha256 bytesOf(const BlobId& id) {
  Sha256 bytes{};
  std::copy(id.digest().begin(), id.digest().end(), bytes.begin());
  return bytes;
}

// A scan made up in memory: no disk is touched.
class Picture {
 public:
  explicit Picture(const RepoId& repo) : scan_{repo, {}, {}, {}, {}, {}, {}} {}

  // A file whose blob is named rightly; its stamp follows from the content, and `version`.
  Picture& file(const Commit& commit, const std::string& path, const std::string& content,
                bool lfs = true, int version = 0) {
    const BlobId id = lfs ? sha256Of(content) : gitSha1Of(content);
    return show(commit, path, copy("blobs/" + id.hex(), id, content.size(), version));
  }
  Picture& nameless(const Commit& commit, const std::string& path, uint64_t size) {
    return show(commit, path,
                copy("snapshots/" + commit.hex() + "/" + path, std::nullopt, size, 0));
  }
  Picture& blob(const BlobId& id, uint64_t size, int version = 0) {
    copy("blobs/" + id.hex(), id, size, version);
    return *this;
  }
  Picture& ref(const std::string& name, const Commit& commit,
               std::optional<absl::Time> time = std::nullopt) {
    scan_.refs.push_back({*RefName::parse(name), commit, time});
    return *this;
  }
  Picture& tree(const Commit& commit,
                const std::vector<std::pair<std::string, std::string>>& files) {
    Listing listing{scan_.repo, commit, true, Visibility::kUnknown, {}};
    for (const auto& [path, content] : files) {
      listing.files.push_back(
          {*RelativePath::parse(path), {sha256Of(content), content.size()}, GitSha1{}});
    }
    EXPECT_TRUE(normalize(listing).ok());
    scan_.trees.insert_or_assign(commit, KnownTree{{}, std::make_shared<const Listing>(listing)});
    snapshot(commit);
    return *this;
  }
  Picture& problem(const std::string& text) {
    scan_.problems.push_back(text);
    return *this;
  }
  // What the index remembers of the last file.
  Picture& known(Trust trust, const BlobId& content, const Sha256& sha256) {
    trust_.back() = {trust, content, sha256};
    return *this;
  }
  Picture& chmoded() {
    scan_.copies.back().stamp.ctimeNs += 1;
    return *this;
  }

  const FileStamp& stamp() const { return scan_.copies.back().stamp; }  // of the last file
  const RepoScan& scan() {
    for (auto& snapshot : scan_.snapshots) {
      std::sort(snapshot.files.begin(), snapshot.files.end(),
                [](const ScannedFile& a, const ScannedFile& b) { return a.path < b.path; });
    }
    return scan_;
  }
  const std::vector<CopyTrust>& trust() const { return trust_; }

 private:
  ScannedSnapshot& snapshot(const Commit& commit) {
    for (ScannedSnapshot& one : scan_.snapshots) {
      if (one.commit == commit) return one;
    }
    scan_.snapshots.push_back({commit, {}});
    return scan_.snapshots.back();
  }
  Picture& show(const Commit& commit, const std::string& path, uint32_t copy) {
    snapshot(commit).files.push_back({*RelativePath::parse(path), copy});
    return *this;
  }
  uint32_t copy(const std::string& place, std::optional<BlobId> name, uint64_t size, int version) {
    for (size_t i = 0; i < scan_.copies.size(); ++i) {
      if (scan_.copies[i].place == place) return static_cast<uint32_t>(i);
    }
    const FileStamp stamp{1, std::hash<std::string>()(place), size, 1000 + version, 1000};
    scan_.copies.push_back({place, std::move(name), stamp});
    trust_.emplace_back();
    return static_cast<uint32_t>(scan_.copies.size() - 1);
  }

  RepoScan scan_;
  std::vector<CopyTrust> trust_;
};

// What a peer believes after having followed all changes.
struct Peer {
  std::map<BlobId, BlobAdvert> blobs;
  std::map<RepoKey, RepoAdvert> repos;
  std::map<RefKey, RefAdvert> refs;
  uint64_t sequence = 0;

  void follow(const std::vector<AdvertChange>& changes) {
    for (const AdvertChange& change : changes) {
      EXPECT_EQ(change.sequence, ++sequence);
      if (const auto* advert = std::get_if<Advert>(&change.what)) {
        if (const auto* blob = std::get_if<BlobAdvert>(advert)) {
          blobs.insert_or_assign(blob->blob.id, *blob);
        } else if (const auto* repo = std::get_if<RepoAdvert>(advert)) {
          repos.insert_or_assign(RepoKey{repo->repo, repo->commit}, *repo);
        } else if (const auto* ref = std::get_if<RefAdvert>(advert)) {
          refs.insert_or_assign(RefKey{ref->repo, ref->state.ref}, *ref);
        }
        continue;
      }
      const auto& key = std::get<AdvertKey>(change.what);
      if (const auto* blob = std::get_if<BlobId>(&key)) {
        EXPECT_EQ(blobs.erase(*blob), 1u);
      }
      if (const auto* repo = std::get_if<RepoKey>(&key)) {
        EXPECT_EQ(repos.erase(*repo), 1u);
      }
      if (const auto* ref = std::get_if<RefKey>(&key)) {
        EXPECT_EQ(refs.erase(*ref), 1u);
      }
    }
  }
};

class InventoryTest : public ::testing::Test {
 protected:
  InventoryTest() { root_ = addRoot("/hub", "store-1"); }
  RootIndex addRoot(const std::string& path, const std::string& store,
                    RootVisibility visibility = RootVisibility::kAsk) {
    Root root;
    root.config.path = path;
    root.config.origin = "test";
    root.config.visibility = visibility;
    root.store = *StoreId::parse(store);
    return inventory_.addRoot(root);
  }
  size_t told() {
    const auto changes = inventory_.takeChanges();
    peer_.follow(changes);
    return changes.size();
  }
  void apply(Picture picture) { applyTo(root_, std::move(picture)); }
  void applyTo(RootIndex root, Picture picture) {
    const RepoScan& scan = picture.scan();
    inventory_.apply(root, scan, picture.trust());
    told();
  }
  void applyBegun(Moment began, Picture picture) {
    const RepoScan& scan = picture.scan();
    inventory_.apply(root_, scan, picture.trust(), began);
  }
  // This node published the blob, as Picture::file() shows it.
  void land(const std::string& content) {
    const BlobId id = sha256Of(content);
    inventory_.landed(root_, repo_, id, Picture(repo_).blob(id, content.size()).stamp(),
                      bytesOf(id));
  }
  // Hashes the next copy, and finds `content`.
  BlobId checkNext(const std::string& content) {
    const auto job = inventory_.nextToVerify(now_);
    EXPECT_TRUE(job.has_value());
    const BlobId found = job->expected.id.algorithm() == HashAlgorithm::kSha256
                             ? sha256Of(content)
                             : gitSha1Of(content);
    inventory_.checked(job->copy, {job->stamp, found, bytesOf(sha256Of(content))});
    told();
    return job->expected.id;
  }
  const RepoAdvert& advert() { return peer_.repos.at({repo_, commit_}); }

  absl::Time now_ =
      absl::FromUnixSeconds(1'000'000);  // long after the files of the pictures changed
  Inventory inventory_;
  Peer peer_;
  RootIndex root_{};
  const RepoId repo_ = repoNamed("org/tiny");
  const Commit commit_ = commitOf('a');
};

// ---- Adverts

TEST_F(InventoryTest, APlausibleNameIsAdvertisedAtOnceAsUnverified) {
  apply(Picture(repo_).file(commit_, "model.bin", "weights"));
  ASSERT_TRUE(peer_.blobs.contains(sha256Of("weights")));
  EXPECT_TRUE(peer_.blobs.at(sha256Of("weights")).unverified);
  EXPECT_EQ(peer_.blobs.at(sha256Of("weights")).blob.size, 7u);
}

TEST_F(InventoryTest, ImplausibleSizesAreNotAdvertisedBeforeTheyAreHashed) {
  apply(Picture(repo_)
            .tree(commit_, {{"model.bin", "weights"}})
            .blob(sha256Of("weights"), 6)  // the tree says 7
            .blob(sha256Of("x"), 0)        // not the digest of nothing
            .blob(sha256Of(""), 1)         // the digest of nothing
            .blob(gitSha1Of(""), 0));
  EXPECT_THAT(peer_.blobs, ElementsAre(::testing::Key(gitSha1Of(""))));
  EXPECT_FALSE(inventory_.find(sha256Of("weights")).has_value());
}

TEST_F(InventoryTest, OnlyWhatChangedIsTold) {
  Picture first(repo_);
  first.file(commit_, "a", "aa").file(commit_, "b", "bb").ref("main", commit_);
  apply(first);
  EXPECT_EQ(peer_.sequence, 4u);  // two blobs, the repo, the ref
  apply(first);
  EXPECT_EQ(peer_.sequence, 4u);
  apply(first.file(commit_, "c", "cc"));
  EXPECT_EQ(peer_.sequence, 6u);  // the blob and the repo
}

TEST_F(InventoryTest, WhatTheUserDeletesIsWithdrawn) {
  apply(Picture(repo_).file(commit_, "a", "aa").file(commit_, "b", "bb").ref("main", commit_));
  apply(Picture(repo_).file(commit_, "a", "aa"));
  EXPECT_THAT(peer_.blobs, ElementsAre(::testing::Key(sha256Of("aa"))));
  EXPECT_THAT(peer_.refs, IsEmpty());
  inventory_.remove(root_, repo_);
  told();
  EXPECT_THAT(peer_.blobs, IsEmpty());
  EXPECT_THAT(peer_.repos, IsEmpty());
  EXPECT_EQ(inventory_.summary().blobs, 0u);
  EXPECT_EQ(inventory_.summary().checkBytesLeft, 0u);
  EXPECT_FALSE(inventory_.nextToVerify(now_).has_value());
}

TEST_F(InventoryTest, AReposFolderThatIsNotInItsRootAnyMoreIsForgotten) {
  const RepoId other = repoNamed("org/other");
  apply(Picture(repo_).file(commit_, "a", "aa"));
  apply(Picture(other).file(commit_, "b", "bb"));
  RootScan scan;
  scan.repos = {other};
  scan.problems = {"models--a--b--c could be two repos"};
  inventory_.applyRoot(root_, scan);
  told();
  EXPECT_THAT(peer_.blobs, ElementsAre(::testing::Key(sha256Of("bb"))));
  EXPECT_THAT(inventory_.problems(), ElementsAre(HasSubstr("could be two repos")));
}

TEST_F(InventoryTest, ARootThatCannotBeReadIsEmptyAndAProblem) {
  apply(Picture(repo_).file(commit_, "a", "aa"));
  inventory_.rootFailed(root_, absl::PermissionDeniedError("Permission denied (13)"));
  told();
  EXPECT_THAT(peer_.blobs, IsEmpty());
  EXPECT_THAT(inventory_.problems(), ElementsAre(HasSubstr("/hub (test): Permission denied")));
  inventory_.applyRoot(root_, RootScan{});
  EXPECT_THAT(inventory_.problems(), IsEmpty());
}

TEST_F(InventoryTest, ARepoThatCannotBeReadIsAProblemUntilItIs) {
  inventory_.repoFailed(root_, repo_, absl::PermissionDeniedError("it is a link"));
  EXPECT_THAT(inventory_.problems(), ElementsAre(HasSubstr("/hub/models--org--tiny")));
  apply(Picture(repo_).file(commit_, "a", "aa"));
  EXPECT_THAT(inventory_.problems(), IsEmpty());
}

TEST_F(InventoryTest, TheSameBlobInTwoReposIsOneAdvertCountedOnce) {
  const RepoId other = repoNamed("org/other");
  apply(Picture(repo_).file(commit_, "a", "aa"));
  apply(Picture(other).file(commit_, "b", "aa"));
  EXPECT_THAT(peer_.blobs, SizeIs(1));
  EXPECT_EQ(inventory_.summary().blobs, 1u);
  EXPECT_EQ(inventory_.summary().heldBytes, 2u);
  inventory_.remove(root_, repo_);
  told();
  EXPECT_THAT(peer_.blobs, SizeIs(1));
}

TEST_F(InventoryTest, CompleteOnlyWithATreeAndAllItsFiles) {
  Picture picture(repo_);
  picture.file(commit_, "a", "aa").ref("main", commit_);
  apply(picture);
  EXPECT_FALSE(advert().complete());
  EXPECT_EQ(advert().files, 1u);

  apply(picture.tree(commit_, {{"a", "aa"}, {"b", "bb"}}));
  EXPECT_FALSE(advert().complete());
  EXPECT_TRUE(advert().manifest);
  EXPECT_EQ(advert().files, 1u);
  EXPECT_EQ(advert().filesTotal, 2u);
  EXPECT_EQ(advert().bytesTotal, 4u);

  apply(picture.file(commit_, "b", "bb"));
  EXPECT_TRUE(advert().complete());
}

TEST_F(InventoryTest, AFileThatTheTreeDoesNotKnowOrOfAnotherBlobDoesNotCount) {
  apply(Picture(repo_)
            .tree(commit_, {{"a", "aa"}})
            .file(commit_, "a", "other")
            .file(commit_, "stray", "aa"));
  EXPECT_EQ(advert().files, 0u);
  EXPECT_FALSE(advert().complete());
}

TEST_F(InventoryTest, ACommitIsUnitedOverRoots) {
  const RootIndex second = addRoot("/other", "store-2");
  apply(Picture(repo_).tree(commit_, {{"a", "aa"}, {"b", "bb"}}).file(commit_, "a", "aa"));
  applyTo(second, Picture(repo_).file(commit_, "b", "bb"));
  EXPECT_TRUE(advert().complete());
  EXPECT_EQ(inventory_.find(sha256Of("bb"))->root, second);
}

TEST_F(InventoryTest, TheNewestWordOfTheHubOnARefWins) {
  const RootIndex second = addRoot("/other", "store-2");
  const auto pointsTo = [&] { return peer_.refs.at({repo_, RefName::main()}).state.commit; };
  apply(Picture(repo_).ref("main", commitOf('1')));
  applyTo(second, Picture(repo_).ref("main", commitOf('2')));
  EXPECT_EQ(pointsTo(), commitOf('1'));
  applyTo(second, Picture(repo_).ref("main", commitOf('2'), absl::FromUnixSeconds(100)));
  EXPECT_EQ(pointsTo(), commitOf('2'));
  apply(Picture(repo_).ref("main", commitOf('3'), absl::FromUnixSeconds(200)));
  EXPECT_EQ(pointsTo(), commitOf('3'));
}

// ---- Verification

TEST_F(InventoryTest, WhatIsVerifiedIsToldSo) {
  apply(Picture(repo_).file(commit_, "a", "aa", /*lfs=*/false));
  const auto before = peer_.sequence;
  checkNext("aa");
  const BlobAdvert& advert = peer_.blobs.at(gitSha1Of("aa"));
  EXPECT_FALSE(advert.unverified);
  EXPECT_EQ(advert.sha256, bytesOf(sha256Of("aa")));
  EXPECT_EQ(peer_.sequence, before + 1);  // the repo's advert is as it was
  EXPECT_EQ(inventory_.find(gitSha1Of("aa"))->trust, Trust::kVerified);
  EXPECT_FALSE(inventory_.nextToVerify(now_).has_value());
}

TEST_F(InventoryTest, WrongContentIsWithdrawnAndStaysSoWhileItsStampDoes) {
  const Picture picture =
      Picture(repo_).tree(commit_, {{"a", "aa"}}).file(commit_, "a", "aa").ref("main", commit_);
  apply(picture);
  EXPECT_TRUE(advert().complete());
  checkNext("no");
  EXPECT_THAT(peer_.blobs, IsEmpty());
  EXPECT_EQ(advert().files, 0u);
  EXPECT_FALSE(inventory_.find(sha256Of("aa")).has_value());
  EXPECT_THAT(inventory_.problems(),
              ElementsAre(::testing::AllOf(HasSubstr("/hub/models--org--tiny/blobs/"),
                                           HasSubstr(sha256Of("no").toString()),
                                           HasSubstr("roost warm REPO --nodes self"))));
  apply(picture);
  EXPECT_THAT(peer_.blobs, IsEmpty());
  EXPECT_FALSE(inventory_.nextToVerify(now_).has_value());

  apply(Picture(repo_).file(commit_, "a", "aa", true, /*version=*/1));
  EXPECT_THAT(peer_.blobs, SizeIs(1));
  EXPECT_THAT(inventory_.problems(), IsEmpty());
  EXPECT_TRUE(inventory_.nextToVerify(now_).has_value());
}

TEST_F(InventoryTest, TheIndexsWordSparesTheHashing) {
  apply(Picture(repo_)
            .file(commit_, "a", "aa")
            .known(Trust::kVerified, sha256Of("aa"), bytesOf(sha256Of("aa")))
            .file(commit_, "b", "bb")
            .known(Trust::kWrong, sha256Of("no"), bytesOf(sha256Of("no"))));
  EXPECT_FALSE(peer_.blobs.at(sha256Of("aa")).unverified);
  EXPECT_THAT(peer_.blobs, SizeIs(1));
  EXPECT_THAT(inventory_.problems(), SizeIs(1));
  EXPECT_FALSE(inventory_.nextToVerify(now_).has_value());
}

TEST_F(InventoryTest, AVerifiedFileWithANewCtimeStaysAdvertisedAndIsCheckedAgain) {
  Picture picture(repo_);
  picture.file(commit_, "a", "aa");
  apply(picture);
  checkNext("aa");
  apply(picture.chmoded());
  EXPECT_FALSE(peer_.blobs.at(sha256Of("aa")).unverified);
  EXPECT_EQ(inventory_.find(sha256Of("aa"))->trust, Trust::kRecheck);
  EXPECT_EQ(inventory_.summary().checkBytesLeft, 0u);
  checkNext("aa");
  EXPECT_EQ(inventory_.find(sha256Of("aa"))->trust, Trust::kVerified);
}

TEST_F(InventoryTest, WhatWasHashedTooSoonIsHashedAgainWhenItHasSettled) {
  now_ = absl::UnixEpoch() + absl::Seconds(1);  // the pictures' files change at 0
  apply(Picture(repo_).file(commit_, "a", "aa"));
  const auto job = inventory_.nextToVerify(now_);
  ASSERT_TRUE(job.has_value()) << "a small one at once";
  inventory_.checked(job->copy, {job->stamp, sha256Of("aa"), bytesOf(sha256Of("aa")), true});
  told();
  EXPECT_FALSE(peer_.blobs.at(sha256Of("aa")).unverified);
  EXPECT_EQ(inventory_.summary().checkBytesLeft, 0u);
  EXPECT_FALSE(inventory_.nextToVerify(now_).has_value());
  now_ += absl::Seconds(2);
  checkNext("aa");
  EXPECT_FALSE(inventory_.nextToVerify(now_).has_value());
  EXPECT_FALSE(peer_.blobs.at(sha256Of("aa")).unverified);
}

TEST_F(InventoryTest, ALargeFileIsNotHashedBeforeItHasSettledUnlessSomebodyWaits) {
  now_ = absl::UnixEpoch() + absl::Seconds(1);
  const BlobId one = sha256Of("one"), other = sha256Of("other");
  apply(Picture(repo_).blob(one, kHashedAtOnceMax + 1).blob(other, kHashedAtOnceMax + 2));
  EXPECT_FALSE(inventory_.nextToVerify(now_).has_value());
  EXPECT_EQ(inventory_.summary().checkBytesLeft, 2 * kHashedAtOnceMax + 3);
  inventory_.requestVerify(other);
  EXPECT_EQ(inventory_.nextToVerify(now_)->expected.id, other);
  EXPECT_FALSE(inventory_.nextToVerify(now_).has_value());
  EXPECT_EQ(inventory_.nextToVerify(now_ + absl::Seconds(2))->expected.id, one);
}

TEST_F(InventoryTest, ARewrittenFileIsUnverifiedAgain) {
  apply(Picture(repo_).file(commit_, "a", "aa"));
  checkNext("aa");
  apply(Picture(repo_).file(commit_, "a", "aa", true, /*version=*/1));
  EXPECT_TRUE(peer_.blobs.at(sha256Of("aa")).unverified);
}

TEST_F(InventoryTest, AResultForAFileThatChangedMeanwhileIsNotBelieved) {
  apply(Picture(repo_).file(commit_, "a", "aa"));
  const auto job = inventory_.nextToVerify(now_);
  apply(Picture(repo_).file(commit_, "a", "aa", true, /*version=*/1));
  inventory_.checked(job->copy, {job->stamp, sha256Of("no"), {}});
  told();
  EXPECT_THAT(peer_.blobs, SizeIs(1));
  EXPECT_TRUE(inventory_.nextToVerify(now_).has_value());
}

TEST_F(InventoryTest, AResultForACopyThatIsGoneIsIgnored) {
  apply(Picture(repo_).file(commit_, "a", "aa"));
  const auto job = inventory_.nextToVerify(now_);
  inventory_.remove(root_, repo_);
  inventory_.checked(job->copy, {job->stamp, sha256Of("aa"), {}});
  inventory_.checkFailed(job->copy, absl::InternalError("x"));
  inventory_.rotten(job->copy, job->stamp);
  told();
  EXPECT_THAT(peer_.blobs, IsEmpty());
}

TEST_F(InventoryTest, ACopyThatCannotBeReadIsWithdrawnAndOneThatWasBusyIsTriedAgain) {
  apply(Picture(repo_).file(commit_, "a", "aa"));
  auto job = inventory_.nextToVerify(now_);
  inventory_.checkFailed(job->copy, absl::AbortedError("it changed"));
  told();
  EXPECT_THAT(peer_.blobs, SizeIs(1));
  job = inventory_.nextToVerify(now_);
  ASSERT_TRUE(job.has_value());
  inventory_.checkFailed(job->copy, absl::DataLossError("Input/output error (5)"));
  told();
  EXPECT_THAT(peer_.blobs, IsEmpty());
  EXPECT_THAT(inventory_.problems(), ElementsAre(HasSubstr("Input/output error (5)")));
}

TEST_F(InventoryTest, RotThatAReaderFindsIsWithdrawn) {
  apply(Picture(repo_).file(commit_, "a", "aa"));
  checkNext("aa");
  const LocalCopy copy = *inventory_.find(sha256Of("aa"));
  FileStamp other = copy.stamp;
  other.mtimeNs += 1;
  inventory_.rotten(copy.id, other);
  EXPECT_EQ(told(), 0u);
  inventory_.rotten(copy.id, copy.stamp);
  told();
  EXPECT_THAT(peer_.blobs, IsEmpty());
  EXPECT_THAT(inventory_.problems(), SizeIs(1));
}

TEST_F(InventoryTest, AnotherCopyTakesTheWrongOnesPlace) {
  const RootIndex second = addRoot("/other", "store-2");
  apply(Picture(repo_).file(commit_, "a", "aa"));
  applyTo(second, Picture(repo_).file(commit_, "a", "aa"));
  EXPECT_EQ(inventory_.find(sha256Of("aa"))->root, root_);
  const auto job = inventory_.nextToVerify(now_);
  inventory_.checked(job->copy, {job->stamp, sha256Of("no"), {}});
  told();
  EXPECT_THAT(peer_.blobs, SizeIs(1));
  EXPECT_EQ(inventory_.find(sha256Of("aa"))->root, second);
  EXPECT_EQ(advert().files, 1u);
}

TEST_F(InventoryTest, AVerifiedCopyIsPreferred) {
  const RootIndex second = addRoot("/other", "store-2");
  apply(Picture(repo_).file(commit_, "a", "aa"));
  applyTo(second,
          Picture(repo_).file(commit_, "a", "aa").known(Trust::kVerified, sha256Of("aa"), {}));
  EXPECT_EQ(inventory_.find(sha256Of("aa"))->root, second);
  EXPECT_EQ(inventory_.findIn(root_, repo_, sha256Of("aa"))->root, root_);
  EXPECT_EQ(inventory_.find(sha256Of("aa"))->path,
            "/other/models--org--tiny/blobs/" + sha256Of("aa").hex());
}

TEST_F(InventoryTest, WhatSomebodyWaitsForIsCheckedFirstThenTheSmallest) {
  apply(Picture(repo_)
            .file(commit_, "a", "aaaa")
            .file(commit_, "b", "bb")
            .file(commit_, "c", "ccc")
            .file(commit_, "d", "d"));
  inventory_.requestVerify(sha256Of("ccc"));
  EXPECT_EQ(inventory_.summary().checkBytesLeft, 10u);
  EXPECT_EQ(checkNext("ccc"), sha256Of("ccc"));
  EXPECT_EQ(inventory_.summary().checkBytesLeft, 7u);
  EXPECT_EQ(inventory_.summary().checkBytesTotal, 10u);
  EXPECT_EQ(checkNext("d"), sha256Of("d"));
  EXPECT_EQ(checkNext("bb"), sha256Of("bb"));
  EXPECT_EQ(checkNext("aaaa"), sha256Of("aaaa"));
  EXPECT_EQ(inventory_.summary().checkBytesLeft, 0u);
}

TEST_F(InventoryTest, ANamelessFileGetsItsNamesByHashing) {
  apply(Picture(repo_).nameless(commit_, "config.json", 2));
  EXPECT_THAT(peer_.blobs, IsEmpty());
  EXPECT_THAT(peer_.repos, IsEmpty());
  const auto job = inventory_.nextToVerify(now_);
  ASSERT_TRUE(job.has_value());
  EXPECT_FALSE(job->named);
  EXPECT_EQ(job->expected.id.algorithm(), HashAlgorithm::kGitSha1);
  inventory_.checked(job->copy, {job->stamp, gitSha1Of("{}"), bytesOf(sha256Of("{}"))});
  told();
  EXPECT_THAT(peer_.blobs, SizeIs(2));
  EXPECT_EQ(inventory_.summary().blobs, 1u);
  EXPECT_EQ(inventory_.find(gitSha1Of("{}"))->path,
            "/hub/models--org--tiny/snapshots/" + commit_.hex() + "/config.json");
  EXPECT_FALSE(inventory_.find(gitSha1Of("{}"))->inBlobs);
  // Which of the two names the hub uses is not known: no listing claims one.
  EXPECT_THAT(peer_.repos, IsEmpty());
}

TEST_F(InventoryTest, ALargeNamelessFileCanOnlyBeLfs) {
  apply(Picture(repo_).nameless(commit_, "model.bin", 20 << 20));
  checkNext("weights");
  EXPECT_EQ(advert().files, 1u);
  EXPECT_EQ(inventory_.listing(repo_, commit_)->files[0].blob.id, sha256Of("weights"));
}

// ---- Landings

TEST_F(InventoryTest, ALandedBlobIsToldBeforeAnyScanAsVerified) {
  land("aa");
  EXPECT_EQ(told(), 1u);
  ASSERT_THAT(peer_.blobs, ElementsAre(::testing::Key(sha256Of("aa"))));
  EXPECT_FALSE(peer_.blobs.at(sha256Of("aa")).unverified);
  EXPECT_EQ(inventory_.find(sha256Of("aa"))->path,
            "/hub/models--org--tiny/blobs/" + sha256Of("aa").hex());
  EXPECT_TRUE(inventory_.find(sha256Of("aa"))->inBlobs);
  EXPECT_FALSE(inventory_.nextToVerify(now_).has_value()) << "it was hashed when it was written";
}

TEST_F(InventoryTest, ALandedGitFileIsToldWithItsSha256) {
  const BlobId id = gitSha1Of("{}");
  inventory_.landed(root_, repo_, id, Picture(repo_).blob(id, 2).stamp(), bytesOf(sha256Of("{}")));
  told();
  EXPECT_EQ(peer_.blobs.at(id).sha256, bytesOf(sha256Of("{}")));
}

TEST_F(InventoryTest, TheScanAfterALandingTellsOnlyOfTheRepo) {
  land("aa");
  told();
  const uint64_t before = peer_.sequence;
  apply(Picture(repo_)
            .file(commit_, "a", "aa")
            .known(Trust::kVerified, sha256Of("aa"), bytesOf(sha256Of("aa"))));
  EXPECT_EQ(peer_.sequence, before + 1);
  EXPECT_EQ(advert().files, 1u);
  EXPECT_EQ(inventory_.summary().blobs, 1u);
  EXPECT_EQ(inventory_.summary().heldBytes, 2u);
}

TEST_F(InventoryTest, ALandedBlobStaysVerifiedIfTheIndexDoesNotKnowItYet) {
  land("aa");
  apply(Picture(repo_).blob(sha256Of("aa"), 2));
  EXPECT_FALSE(peer_.blobs.at(sha256Of("aa")).unverified);
  EXPECT_FALSE(inventory_.nextToVerify(now_).has_value());
}

TEST_F(InventoryTest, AScanThatBeganBeforeALandingDoesNotTakeItBack) {
  apply(Picture(repo_).file(commit_, "a", "aa"));
  const Moment began = inventory_.scanBegins();
  land("bb");
  told();
  applyBegun(began, Picture(repo_).file(commit_, "a", "aa"));
  EXPECT_EQ(told(), 0u);
  EXPECT_TRUE(inventory_.findIn(root_, repo_, sha256Of("bb")).has_value());
  EXPECT_EQ(advert().files, 1u) << "the snapshot shows the same file as before";
}

TEST_F(InventoryTest, AScanThatBeganAfterALandingSaysWhatBecameOfIt) {
  land("aa");
  told();
  applyBegun(inventory_.scanBegins(), Picture(repo_));
  EXPECT_EQ(told(), 1u);
  EXPECT_THAT(peer_.blobs, IsEmpty());
  EXPECT_EQ(inventory_.summary().blobs, 0u);
}

TEST_F(InventoryTest, ALandingInANewRepoOutlastsOlderScansOfRepoAndRoot) {
  const Moment root = inventory_.scanBegins();
  const Moment repo = inventory_.scanBegins();
  land("aa");
  told();
  inventory_.remove(root_, repo_, repo);
  inventory_.applyRoot(root_, RootScan{}, root);
  EXPECT_EQ(told(), 0u);
  inventory_.applyRoot(root_, RootScan{}, inventory_.scanBegins());
  EXPECT_EQ(told(), 1u);
  EXPECT_THAT(peer_.blobs, IsEmpty());
}

TEST_F(InventoryTest, ARepoThatWasScannedOutlastsARootScanThatBeganEarlier) {
  const Moment root = inventory_.scanBegins();
  applyBegun(inventory_.scanBegins(), Picture(repo_).file(commit_, "a", "aa"));
  told();
  inventory_.applyRoot(root_, RootScan{}, root);
  EXPECT_EQ(told(), 0u);
}

TEST_F(InventoryTest, ALandingReplacesAWrongCopyAndTheSnapshotCountsIt) {
  apply(Picture(repo_).file(commit_, "a", "aa", true, /*version=*/1));
  checkNext("xx");
  EXPECT_THAT(peer_.blobs, IsEmpty());
  EXPECT_THAT(inventory_.problems(), SizeIs(1));
  const Moment began = inventory_.scanBegins();
  land("aa");
  told();
  EXPECT_EQ(advert().files, 1u);
  EXPECT_THAT(inventory_.problems(), IsEmpty());
  applyBegun(began, Picture(repo_)
                        .file(commit_, "a", "aa", true, /*version=*/1)
                        .known(Trust::kWrong, sha256Of("xx"), bytesOf(sha256Of("xx"))));
  EXPECT_EQ(told(), 0u) << "that scan saw the file before it was replaced";
}

TEST_F(InventoryTest, ALandingOfWhatIsThereAlreadyIsNotASecondCopy) {
  apply(Picture(repo_).file(commit_, "a", "aa"));
  land("aa");
  told();
  EXPECT_FALSE(peer_.blobs.at(sha256Of("aa")).unverified);
  EXPECT_EQ(inventory_.summary().blobs, 1u);
  EXPECT_EQ(inventory_.repos()[0].bytes, 2u);
  apply(Picture(repo_));
  EXPECT_THAT(peer_.blobs, IsEmpty());
}

// ---- Stores, visibility, restarts

TEST_F(InventoryTest, AFollowerServesItselfButNeitherTellsNorHashes) {
  const StoreId store = *StoreId::parse("store-1");
  apply(Picture(repo_).file(commit_, "a", "aa").ref("main", commit_));
  inventory_.setFollower(store, true);
  told();
  EXPECT_THAT(peer_.blobs, IsEmpty());
  EXPECT_THAT(peer_.repos, IsEmpty());
  EXPECT_THAT(peer_.refs, IsEmpty());
  EXPECT_FALSE(inventory_.nextToVerify(now_).has_value());
  EXPECT_EQ(inventory_.summary().blobs, 0u);
  EXPECT_TRUE(inventory_.find(sha256Of("aa")).has_value());
  EXPECT_THAT(inventory_.repos(), SizeIs(1));
  EXPECT_THAT(inventory_.repos()[0].commits, SizeIs(1));

  inventory_.setFollower(store, false);
  told();
  EXPECT_THAT(peer_.blobs, SizeIs(1));
  EXPECT_THAT(peer_.repos, SizeIs(1));
  EXPECT_TRUE(inventory_.nextToVerify(now_).has_value());
}

TEST_F(InventoryTest, AFolderThatStandsOnAnotherStoreIsFollowedNoLonger) {
  const StoreId store = *StoreId::parse("store-1");
  apply(Picture(repo_).file(commit_, "a", "aa"));
  inventory_.setFollower(store, true);
  told();
  EXPECT_THAT(peer_.blobs, IsEmpty());
  inventory_.setStore(RootIndex{0}, store);
  told();
  EXPECT_THAT(peer_.blobs, IsEmpty()) << "it is the same store";
  inventory_.setStore(RootIndex{0}, *StoreId::parse("store-2"));
  told();
  EXPECT_THAT(peer_.blobs, SizeIs(1));
  inventory_.setFollower(store, true);
  told();
  EXPECT_THAT(peer_.blobs, SizeIs(1));
}

TEST_F(InventoryTest, VisibilityIsUnknownUntilToldOrConfigured) {
  apply(Picture(repo_).file(commit_, "a", "aa"));
  EXPECT_EQ(advert().visibility, Visibility::kUnknown);
  inventory_.setVisibility(repo_, Visibility::kGated);
  told();
  EXPECT_EQ(advert().visibility, Visibility::kGated);
  EXPECT_EQ(peer_.blobs.at(sha256Of("aa")).visibility, Visibility::kGated);

  const RootIndex open = addRoot("/public", "store-2", RootVisibility::kPublic);
  const RepoId other = repoNamed("org/other");
  applyTo(open, Picture(other).file(commit_, "a", "aa"));
  EXPECT_EQ(inventory_.visibilityOf(other), Visibility::kPublic);
  EXPECT_EQ(peer_.blobs.at(sha256Of("aa")).visibility, Visibility::kPublic);
  EXPECT_EQ(inventory_.visibilityOf(sha256Of("aa")), Visibility::kPublic);
  EXPECT_EQ(inventory_.visibilityOf(sha256Of("zz")), Visibility::kUnknown);

  const RootIndex closed = addRoot("/private", "store-3", RootVisibility::kPrivate);
  applyTo(closed, Picture(other).file(commit_, "b", "bb"));
  EXPECT_EQ(peer_.repos.at({other, commit_}).visibility, Visibility::kPrivate);
}

TEST_F(InventoryTest, AfterARestartOnlyDifferencesAreTold) {
  Inventory before;
  before.addRoot(inventory_.root(root_));
  Picture old(repo_);
  old.file(commit_, "a", "aa").file(commit_, "b", "bb").ref("main", commit_);
  before.apply(root_, old.scan(), old.trust());
  const auto log = before.takeChanges();

  Inventory after;
  after.addRoot(inventory_.root(root_));
  after.restore(log);
  EXPECT_EQ(after.lastSequence(), before.lastSequence());
  EXPECT_FALSE(after.find(sha256Of("aa")).has_value());
  Picture now(repo_);
  now.file(commit_, "a", "aa").ref("main", commit_);
  after.apply(root_, now.scan(), now.trust());
  EXPECT_THAT(after.takeChanges(), SizeIs(1));  // the repo has a file less
  after.settled();
  const auto changes = after.takeChanges();
  ASSERT_THAT(changes, SizeIs(1));  // the blob that was deleted while nobody looked
  EXPECT_EQ(changes[0].sequence, before.lastSequence() + 2);
  EXPECT_EQ(std::get<BlobId>(std::get<AdvertKey>(changes[0].what)), sha256Of("bb"));
}

TEST_F(InventoryTest, TheManifestIsTheListingIfThereIsOne) {
  apply(Picture(repo_).file(commit_, "a", "aa"));
  EXPECT_FALSE(inventory_.listing(repo_, commit_)->complete);
  EXPECT_THAT(inventory_.listing(repo_, commit_)->files, SizeIs(1));
  apply(Picture(repo_).tree(commit_, {{"a", "aa"}, {"b", "bb"}}).file(commit_, "a", "aa"));
  EXPECT_TRUE(inventory_.listing(repo_, commit_)->complete);
  EXPECT_THAT(inventory_.listing(repo_, commit_)->files, SizeIs(2));
  EXPECT_FALSE(inventory_.listing(repo_, commitOf('f')).has_value());
  EXPECT_NE(inventory_.knownTrees(root_, repo_), nullptr);
}

// A repo of many files is taken in whole, and every file is found and checked.
TEST_F(InventoryTest, AHundredThousandFiles) {
  constexpr int kFiles = 100'000;
  RepoScan scan{repo_, {}, {}, {}, {}, {}, {}};
  ScannedSnapshot snapshot{commit_, {}};
  Sha256 digest{};
  for (int i = 0; i < kFiles; ++i) {
    digest[0] = static_cast<uint8_t>(i), digest[1] = static_cast<uint8_t>(i >> 8);
    digest[2] = static_cast<uint8_t>(i >> 16), digest[3] = 1;
    const BlobId id = BlobId::sha256(digest);
    scan.copies.push_back({"blobs/" + id.hex(), id, {1, static_cast<uint64_t>(i), 10, 1, 1}});
    snapshot.files.push_back(
        {*RelativePath::parse(absl::StrCat("data/shard-", 100'000 + i, ".parquet")),
         static_cast<uint32_t>(i)});
  }
  scan.snapshots.push_back(std::move(snapshot));
  const std::vector<CopyTrust> trust(kFiles);
  const auto start = std::chrono::steady_clock::now();
  const auto lap = [&](const char* what) {
    const auto now = std::chrono::steady_clock::now();
    RecordProperty(what,
                   static_cast<int>(
                       std::chrono::duration_cast<std::chrono::milliseconds>(now - start).count()));
  };
  inventory_.apply(root_, scan, trust);
  lap("applied_ms");
  told();
  lap("told_ms");
  EXPECT_THAT(peer_.blobs, SizeIs(kFiles));
  EXPECT_EQ(advert().files, static_cast<uint32_t>(kFiles));
  inventory_.apply(root_, scan, trust);
  EXPECT_EQ(told(), 0u);
  lap("applied_again_ms");
  for (int i = 0; i < kFiles; ++i) {
    const auto job = inventory_.nextToVerify(now_);
    inventory_.checked(job->copy, {job->stamp, job->expected.id, {}});
  }
  EXPECT_EQ(told(), static_cast<size_t>(kFiles));
  lap("checked_ms");
  EXPECT_EQ(inventory_.summary().heldBytes, 10u * kFiles);
}

}  // namespace
}  // namespace roost
