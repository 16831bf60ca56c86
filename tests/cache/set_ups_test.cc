// Whose files: the personal, shared and node-wide set-ups, with real uids. As root each test plays
// its users in child processes; otherwise it is skipped.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <functional>

#include "absl/time/clock.h"
#include "cache/blob_writer.h"
#include "cache/client_lock.h"
#include "cache/disk_space.h"
#include "cache/hub_publisher.h"
#include "protocol/limits.h"
#include "tests/cache/temp_folder.h"

namespace roost {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

constexpr uid_t kAgent = 61001, kUser = 61002;
constexpr gid_t kAgentGroup = 61001, kUserGroup = 61002, kSharedGroup = 61010;

// Runs `as` in a child with these ids and umask; false if it returned false or crashed.
bool runAs(uid_t uid, gid_t gid, mode_t mask, const std::function<bool()>& as) {
  const pid_t child = ::fork();
  if (child == 0) {
    const gid_t more[] = {kSharedGroup};
    const size_t count = uid == 0 ? 0 : 1;
    if (::setgroups(count, more) != 0 || ::setgid(gid) != 0 || ::setuid(uid) != 0) ::_exit(2);
    ::umask(mask);
    ::_exit(as() ? 0 : 1);
  }
  int state = 0;
  ::waitpid(child, &state, 0);
  return WIFEXITED(state) && WEXITSTATUS(state) == 0;
}

struct Looks {
  uid_t uid;
  gid_t gid;
  mode_t mode;
  friend bool operator==(const Looks&, const Looks&) = default;
  friend void PrintTo(const Looks& looks, std::ostream* out) {
    *out << looks.uid << ":" << looks.gid << " " << std::oct << looks.mode << std::dec;
  }
};

class SetUps : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root to act as several users";
    ASSERT_EQ(::chmod(folder_.path().c_str(), 0755), 0);
    fs::create_directory(hub());
  }
  void hubBelongsTo(uid_t uid, gid_t gid, mode_t mode) {
    ASSERT_EQ(::chown(hub().c_str(), uid, gid), 0);
    ASSERT_EQ(::chmod(hub().c_str(), mode), 0);
  }
  std::string hub() const { return folder_ / "hub"; }
  std::string repoFolder() const { return hub() + "/models--org--tiny"; }

  // What an agent does for one file; true if all went well.
  bool publishAll() const {
    const NodeId node = NodeId::ofNumber(1);
    const auto reservations = Reservations::create(0);
    const auto publisher = HubPublisher::open(hub(), node, reservations);
    if (!publisher.ok()) return false;
    const BlobInfo blob = infoOf(content_, HashAlgorithm::kGitSha1);
    const auto slot = publisher->blobSlot(repo_, blob);
    if (!slot.ok()) return complain(slot.status());
    auto writer = BlobWriter::open(*slot, {.node = node, .journalFolder = ""}, reservations);
    if (!writer.ok()) return complain(writer.status());
    const auto lock = ClientLock::tryAcquire(publisher->root(), repo_, blob.id);
    if (!lock.ok()) return complain(lock.status());
    if (!(*writer)->write(0, content_).ok() || !(*writer)->finish().ok() ||
        !(*writer)->publish().ok()) {
      return false;
    }
    const FileEntry file{*RelativePath::parse("sub/file"), blob, std::nullopt};
    const Listing manifest{repo_, commit_, true, Visibility::kPublic, {file}};
    const absl::Status shown = publisher->publishFiles(repo_, commit_, {file}).status();
    const absl::Status tree = publisher->publishTree(manifest).status();
    const absl::Status ref =
        publisher->publishRef(repo_, {RefName::main(), commit_, absl::Now()}).status();
    return complain(shown) && complain(tree) && complain(ref);
  }
  static bool complain(const absl::Status& status) {
    if (!status.ok()) fprintf(stderr, "%s\n", status.ToString().c_str());
    return status.ok();
  }

  Looks looksOf(const std::string& path) const {
    struct stat st {};
    EXPECT_EQ(::lstat((hub() + path).c_str(), &st), 0) << path;
    return {st.st_uid, st.st_gid, st.st_mode & 07777};
  }
  std::vector<std::string> files() const {
    const std::string repo = "/models--org--tiny";
    return {repo + "/blobs/" + infoOf(content_, HashAlgorithm::kGitSha1).id.hex(),
            repo + "/refs/main", repo + "/trees/" + commit_.hex() + ".json"};
  }
  std::vector<std::string> folders() const {
    const std::string repo = "/models--org--tiny";
    return {repo,
            repo + "/blobs",
            repo + "/refs",
            repo + "/trees",
            repo + "/snapshots/" + commit_.hex() + "/sub",
            "/.locks",
            "/.locks/models--org--tiny"};
  }
  std::string lock() const {
    return "/.locks/models--org--tiny/" + infoOf(content_, HashAlgorithm::kGitSha1).id.hex() +
           ".lock";
  }

  TempFolder folder_;
  RepoId repo_ = *RepoId::make(HubOrigin::huggingFace(), RepoType::kModel, "org/tiny");
  Commit commit_ = *Commit::parse(std::string(40, 'a'));
  std::vector<uint8_t> content_ = randomBytes(1000, 1);
};

TEST_F(SetUps, PersonalFilesFollowTheUsersUmask) {
  hubBelongsTo(kUser, kUserGroup, 0755);
  ASSERT_TRUE(runAs(kUser, kUserGroup, 027, [&] { return publishAll(); }));
  for (const auto& path : files()) EXPECT_EQ(looksOf(path), (Looks{kUser, kUserGroup, 0640}));
  for (const auto& path : folders()) EXPECT_EQ(looksOf(path), (Looks{kUser, kUserGroup, 0750}));
  EXPECT_EQ(looksOf(lock()), (Looks{kUser, kUserGroup, 0664}));
}

TEST_F(SetUps, SharedFilesBelongToTheGroupWhateverTheUmask) {
  hubBelongsTo(0, kSharedGroup, 02775);
  ASSERT_TRUE(runAs(kAgent, kAgentGroup, 077, [&] { return publishAll(); }));
  for (const auto& path : files()) EXPECT_EQ(looksOf(path), (Looks{kAgent, kSharedGroup, 0664}));
  for (const auto& path : folders()) {
    EXPECT_EQ(looksOf(path), (Looks{kAgent, kSharedGroup, 02775})) << path;
  }
  EXPECT_EQ(looksOf(lock()), (Looks{kAgent, kSharedGroup, 0664}));
}

TEST_F(SetUps, SharedFilesMayBeDeletedOverwrittenAndLockedByClients) {
  hubBelongsTo(0, kSharedGroup, 02775);
  ASSERT_TRUE(runAs(kAgent, kAgentGroup, 022, [&] { return publishAll(); }));
  EXPECT_TRUE(runAs(kUser, kUserGroup, 022, [&] {
    const UniqueFd locked(::open((hub() + lock()).c_str(), O_RDWR));
    return locked && fs::remove(hub() + files()[0]) && fs::remove(hub() + files()[1]);
  }));
  // And the other way round: another user's agent goes on in the folders that the first one made.
  EXPECT_TRUE(runAs(kUser, kUserGroup, 022, [&] { return publishAll(); }));
  EXPECT_EQ(looksOf(files()[0]), (Looks{kUser, kSharedGroup, 0664}));
}

TEST_F(SetUps, NodeWideFilesBelongToTheOwnerOfTheFolder) {
  hubBelongsTo(kUser, kUserGroup, 0750);
  ASSERT_TRUE(runAs(0, 0, 022, [&] { return publishAll(); }));
  for (const auto& path : files()) EXPECT_EQ(looksOf(path), (Looks{kUser, kUserGroup, 0640}));
  for (const auto& path : folders()) EXPECT_EQ(looksOf(path), (Looks{kUser, kUserGroup, 0750}));
  const std::string link = "/models--org--tiny/snapshots/" + commit_.hex() + "/sub/file";
  EXPECT_EQ(looksOf(link).uid, kUser);
  EXPECT_TRUE(runAs(kUser, kUserGroup, 022, [&] {
    return contentOf(hub() + link) == textOf(content_) && fs::remove_all(repoFolder()) > 0;
  }));
}

TEST_F(SetUps, AReadOnlyFolderIsToldWithTheFix) {
  hubBelongsTo(kUser, kUserGroup, 0755);
  EXPECT_TRUE(runAs(kAgent, kAgentGroup, 022, [&] {
    const absl::Status status = checkWritable(hub());
    return absl::IsPermissionDenied(status) &&
           status.message().find("Run the agent as uid 61002") != absl::string_view::npos &&
           !publishAll();
  }));
  EXPECT_TRUE(runAs(kUser, kUserGroup, 022, [&] { return checkWritable(hub()).ok(); }));
  EXPECT_TRUE(fs::is_empty(hub()));
}

TEST_F(SetUps, AnotherUsersBlobIsCopiedNotHardLinked) {
  hubBelongsTo(kUser, kUserGroup, 0755);
  const std::string source = folder_.write("agents/blobs/blob", textOf(content_));
  const BlobInfo blob = infoOf(content_, HashAlgorithm::kGitSha1);
  EXPECT_TRUE(runAs(0, 0, 022, [&] {
    const auto publisher = HubPublisher::open(hub(), NodeId::ofNumber(1), Reservations::create(0));
    return publisher->linkFrom(repo_, blob, {source, *FileStamp::ofPath(source), true}).ok();
  }));
  EXPECT_FALSE(fs::equivalent(source, hub() + files()[0]));
  EXPECT_EQ(looksOf(files()[0]), (Looks{kUser, kUserGroup, 0644}));
}

TEST_F(SetUps, ATemporaryThatAnotherUserPlantedIsNotUsed) {
  hubBelongsTo(0, kSharedGroup, 02777);
  const BlobInfo blob = infoOf(content_, HashAlgorithm::kGitSha1);
  const NodeId node = NodeId::ofNumber(1);
  ASSERT_TRUE(runAs(kAgent, kAgentGroup, 022, [&] {
    return HubPublisher::open(hub(), node, Reservations::create(0))->blobSlot(repo_, blob).ok();
  }));
  const BlobSlot slot{*SafeDir::openRoot(repoFolder() + "/blobs"), blob};
  const std::string planted = slot.folder.pathOf(slot.temporaryName(node));
  ASSERT_TRUE(runAs(kUser, kUserGroup, 0, [&] {
    return bool(UniqueFd(::open(planted.c_str(), O_CREAT | O_RDWR, 0666)));
  }));
  EXPECT_TRUE(runAs(kAgent, kAgentGroup, 022, [&] { return publishAll(); }));
  EXPECT_EQ(looksOf(files()[0]).uid, kAgent);
}

}  // namespace
}  // namespace roost
