#include "cache/hub_publisher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "absl/time/clock.h"
#include "cache/blob_writer.h"
#include "cache/hub_layout.h"
#include "protocol/limits.h"
#include "tests/cache/temp_folder.h"

namespace roost {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

const NodeId kNode = NodeId::ofNumber(42);

RelativePath pathOf(const std::string& text) {
  return *RelativePath::parse(text);
}
Commit commitOf(char digit) {
  return *Commit::parse(std::string(40, digit));
}
RefName refOf(const std::string& text) {
  return *RefName::parse(text);
}

std::vector<std::string> namesIn(const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.push_back(entry.path().filename());
  return names;
}

class HubPublisherTest : public ::testing::Test {
 protected:
  HubPublisherTest() { fs::create_directory(hub()); }

  std::string hub() const { return folder_ / "hub"; }
  std::string repoFolder() const { return hub() + "/models--org--tiny"; }
  std::string snapshot(char commit = 'a') const {
    return repoFolder() + "/snapshots/" + std::string(40, commit);
  }
  std::string ref(const std::string& name) const { return repoFolder() + "/refs/" + name; }

  // A file of the repo whose blob is in blobs/ already.
  FileEntry put(const std::string& path, const std::vector<uint8_t>& content,
                HashAlgorithm algorithm = HashAlgorithm::kGitSha1) {
    const BlobInfo blob = infoOf(content, algorithm);
    const BlobSlot slot = *publisher_.blobSlot(repo_, blob);
    if (!fs::exists(slot.path())) {
      auto writer = *BlobWriter::open(slot, {.node = kNode, .journalFolder = ""}, reservations_);
      for (uint64_t piece = 0; piece < pieceCount(blob.size); ++piece) {
        EXPECT_TRUE(writer
                        ->write(piece, absl::MakeConstSpan(content).subspan(
                                           piece * kPieceBytes, pieceBytes(blob.size, piece)))
                        .ok());
      }
      EXPECT_TRUE(writer->finish().ok());
      EXPECT_TRUE(writer->publish().ok());
    }
    return {pathOf(path), blob, std::nullopt};
  }

  TempFolder folder_;
  RepoId repo_ = *RepoId::make(HubOrigin::huggingFace(), RepoType::kModel, "org/tiny");
  std::shared_ptr<Reservations> reservations_ = Reservations::create(0);
  HubPublisher publisher_ = [this] {
    fs::create_directories(hub());
    return *HubPublisher::open(hub(), kNode, reservations_);
  }();
};

// ---- Snapshots

TEST_F(HubPublisherTest, ShowsBlobsByRelativeLinks) {
  const auto config = randomBytes(100, 1), extra = randomBytes(50, 2);
  const std::vector<FileEntry> files = {put("config.json", config),
                                        put("sub/deep/extra.txt", extra)};
  const auto shown = publisher_.publishFiles(repo_, commitOf('a'), files);
  ASSERT_TRUE(shown.ok()) << shown.status();
  EXPECT_EQ(shown->made, 2u);
  EXPECT_EQ(fs::read_symlink(snapshot() + "/config.json"), "../../blobs/" + files[0].blob.id.hex());
  EXPECT_EQ(fs::read_symlink(snapshot() + "/sub/deep/extra.txt"),
            "../../../../blobs/" + files[1].blob.id.hex());
  EXPECT_EQ(contentOf(snapshot() + "/sub/deep/extra.txt"), textOf(extra));
  EXPECT_THAT(namesIn(hub()), ElementsAre("models--org--tiny"));
  EXPECT_THAT(namesIn(repoFolder()), UnorderedElementsAre("blobs", "refs", "snapshots"));

  EXPECT_EQ(publisher_.publishFiles(repo_, commitOf('a'), files)->alreadyThere, 2u);
}

// ---- What no hub named

MadeEtag etagOf(char digit) {
  return *MadeEtag::parseHex(std::string(32, digit));
}

TEST_F(HubPublisherTest, WhatWasObservedGoesByItsEtagAndIsFoundAgainWithTheMark) {
  FileEntry file = put("sub/weights", randomBytes(100, 1), HashAlgorithm::kSha256);
  file.observedAs = etagOf('e');
  for (const uint64_t made : {1u, 0u}) {
    const auto shown = publisher_.publishFiles(repo_, commitOf('a'), {file});
    ASSERT_TRUE(shown.ok()) << shown.status();
    EXPECT_EQ(shown->made, made);
  }
  EXPECT_EQ(fs::read_symlink(snapshot() + "/sub/weights"),
            "../../../blobs/" + std::string(32, 'e'));
  EXPECT_EQ(fs::read_symlink(repoFolder() + "/blobs/" + std::string(32, 'e')), file.blob.id.hex());

  const auto scan = scanRepo(hub(), repo_, {});
  ASSERT_TRUE(scan.ok()) << scan.status();
  ASSERT_EQ(scan->snapshots.size(), 1u);
  ASSERT_EQ(scan->snapshots[0].files.size(), 1u);
  EXPECT_EQ(scan->snapshots[0].files[0].observedAs, file.observedAs);
  EXPECT_EQ(scan->copies[scan->snapshots[0].files[0].copy].name, file.blob.id);
}

TEST_F(HubPublisherTest, ANewerObservationTakesThePlaceOfAnOlder) {
  FileEntry file = put("weights", randomBytes(100, 1), HashAlgorithm::kSha256);
  file.observedAs = etagOf('1');
  ASSERT_TRUE(publisher_.publishFiles(repo_, commitOf('a'), {file}).ok());
  file = put("weights", randomBytes(100, 2), HashAlgorithm::kSha256);
  file.observedAs = etagOf('2');
  const auto shown = publisher_.publishFiles(repo_, commitOf('a'), {file});
  ASSERT_TRUE(shown.ok()) << shown.status();
  EXPECT_EQ(fs::canonical(snapshot() + "/weights").filename(), file.blob.id.hex());
  EXPECT_EQ(fs::read_symlink(snapshot() + "/weights").filename(), std::string(32, '2'));
}

TEST_F(HubPublisherTest, OneEtagLeadsToOneContent) {
  FileEntry first = put("a", randomBytes(100, 1), HashAlgorithm::kSha256);
  FileEntry second = put("b", randomBytes(100, 2), HashAlgorithm::kSha256);
  first.observedAs = second.observedAs = etagOf('e');
  ASSERT_TRUE(publisher_.publishFiles(repo_, commitOf('a'), {first}).ok());
  EXPECT_TRUE(
      absl::IsFailedPrecondition(publisher_.publishFiles(repo_, commitOf('a'), {second}).status()));
  EXPECT_EQ(fs::canonical(snapshot() + "/a").filename(), first.blob.id.hex());
  EXPECT_FALSE(fs::exists(fs::symlink_status(snapshot() + "/b")));

  fs::remove(repoFolder() + "/blobs/" + first.blob.id.hex());  // by somebody who makes room
  EXPECT_TRUE(publisher_.publishFiles(repo_, commitOf('a'), {second}).ok());
}

TEST_F(HubPublisherTest, WhatAHubNamedIsNotShownOtherwise) {
  const FileEntry named = put("weights", randomBytes(100, 1), HashAlgorithm::kSha256);
  FileEntry observed = put("weights", randomBytes(100, 2), HashAlgorithm::kSha256);
  observed.observedAs = etagOf('e');
  for (const FileEntry& file : {observed, named, observed}) {
    ASSERT_TRUE(publisher_.publishFiles(repo_, commitOf('a'), {file}).ok());
  }
  EXPECT_EQ(fs::read_symlink(snapshot() + "/weights"), "../../blobs/" + named.blob.id.hex());
}

TEST_F(HubPublisherTest, AClientsOwnFileOfThatNameStays) {
  FileEntry file = put("weights", randomBytes(100, 1), HashAlgorithm::kSha256);
  file.observedAs = etagOf('e');
  const std::string own = repoFolder() + "/blobs/" + std::string(32, 'e');
  std::ofstream(own) << "a client's";
  ASSERT_TRUE(publisher_.publishFiles(repo_, commitOf('a'), {file}).ok());
  EXPECT_EQ(contentOf(own), "a client's");
  EXPECT_THAT(scanRepo(hub(), repo_, {})->snapshots[0].files, IsEmpty());
}

TEST_F(HubPublisherTest, WhatWasObservedIsInNoTree) {
  FileEntry file = put("config.json", randomBytes(100, 1));
  file.observedAs = etagOf('e');
  const Listing manifest{repo_, commitOf('a'), true, Visibility::kUnknown, {file}};
  EXPECT_EQ(*publisher_.publishTree(manifest), TreeOutcome::kSkipped);
}

TEST_F(HubPublisherTest, DoesNotShowABlobThatIsNotThere) {
  FileEntry file = put("config.json", randomBytes(100, 1));
  fs::resize_file(repoFolder() + "/blobs/" + file.blob.id.hex(), 99);
  EXPECT_TRUE(absl::IsNotFound(publisher_.publishFiles(repo_, commitOf('a'), {file}).status()));
  fs::remove(repoFolder() + "/blobs/" + file.blob.id.hex());
  EXPECT_TRUE(absl::IsNotFound(publisher_.publishFiles(repo_, commitOf('a'), {file}).status()));
  EXPECT_FALSE(fs::exists(fs::symlink_status(snapshot() + "/config.json")));
}

TEST_F(HubPublisherTest, LeavesWhatElseHasTheNameAndSaysSo) {
  const FileEntry file = put("config.json", randomBytes(100, 1));
  const FileEntry other = put("other.json", randomBytes(100, 2));
  fs::create_directories(snapshot());
  fs::create_symlink("../../blobs/" + other.blob.id.hex(), snapshot() + "/config.json");
  const auto shown = publisher_.publishFiles(repo_, commitOf('a'), {file});
  ASSERT_TRUE(shown.ok());
  EXPECT_THAT(shown->conflicts, ElementsAre(file.path));
  EXPECT_EQ(fs::read_symlink(snapshot() + "/config.json"), "../../blobs/" + other.blob.id.hex());
}

TEST_F(HubPublisherTest, MendsALinkThatLeadsNowhere) {
  const FileEntry file = put("config.json", randomBytes(100, 1));
  fs::create_directories(snapshot());
  fs::create_symlink("../../blobs/gone", snapshot() + "/config.json");
  EXPECT_EQ(publisher_.publishFiles(repo_, commitOf('a'), {file})->made, 1u);
  EXPECT_EQ(contentOf(snapshot() + "/config.json"), textOf(randomBytes(100, 1)));
}

TEST_F(HubPublisherTest, AcceptsABlobInTheClientsSharedStore) {
  const auto content = randomBytes(100, 1);
  FileEntry file = put("weights", content, HashAlgorithm::kSha256);
  const std::string blob = repoFolder() + "/blobs/" + file.blob.id.hex();
  fs::create_directories(hub() + "/blobs/ab");
  fs::rename(blob, hub() + "/blobs/ab/abcd");
  fs::create_symlink("../../blobs/ab/abcd", blob);
  EXPECT_EQ(publisher_.publishFiles(repo_, commitOf('a'), {file})->made, 1u);
  EXPECT_EQ(contentOf(snapshot() + "/weights"), textOf(content));
}

TEST_F(HubPublisherTest, ACacheWithoutSymlinksGetsTheFilesThemselves) {
  // What a client with HF_HUB_DISABLE_SYMLINKS left.
  fs::create_directories(snapshot('b'));
  folder_.write("hub/models--org--tiny/snapshots/" + std::string(40, 'b') + "/old.txt", "old");
  const auto content = randomBytes(kPieceBytes + 5, 1);
  const std::vector<FileEntry> files = {put("a.bin", content), put("sub/b.bin", content)};
  const auto shown = publisher_.publishFiles(repo_, commitOf('a'), files);
  ASSERT_TRUE(shown.ok()) << shown.status();
  EXPECT_EQ(shown->made, 2u);
  for (const char* name : {"/a.bin", "/sub/b.bin"}) {
    EXPECT_TRUE(fs::is_regular_file(fs::symlink_status(snapshot() + name)));
    EXPECT_EQ(contentOf(snapshot() + name), textOf(content));
  }
  EXPECT_THAT(namesIn(repoFolder() + "/blobs"), IsEmpty());
  EXPECT_EQ(publisher_.publishFiles(repo_, commitOf('a'), files)->alreadyThere, 2u);
}

// ---- Hostile folders

class HostileLinks : public HubPublisherTest, public ::testing::WithParamInterface<std::string> {};

TEST_P(HostileLinks, LeadNowhere) {
  const FileEntry file = put("sub/config.json", randomBytes(100, 1));
  const TempFolder victim;
  const std::string place = hub() + "/" + GetParam();
  fs::remove_all(place);
  fs::create_directories(fs::path(place).parent_path());
  fs::create_directory_symlink(victim.path(), place);

  if (const auto slot = publisher_.blobSlot(repo_, file.blob); slot.ok()) {
    const auto writer =
        BlobWriter::open(*slot, {.node = kNode, .journalFolder = ""}, reservations_);
    if (writer.ok() && (*writer)->write(0, randomBytes(100, 1)).ok() && (*writer)->finish().ok()) {
      (void)(*writer)->publish();
    }
  }
  (void)publisher_.publishFiles(repo_, commitOf('a'), {file});
  (void)publisher_.publishTree({repo_, commitOf('a'), true, Visibility::kPublic, {file}});
  (void)publisher_.publishRef(repo_, {refOf("pr/1"), commitOf('a'), absl::Now()});
  EXPECT_TRUE(fs::is_empty(victim.path()));
  EXPECT_TRUE(fs::is_symlink(place));
}

INSTANTIATE_TEST_SUITE_P(Everywhere, HostileLinks,
                         ::testing::Values("models--org--tiny", "models--org--tiny/blobs",
                                           "models--org--tiny/refs", "models--org--tiny/refs/pr",
                                           "models--org--tiny/snapshots",
                                           "models--org--tiny/snapshots/" + std::string(40, 'a'),
                                           "models--org--tiny/snapshots/" + std::string(40, 'a') +
                                               "/sub",
                                           "models--org--tiny/trees"));

TEST_F(HubPublisherTest, TheRootItselfMayBeALink) {
  fs::create_directory_symlink(hub(), folder_ / "link");
  const auto publisher = HubPublisher::open(folder_ / "link", kNode, reservations_);
  ASSERT_TRUE(publisher.ok());
  EXPECT_TRUE(publisher->blobSlot(repo_, infoOf(randomBytes(1, 1))).ok());
}

// ---- Trees

TEST_F(HubPublisherTest, WritesTheTreeOfACompleteManifest) {
  FileEntry small = put("config.json", randomBytes(176, 1));
  FileEntry large = put("model.safetensors", randomBytes(4000, 2), HashAlgorithm::kSha256);
  large.pointer = GitSha1{0xab, 0xcd};
  const Listing manifest{repo_, commitOf('a'), true, Visibility::kPublic, {small, large}};
  ASSERT_EQ(*publisher_.publishTree(manifest), TreeOutcome::kWritten);

  const std::string path = repoFolder() + "/trees/" + std::string(40, 'a') + ".json";
  const std::string pointer = "abcd" + std::string(36, '0');
  EXPECT_EQ(contentOf(path),
            "{\"format_version\":1,\"files\":{\"config.json\":{\"size\":176,"
            "\"blob_id\":\"" +
                small.blob.id.hex() + "\"},\"model.safetensors\":{\"size\":4000,\"blob_id\":\"" +
                pointer + "\",\"lfs_sha256\":\"" + large.blob.id.hex() + "\",\"lfs_size\":4000}}}");
  EXPECT_EQ(*publisher_.publishTree(manifest), TreeOutcome::kUnchanged);
  EXPECT_THAT(namesIn(repoFolder() + "/trees"), ElementsAre(std::string(40, 'a') + ".json"));
}

TEST_F(HubPublisherTest, NeverWritesATreeInPart) {
  const FileEntry small = put("config.json", randomBytes(176, 1));
  const FileEntry large = put("weights", randomBytes(4000, 2), HashAlgorithm::kSha256);
  EXPECT_EQ(*publisher_.publishTree({repo_, commitOf('a'), false, Visibility::kPublic, {small}}),
            TreeOutcome::kSkipped);
  EXPECT_EQ(
      *publisher_.publishTree({repo_, commitOf('a'), true, Visibility::kPublic, {small, large}}),
      TreeOutcome::kSkipped);
  EXPECT_FALSE(fs::exists(repoFolder() + "/trees"));
}

// ---- Refs

class RefTest : public HubPublisherTest {
 protected:
  RefTest() {
    for (const char commit : {'a', 'b'}) {
      EXPECT_TRUE(
          publisher_.publishFiles(repo_, commitOf(commit), {put("file", randomBytes(1, 1))}).ok());
    }
  }
  RefOutcome publish(char commit, std::optional<absl::Time> hubTime,
                     const std::string& name = "main") {
    const auto outcome = publisher_.publishRef(repo_, {refOf(name), commitOf(commit), hubTime});
    EXPECT_TRUE(outcome.ok()) << outcome.status();
    return *outcome;
  }
  void clientWrites(const std::string& text) {
    folder_.write("hub/models--org--tiny/refs/main", text);
  }
  const absl::Time now_ = absl::Now();
};

TEST_F(RefTest, IsExactlyFortyBytes) {
  EXPECT_EQ(publish('a', now_), RefOutcome::kWritten);
  EXPECT_EQ(contentOf(ref("main")), std::string(40, 'a'));
}

TEST_F(RefTest, MayBeNested) {
  EXPECT_EQ(publish('a', now_, "refs/pr/1"), RefOutcome::kWritten);
  EXPECT_EQ(contentOf(ref("refs/pr/1")), std::string(40, 'a'));
}

TEST_F(RefTest, TheNewestWordOfTheHubWins) {
  EXPECT_EQ(publish('a', now_ - absl::Hours(2)), RefOutcome::kWritten);
  EXPECT_EQ(publish('b', now_ - absl::Hours(1)), RefOutcome::kWritten);
  EXPECT_EQ(publish('a', now_ - absl::Hours(2)), RefOutcome::kLeftAlone);
  EXPECT_EQ(publish('a', now_ - absl::Hours(1)), RefOutcome::kLeftAlone) << "a tie";
  EXPECT_EQ(contentOf(ref("main")), std::string(40, 'b'));
}

TEST_F(RefTest, AWordThatNobodyHeardFromTheHubOnlyFillsAGap) {
  EXPECT_EQ(publish('a', std::nullopt), RefOutcome::kWritten);
  EXPECT_EQ(publish('b', now_ - absl::Hours(1)), RefOutcome::kWritten);
  EXPECT_EQ(publish('a', std::nullopt), RefOutcome::kLeftAlone);
}

TEST_F(RefTest, OfWordsThatNobodyHeardFromTheHubTheLastOrderCounts) {
  EXPECT_EQ(publish('a', std::nullopt), RefOutcome::kWritten);
  EXPECT_EQ(publish('b', std::nullopt), RefOutcome::kWritten);
  EXPECT_EQ(contentOf(ref("main")), std::string(40, 'b'));
}

TEST_F(RefTest, AClientsRefIsAsNewAsItsFile) {
  clientWrites(std::string(40, 'a'));
  EXPECT_EQ(publish('b', now_ - absl::Hours(1)), RefOutcome::kLeftAlone);
  fs::last_write_time(ref("main"), fs::file_time_type::clock::now() - std::chrono::hours(3));
  EXPECT_EQ(publish('b', now_ - absl::Hours(1)), RefOutcome::kWritten);
}

TEST_F(RefTest, AnUnchangedRefRemembersTheNewerWord) {
  EXPECT_EQ(publish('a', now_ - absl::Hours(3)), RefOutcome::kWritten);
  EXPECT_EQ(publish('a', now_ - absl::Hours(1)), RefOutcome::kUnchanged);
  EXPECT_EQ(publish('b', now_ - absl::Hours(2)), RefOutcome::kLeftAlone);
}

TEST_F(RefTest, AWordFromTheFutureIsNotBelieved) {
  EXPECT_EQ(publish('a', now_ - absl::Hours(1)), RefOutcome::kWritten);
  EXPECT_EQ(publish('b', now_ + absl::Hours(1)), RefOutcome::kLeftAlone);
}

TEST_F(RefTest, IsNotWrittenBeforeItsSnapshot) {
  EXPECT_TRUE(absl::IsNotFound(
      publisher_.publishRef(repo_, {refOf("main"), commitOf('c'), now_}).status()));
  EXPECT_FALSE(fs::exists(ref("main")));
}

TEST_F(RefTest, LeavesNoTemporaryAmongTheRefs) {
  // Killed at any moment: refs/ has nothing but whole refs.
  for (int i = 0; i < 40; ++i) {
    const pid_t child = ::fork();
    if (child == 0) {
      for (int n = 0;; ++n) {
        (void)publisher_.publishRef(repo_, {refOf("main"), commitOf(n % 2 ? 'a' : 'b'),
                                            now_ - absl::Hours(i + 1) + absl::Microseconds(n)});
      }
    }
    ::usleep(static_cast<useconds_t>(300 + 100 * i));
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    const auto names = namesIn(repoFolder() + "/refs");
    if (names.empty()) continue;
    ASSERT_THAT(names, ElementsAre("main"));
    ASSERT_EQ(contentOf(ref("main")).size(), 40u);
    fs::remove(ref("main"));
  }
}

// ---- Links between folders of this node

class LinkTest : public HubPublisherTest {
 protected:
  LinkSource sourceAt(const std::string& path, bool inHubBlobs = true) {
    return {path, *FileStamp::ofPath(path), inHubBlobs};
  }
  std::string target() const { return repoFolder() + "/blobs/" + blob_.id.hex(); }

  std::vector<uint8_t> content_ = randomBytes(2 * kPieceBytes + 3, 1);
  BlobInfo blob_ = infoOf(content_);
  std::string source_ = folder_.write("other/models--x/blobs/" + blob_.id.hex(), textOf(content_));
};

TEST_F(LinkTest, BlobsOfTwoHubCachesShareTheirBytes) {
  const auto linked = publisher_.linkFrom(repo_, blob_, sourceAt(source_));
  ASSERT_TRUE(linked.ok()) << linked.status();
  EXPECT_EQ(linked->outcome, LinkOutcome::kHardLink);
  EXPECT_TRUE(fs::equivalent(source_, target()));
  EXPECT_EQ(linked->stamp, *FileStamp::ofPath(target()));
  EXPECT_EQ(publisher_.linkFrom(repo_, blob_, sourceAt(source_))->outcome,
            LinkOutcome::kAlreadyThere);
}

TEST_F(LinkTest, AFileOfAnotherLayoutIsNeverHardLinked) {
  const auto linked = publisher_.linkFrom(repo_, blob_, sourceAt(source_, false));
  ASSERT_TRUE(linked.ok()) << linked.status();
  EXPECT_FALSE(fs::equivalent(source_, target()));
  EXPECT_EQ(contentOf(target()), textOf(content_));
}

TEST_F(LinkTest, TheClientsSharedStoreIsCopiedFrom) {
  fs::create_directories(folder_ / "store");
  fs::rename(source_, folder_ / "store/payload");
  fs::create_symlink(folder_ / "store/payload", source_);
  ASSERT_TRUE(publisher_.linkFrom(repo_, blob_, sourceAt(source_)).ok());
  EXPECT_FALSE(fs::equivalent(folder_ / "store/payload", target()));
  EXPECT_EQ(contentOf(target()), textOf(content_));
}

TEST_F(LinkTest, ASourceThatChangedIsRefused) {
  LinkSource source = sourceAt(source_);
  std::fstream(source_, std::ios::in | std::ios::out).put('!');
  EXPECT_TRUE(absl::IsAborted(publisher_.linkFrom(repo_, blob_, source).status()));
  EXPECT_FALSE(fs::exists(target()));
}

TEST_F(LinkTest, ARottenSourceIsNotCopied) {
  std::fstream(source_, std::ios::in | std::ios::out).put('!');
  // On a file system with reflinks the clone would share the rot; a copy sees it.
  const auto copied = publisher_.linkFrom(repo_, blob_, sourceAt(source_, false));
  if (copied.ok() && copied->outcome == LinkOutcome::kReflink) GTEST_SKIP() << "reflinks here";
  EXPECT_TRUE(absl::IsDataLoss(copied.status())) << copied.status();
  EXPECT_FALSE(fs::exists(target()));
  EXPECT_THAT(namesIn(repoFolder() + "/blobs"), IsEmpty());
}

TEST_F(LinkTest, AnotherFileSystemGetsACopy) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to mount a second file system";
  const std::string mounted = folder_ / "mounted";
  fs::create_directory(mounted);
  if (::mount("tmpfs", mounted.c_str(), "tmpfs", 0, "size=16m") != 0) {
    GTEST_SKIP() << "mount of a tmpfs is not allowed here";
  }
  {
    const auto elsewhere = *HubPublisher::open(mounted, kNode, reservations_);
    const auto linked = elsewhere.linkFrom(repo_, blob_, sourceAt(source_));
    ASSERT_TRUE(linked.ok()) << linked.status();
    EXPECT_EQ(linked->outcome, LinkOutcome::kCopy);
  }
  EXPECT_EQ(::umount(mounted.c_str()), 0);
}

}  // namespace
}  // namespace roost
