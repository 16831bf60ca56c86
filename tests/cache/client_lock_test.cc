#include "cache/client_lock.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "tests/cache/temp_folder.h"

namespace roost {
namespace {

namespace fs = std::filesystem;

class ClientLockTest : public ::testing::Test {
 protected:
  absl::StatusOr<ClientLock> tryAcquire() {
    return ClientLock::tryAcquire(*SafeDir::openRoot(hub_.path()), repo_, blob_);
  }
  std::string lockPath() const {
    return hub_ / ".locks/models--org--tiny/" + blob_.hex() + ".lock";
  }

  TempFolder hub_;
  RepoId repo_ = *RepoId::make(HubOrigin::huggingFace(), RepoType::kModel, "org/tiny");
  BlobId blob_ = infoOf(randomBytes(10, 1)).id;
};

TEST_F(ClientLockTest, LocksWhereClientsLock) {
  const auto lock = tryAcquire();
  ASSERT_TRUE(lock.ok()) << lock.status();
  EXPECT_EQ(lock->state(), ClientLock::State::kHeld);
  struct stat st;
  ASSERT_EQ(::stat(lockPath().c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 07777, 0664u);
  EXPECT_EQ(st.st_size, 0);

  const UniqueFd client(::open(lockPath().c_str(), O_RDWR));
  EXPECT_NE(::flock(client.get(), LOCK_EX | LOCK_NB), 0);
}

TEST_F(ClientLockTest, StaysBehindUnlocked) {
  { const auto lock = tryAcquire(); }
  const UniqueFd client(::open(lockPath().c_str(), O_RDWR));
  ASSERT_TRUE(client);
  EXPECT_EQ(::flock(client.get(), LOCK_EX | LOCK_NB), 0);
}

TEST_F(ClientLockTest, IsTakenWhileAnotherProcessHoldsIt) {
  { const auto made = tryAcquire(); }
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t client = ::fork();
  if (client == 0) {
    const int fd = ::open(lockPath().c_str(), O_RDWR);
    const char result = ::flock(fd, LOCK_EX) == 0 ? 'y' : 'n';
    (void)!::write(ready[1], &result, 1);
    ::pause();
    ::_exit(0);
  }
  char result = 0;
  ASSERT_EQ(::read(ready[0], &result, 1), 1);
  ASSERT_EQ(result, 'y');
  EXPECT_EQ(tryAcquire()->state(), ClientLock::State::kTaken);
  EXPECT_FALSE(tryAcquire()->mayPublish());

  ::kill(client, SIGKILL);
  ::waitpid(client, nullptr, 0);
  EXPECT_EQ(tryAcquire()->state(), ClientLock::State::kHeld);
}

TEST_F(ClientLockTest, DoesNotFollowAPlantedLink) {
  const TempFolder elsewhere;
  fs::create_directories(fs::path(lockPath()).parent_path());
  fs::create_symlink(elsewhere / "planted", lockPath());
  EXPECT_TRUE(absl::IsPermissionDenied(tryAcquire().status()));
  EXPECT_TRUE(fs::is_empty(elsewhere.path()));
}

}  // namespace
}  // namespace roost
