#include "cache/watcher.h"

#include <errno.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/inotify.h>
#include <utime.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>

#include "absl/time/clock.h"
#include "cache/flat_layout.h"
#include "cache/hub_layout.h"
#include "cache/pip_cache.h"
#include "tests/cache/flat_folder.h"
#include "tests/cache/hub_folder.h"

namespace roost {
namespace {

using testing::commitOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using testing::gitSha1Hex;
using ::testing::HasSubstr;
using testing::HubFolder;
using ::testing::IsEmpty;
using testing::repoNamed;
using testing::sha256Hex;
using ::testing::SizeIs;

constexpr RootIndex kRoot{0};

// The kernel's inotify, with faults on demand.
class FaultyInotify final : public Inotify {
 public:
  int fd() const override { return kernel_.fd(); }
  ssize_t read(absl::Span<char> buffer) override {
    if (!overflow_) return kernel_.read(buffer);
    overflow_ = false;
    inotify_event event{};
    event.wd = -1;
    event.mask = IN_Q_OVERFLOW;
    std::memcpy(buffer.data(), &event, sizeof(event));
    return sizeof(event);
  }
  int add(const std::string& path, uint32_t mask) override {
    const int watch = kernel_.add(path, mask);
    if (watch < 0 || known_.contains(watch)) return watch;
    if (watchesLeft_ == 0) {
      kernel_.remove(watch);
      errno = ENOSPC;
      return -1;
    }
    --watchesLeft_;
    known_.insert(watch);
    return watch;
  }
  void remove(int watch) override {
    ++removed_;
    kernel_.remove(watch);
  }

  bool overflow_ = false;
  int watchesLeft_ = 1000;
  int removed_ = 0;

 private:
  KernelInotify kernel_;
  std::set<int> known_;
};

// Goes through the caller's circle by hand; nothing waits for time to pass but the settling of
// directories' clocks, which is a condition that is asked for.
class WatcherTest : public ::testing::Test {
 protected:
  void SetUp() override { start(/*polled=*/false); }

  void start(bool polled) {
    auto inotify = std::make_unique<FaultyInotify>();
    inotify_ = inotify.get();
    watcher_ = std::make_unique<Watcher>(std::move(inotify));
    Root root;
    root.config.path = root.realPath = hub_.root();
    root.exists = true;
    root.polled = polled;
    watcher_->addRoot(root);
  }
  void scanRootAndWatch() {
    while (true) {
      const auto scan = scanRoot(hub_.root(), HubOrigin::huggingFace());
      ASSERT_TRUE(scan.ok());
      if (!watcher_->watchRoot(kRoot, *scan)) return;
    }
  }
  RepoScan scanAndWatch() {
    while (true) {
      auto scan = scanRepo(hub_.root(), repo_, {});
      EXPECT_TRUE(scan.ok()) << scan.status();
      if (!watcher_->watchRepo(kRoot, *scan)) return *std::move(scan);
    }
  }
  // Everything that was seen happening, in one list. The kernel queues events before the call that
  // causes them returns.
  std::vector<Dirty> seen() { return watcher_->read(); }
  Dirty theRepo() const { return {kRoot, repo_, false}; }
  Dirty theRoot() const { return {kRoot, std::nullopt, false}; }
  std::filesystem::path dir() const { return hub_.at(repo_); }

  HubFolder hub_;
  FaultyInotify* inotify_ = nullptr;
  std::unique_ptr<Watcher> watcher_;
  const RepoId repo_ = repoNamed("org/tiny");
  const Commit commit_ = commitOf('a');
};

// A folder of the flat layout, which is watched as a whole.
class WatchedFlatFolder : public ::testing::Test {
 protected:
  WatchedFlatFolder() {
    Root root;
    root.config.path = root.realPath = flat_.root();
    root.config.layout = Layout::kFlat;
    root.exists = true;
    watcher_.addRoot(root);
    name_ = flat_.file(url_, "{}");
    while (watcher_.watchRoot(kRoot, *scanFlat(flat_.root(), HubOrigin::huggingFace()))) continue;
    EXPECT_THAT(watcher_.read(), IsEmpty());
  }
  std::vector<Dirty> seen() { return watcher_.read(); }

  testing::FlatFolder flat_;
  Watcher watcher_;
  const std::string url_ = testing::flatUrl("org/m", "config.json");
  std::string name_;
  const Dirty theFolder_{kRoot, std::nullopt, false};
};

TEST_F(WatchedFlatFolder, ContentAndDescriptionsCountWhenTheyAreDone) {
  flat_.file(url_, "[]");
  EXPECT_THAT(seen(), ElementsAre(theFolder_));
  flat_.write(name_ + ".json", "{}");
  EXPECT_THAT(seen(), ElementsAre(theFolder_)) << "written in place";
  std::filesystem::remove(flat_ / name_);
  EXPECT_THAT(seen(), ElementsAre(theFolder_));
}

TEST_F(WatchedFlatFolder, WhatElseLiesThereDoesNotCount) {
  flat_.write("tmp1a2b3c", "half");
  flat_.write(name_ + ".lock", "");
  flat_.write(name_ + ".incomplete", "half");
  flat_.write("models--org--m/refs/main", "x");
  EXPECT_THAT(seen(), IsEmpty());
}

TEST_F(WatchedFlatFolder, ItsEndCounts) {
  std::filesystem::remove_all(flat_.root());
  EXPECT_THAT(seen(), Contains(Dirty{kRoot, std::nullopt, true}));
}

class WatchedRepo : public WatcherTest {
 protected:
  void SetUp() override {
    WatcherTest::SetUp();
    hub_.file(repo_, commit_, "config.json", "{}");
    hub_.file(repo_, commit_, "sub/extra.txt", "extra");
    hub_.ref(repo_, "main", commit_.hex());
    hub_.tree(repo_, commit_, {{"config.json", "{}"}});
    scanRootAndWatch();
    scanAndWatch();
    ASSERT_THAT(seen(), IsEmpty());
  }
};

TEST_F(WatchedRepo, ABlobThatIsRenamedIntoPlaceCounts) {
  hub_.blob(repo_, sha256Hex("weights"), "weights");
  EXPECT_THAT(seen(), ElementsAre(theRepo()));
}

TEST_F(WatchedRepo, TheDescriptorTellsThatEventsWait) {
  pollfd wait{watcher_->fd(), POLLIN, 0};
  EXPECT_EQ(::poll(&wait, 1, 0), 0);
  hub_.blob(repo_, sha256Hex("weights"), "weights");
  EXPECT_EQ(::poll(&wait, 1, 0), 1);
  seen();
  EXPECT_EQ(::poll(&wait, 1, 0), 0);
}

TEST_F(WatchedRepo, UnfinishedFilesDoNotCount) {
  const auto blobs = dir() / "blobs";
  for (const char* suffix : {".incomplete", ".part", ".lock", ".downloadInProgress",
                             ".1a2b3c4d.incomplete", ".roost-part"}) {
    HubFolder::write(blobs / (sha256Hex("weights") + suffix), "wei");
    std::filesystem::remove(blobs / (sha256Hex("weights") + suffix));
  }
  HubFolder::write(dir() / "refs" / "main.1a2b3c4d.tmp", "x");
  HubFolder::write(dir() / ".no_exist" / commit_.hex() / "x", "");
  HubFolder::write(hub_.root() / ".locks" / repo_.folder() / "x.lock", "");
  EXPECT_THAT(seen(), IsEmpty());
}

TEST_F(WatchedRepo, ALinkInASnapshotCounts) {
  hub_.show(repo_, commit_, "sub/again.txt", gitSha1Hex("{}"));
  EXPECT_THAT(seen(), ElementsAre(theRepo()));
}

TEST_F(WatchedRepo, ABlobThatIsALinkCounts) {
  HubFolder::link("../../blobs/cc/x", dir() / "blobs" / sha256Hex("weights"));
  EXPECT_THAT(seen(), ElementsAre(theRepo()));
}

TEST_F(WatchedRepo, ABlobThatIsHardLinkedCounts) {
  std::filesystem::create_hard_link(dir() / "blobs" / gitSha1Hex("{}"),
                                    dir() / "blobs" / sha256Hex("{}"));
  EXPECT_THAT(seen(), ElementsAre(theRepo()));
}

TEST_F(WatchedRepo, AFileThatIsWrittenInPlaceCountsWhenItIsClosed) {
  {
    std::ofstream file(dir() / "blobs" / sha256Hex("weights"));
    EXPECT_THAT(seen(), IsEmpty());
    file << "wei" << std::flush;
    EXPECT_THAT(seen(), IsEmpty());
  }
  EXPECT_THAT(seen(), ElementsAre(theRepo()));
}

TEST_F(WatchedRepo, ARefThatIsWrittenInPlaceCounts) {
  hub_.ref(repo_, "main", commitOf('b').hex());
  EXPECT_THAT(seen(), ElementsAre(theRepo()));
}

TEST_F(WatchedRepo, ARefInANewFolderCountsWheneverTheScanComes) {
  hub_.ref(repo_, "refs/pr/1", commitOf('b').hex());
  EXPECT_THAT(seen(), ElementsAre(theRepo()));
  scanAndWatch();
  hub_.ref(repo_, "refs/pr/1", commitOf('c').hex());
  EXPECT_THAT(seen(), ElementsAre(theRepo()));
}

TEST_F(WatchedRepo, ATreeCounts) {
  hub_.tree(repo_, commitOf('b'), {{"config.json", "{}"}});
  EXPECT_THAT(seen(), ElementsAre(theRepo()));
}

TEST_F(WatchedRepo, ADeletedBlobCounts) {
  std::filesystem::remove(dir() / "blobs" / gitSha1Hex("extra"));
  EXPECT_THAT(seen(), ElementsAre(theRepo()));
}

TEST_F(WatchedRepo, ARepoThatIsRemovedWholeIsSeenByTheRootToo) {
  std::filesystem::remove_all(dir());
  EXPECT_THAT(seen(), ::testing::UnorderedElementsAre(theRepo(), theRoot()));
  EXPECT_TRUE(absl::IsNotFound(scanRepo(hub_.root(), repo_, {}).status()));
  watcher_->forgetRepo(kRoot, repo_);
  EXPECT_THAT(seen(), IsEmpty());

  hub_.file(repo_, commit_, "config.json", "{}");
  EXPECT_THAT(seen(), ElementsAre(theRoot()));
  scanAndWatch();
  hub_.blob(repo_, sha256Hex("weights"), "weights");
  EXPECT_THAT(seen(), ElementsAre(theRepo()));
}

TEST_F(WatchedRepo, AFolderThatIsReplacedIsWatchedInItsNewPlace) {
  std::filesystem::rename(dir() / "blobs", dir() / "blobs.old");
  std::filesystem::create_directory(dir() / "blobs");
  EXPECT_THAT(seen(), Contains(theRepo()));
  scanAndWatch();
  seen();
  hub_.blob(repo_, sha256Hex("weights"), "weights");
  EXPECT_THAT(seen(), ElementsAre(theRepo()));
  HubFolder::land(dir() / "blobs.old" / sha256Hex("x"), "x");
  EXPECT_THAT(seen(), IsEmpty());
}

TEST_F(WatchedRepo, AnOverflowMeansEverything) {
  inotify_->overflow_ = true;
  EXPECT_THAT(seen(), ElementsAre(Dirty{kRoot, std::nullopt, true}));
}

TEST_F(WatchedRepo, ForgettingARepoGivesItsWatchesBack) {
  watcher_->forgetRepo(kRoot, repo_);
  EXPECT_EQ(inotify_->removed_, 7);  // repo, blobs, snapshots, commit, sub, refs, trees
  hub_.blob(repo_, sha256Hex("weights"), "weights");
  EXPECT_THAT(seen(), IsEmpty());
}

TEST_F(WatchedRepo, TheRootItselfMovingAwayIsNoticedAndPolledFor) {
  const auto away = hub_.outside() / "away";
  std::filesystem::rename(hub_.root(), away);
  EXPECT_THAT(seen(), Contains(Dirty{kRoot, std::nullopt, true}));
  watcher_->forgetRoot(kRoot);
  EXPECT_THAT(pollFolders(watcher_->pollTargets(absl::Now())).dirty, IsEmpty());
  std::filesystem::rename(away, hub_.root());
  EXPECT_THAT(pollFolders(watcher_->pollTargets(absl::Now())).dirty, ElementsAre(theRoot()));
  scanRootAndWatch();
  EXPECT_EQ(watcher_->nextPoll(), absl::InfiniteFuture());
}

// ---- Nothing is lost between a scan and its watch

// pip writes the headers of an entry first, and a large body when it has read all of it.
TEST_F(WatcherTest, AnEntryOfPipsCacheCountsWithEachOfItsFilesAndNotBefore) {
  const std::filesystem::path folder = std::filesystem::path(hub_.root()) / "http-v2/0/9/b/a/8";
  std::filesystem::create_directories(folder);
  const auto repo = RepoId::make(HubOrigin::huggingFace(), RepoType::kModel, kPipHttpFolder);
  PipCacheReader reader;
  while (watcher_->watchRepo(kRoot, *reader.scan(hub_.root(), *repo))) {
  }
  const Dirty entry{kRoot, *repo, false};
  for (const char* name : {"09ba82d1", "09ba82d1.body"}) {
    const std::filesystem::path file = folder / name, temporary = folder / "09ba82d1x7.tmp";
    std::ofstream(temporary) << "content";
    EXPECT_THAT(seen(), IsEmpty());
    std::filesystem::rename(temporary, file);
    EXPECT_THAT(seen(), ElementsAre(entry)) << name;
  }
}

TEST_F(WatcherTest, ANewRepoIsSeenByTheRoot) {
  scanRootAndWatch();
  hub_.file(repo_, commit_, "config.json", "{}");
  EXPECT_THAT(seen(), ElementsAre(theRoot()));
  std::filesystem::create_directory(hub_.root() / ".locks");
  EXPECT_THAT(seen(), IsEmpty());
}

TEST_F(WatcherTest, WhatLandsBetweenScanAndWatchMakesTheWatchAskForAnotherScan) {
  hub_.file(repo_, commit_, "config.json", "{}");
  scanRootAndWatch();
  while (true) {
    const auto scan = scanRepo(hub_.root(), repo_, {});
    const bool settled =
        std::all_of(scan->directories.begin(), scan->directories.end(),
                    [](const ScannedDirectory& directory) { return directory.mark.settled; });
    if (!settled) continue;
    hub_.blob(repo_, sha256Hex("weights"), "weights");
    EXPECT_TRUE(watcher_->watchRepo(kRoot, *scan));
    break;
  }
  EXPECT_THAT(scanAndWatch().copies, SizeIs(2));
}

TEST_F(WatcherTest, AFolderThatChangedJustNowIsNotBelievedUnchanged) {
  hub_.file(repo_, commit_, "config.json", "{}");
  auto scan = scanRepo(hub_.root(), repo_, {});
  for (ScannedDirectory& directory : scan->directories) directory.mark.settled = false;
  EXPECT_TRUE(watcher_->watchRepo(kRoot, *scan));
}

TEST_F(WatcherTest, AFolderThatWentBetweenScanAndWatchAsksForAnotherScan) {
  hub_.file(repo_, commit_, "config.json", "{}");
  const auto scan = scanRepo(hub_.root(), repo_, {});
  std::filesystem::remove_all(dir() / "snapshots");
  EXPECT_TRUE(watcher_->watchRepo(kRoot, *scan));
}

// Writers go on while the circle runs; whatever the interleaving, the last scan shows all.
TEST_F(WatcherTest, NoBlobIsLostWhileARepoIsBeingFilled) {
  scanRootAndWatch();
  std::set<std::string> written;
  std::set<std::string> found;
  bool repoDirty = false;
  for (int i = 0; i < 300; ++i) {
    const std::string content = std::to_string(i);
    const Commit commit = commitOf("0123456789abcdef"[i % 16]);
    hub_.file(repo_, commit, absl::StrCat("d", i % 7, "/f", i), content);
    written.insert("blobs/" + gitSha1Hex(content));
    repoDirty |= !seen().empty();
    if (!repoDirty || i % 3 != 0) continue;
    repoDirty = false;
    const auto scan = scanRepo(hub_.root(), repo_, {});
    ASSERT_TRUE(scan.ok());
    repoDirty |= watcher_->watchRepo(kRoot, *scan);
  }
  while (repoDirty || !seen().empty()) {
    const auto scan = scanRepo(hub_.root(), repo_, {});
    found.clear();
    for (const ScannedCopy& copy : scan->copies) found.insert(copy.place);
    repoDirty = watcher_->watchRepo(kRoot, *scan);
  }
  EXPECT_EQ(found, written);
}

TEST_F(WatcherTest, PayloadOfTheSharedStoreIsWatchedForEachRepoThatUsesIt) {
  const std::string xet(64, 'c');
  const RepoId other = repoNamed("org/other");
  HubFolder::write(hub_.root() / "blobs" / "cc" / xet, "weights");
  for (const RepoId& repo : {repo_, other}) {
    HubFolder::link("../../blobs/cc/" + xet, hub_.at(repo) / "blobs" / sha256Hex("weights"));
  }
  scanRootAndWatch();
  scanAndWatch();
  while (watcher_->watchRepo(kRoot, *scanRepo(hub_.root(), other, {}))) continue;
  seen();
  std::filesystem::remove(hub_.root() / "blobs" / "cc" / xet);
  EXPECT_THAT(seen(), ::testing::UnorderedElementsAre(theRepo(), Dirty{kRoot, other, false}));
}

// ---- Polling

TEST_F(WatcherTest, WithoutWatchesFoldersArePolledAndItIsToldSo) {
  hub_.file(repo_, commit_, "config.json", "{}");
  inotify_->watchesLeft_ = 3;
  scanRootAndWatch();
  scanAndWatch();
  EXPECT_THAT(watcher_->problems(), ElementsAre(HasSubstr("max_user_watches")));
  EXPECT_LE(watcher_->nextPoll(), absl::Now());
  EXPECT_FALSE(watcher_->pollTargets(absl::Now()).empty());
  const auto unsettled = [&] { return pollFolders(watcher_->pollTargets(absl::Now())).dirty; };
  while (!unsettled().empty()) scanAndWatch();
  hub_.file(repo_, commitOf('b'), "config.json", "{}");
  EXPECT_THAT(unsettled(), Contains(theRepo()));
}

class PolledTest : public WatcherTest {
 protected:
  void SetUp() override {
    start(/*polled=*/true);
    hub_.file(repo_, commit_, "config.json", "{}");
    hub_.ref(repo_, "main", commit_.hex());
    scan();
  }
  // As on a network file system.
  void scan() {
    do {
      auto root = scanRoot(hub_.root(), HubOrigin::huggingFace());
      root->kind = FileSystemKind::kShared;
      EXPECT_FALSE(watcher_->watchRoot(kRoot, *root));
      EXPECT_FALSE(watcher_->watchRepo(kRoot, *scanRepo(hub_.root(), repo_, {})));
    } while (!poll().empty());
  }
  std::vector<Dirty> poll() {
    now_ += absl::Minutes(1);  // each is due
    return watcher_->polled(pollFolders(watcher_->pollTargets(now_)), now_, now_);
  }

 private:
  absl::Time now_ = absl::Now();
};

TEST_F(PolledTest, NoWatchIsTaken) {
  EXPECT_EQ(inotify_->watchesLeft_, 1000);
  EXPECT_THAT(poll(), IsEmpty());
}

TEST_F(PolledTest, ANewBlobIsFound) {
  hub_.blob(repo_, sha256Hex("weights"), "weights");
  EXPECT_THAT(poll(), ElementsAre(theRepo()));
  scan();
  EXPECT_THAT(poll(), IsEmpty());
}

TEST_F(PolledTest, ARefThatIsWrittenInPlaceIsFound) {
  hub_.ref(repo_, "main", commitOf('b').hex());
  EXPECT_THAT(poll(), ElementsAre(theRepo()));
}

TEST_F(PolledTest, ANewRepoIsFound) {
  hub_.blob(repoNamed("org/other"), sha256Hex("weights"), "weights");
  EXPECT_THAT(poll(), ElementsAre(theRoot()));
}

TEST_F(PolledTest, ARepoThatIsGoneIsFound) {
  std::filesystem::remove_all(dir());
  EXPECT_THAT(poll(), ::testing::UnorderedElementsAre(theRepo(), theRoot()));
  watcher_->forgetRepo(kRoot, repo_);
}

TEST_F(PolledTest, ASlowFileSystemIsPolledLessOften) {
  const absl::Time now = watcher_->nextPoll() + absl::Hours(1);
  watcher_->polled({{}, absl::Milliseconds(1)}, now, now);
  EXPECT_EQ(watcher_->nextPoll(), now + absl::Seconds(3));
  const absl::Time later = now + absl::Seconds(3);
  watcher_->polled({{}, absl::Seconds(1)}, later, later);
  EXPECT_EQ(watcher_->nextPoll(), later + absl::Seconds(20));
}

TEST_F(PolledTest, ARootThatIsNotThereYetIsLookedForOftenAndTheOthersAreNot) {
  const absl::Time now = watcher_->nextPoll() + absl::Hours(1);
  Root missing;
  missing.realPath = hub_.outside() / "later";
  missing.exists = false;
  watcher_->addRoot(missing);
  watcher_->polled({{}, absl::Milliseconds(1)}, now, now);
  EXPECT_EQ(watcher_->nextPoll(), now + absl::Milliseconds(250));

  const absl::Time soon = now + absl::Milliseconds(250);
  const std::vector<PollTarget> due = watcher_->pollTargets(soon);
  ASSERT_EQ(due.size(), 1u);
  EXPECT_EQ(due.front().path, missing.realPath);
  watcher_->polled({{}, absl::Milliseconds(1)}, soon, soon);
  EXPECT_GT(watcher_->pollTargets(now + absl::Seconds(3)).size(), 1u) << "the rest is due in time";
}

}  // namespace
}  // namespace roost
