#include "cache/client_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <cerrno>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "protocol/errors.h"

namespace roost {
namespace {

// As huggingface_hub makes them: every user of a shared cache must be able to lock.
constexpr mode_t kLockMode = 0664;
// A lock file that another process unlinks each time we have opened it: somebody cleans up there.
constexpr int kTries = 5;

struct LockFile {
  UniqueFd fd;
  bool madeByUs = false;
};

absl::StatusOr<LockFile> openLockFile(const SafeDir& folder, const std::string& name) {
  absl::StatusOr<UniqueFd> fd = folder.openFile(name, O_RDWR);
  // Another user's lock file: flock needs no write access.
  if (absl::IsPermissionDenied(fd.status())) fd = folder.openFile(name, O_RDONLY);
  if (fd.ok()) return LockFile{*std::move(fd), false};
  if (!absl::IsNotFound(fd.status())) return fd.status();

  fd = folder.createFile(name);
  if (absl::IsAlreadyExists(fd.status())) return openLockFile(folder, name);
  ROOST_RETURN_IF_ERROR(fd.status());
  if (::fchmod(fd->get(), kLockMode) != 0) {
    return errnoStatus(errno, "cannot set the mode of", folder.pathOf(name));
  }
  return LockFile{*std::move(fd), true};
}

bool isUnsupported(int error) {
  return error == ENOSYS || error == EOPNOTSUPP || error == ENOLCK || error == EINVAL;
}

}  // namespace

absl::StatusOr<ClientLock> ClientLock::tryAcquire(const SafeDir& hubRoot, const RepoId& repo,
                                                  const BlobId& blob) {
  ROOST_ASSIGN_OR_RETURN(const SafeDir locks, hubRoot.openOrMake(".locks"));
  ROOST_ASSIGN_OR_RETURN(const SafeDir folder, locks.openOrMake(repo.folder()));
  return tryAcquire(folder, absl::StrCat(blob.hex(), ".lock"));
}

absl::StatusOr<ClientLock> ClientLock::tryAcquire(const SafeDir& folder, const std::string& name) {
  for (int i = 0; i < kTries; ++i) {
    ROOST_ASSIGN_OR_RETURN(LockFile file, openLockFile(folder, name));
    if (::flock(file.fd.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno == EWOULDBLOCK) return ClientLock(State::kTaken, UniqueFd());
      if (!isUnsupported(errno)) return errnoStatus(errno, "cannot lock", folder.pathOf(name));
      // Where flock is missing, clients take the file's mere existence for the lock.
      if (file.madeByUs) ROOST_RETURN_IF_ERROR(folder.remove(name));
      return ClientLock(State::kUnsupported, UniqueFd());
    }
    struct stat st;
    if (::fstat(file.fd.get(), &st) != 0) {
      return errnoStatus(errno, "cannot look at", folder.pathOf(name));
    }
    // Unlinked between open and flock: others lock a new file of that name now.
    if (st.st_nlink > 0) return ClientLock(State::kHeld, std::move(file.fd));
  }
  return ClientLock(State::kTaken, UniqueFd());
}

bool ClientLock::isTaken(const SafeDir& hubRoot, const RepoId& repo, const BlobId& blob) {
  const auto taken = [&](const std::string& in) {
    const auto folder = hubRoot.openPath(in);
    if (!folder.ok()) return false;
    const auto file = folder->openFile(absl::StrCat(blob.hex(), ".lock"), O_RDONLY);
    if (!file.ok()) return false;
    return ::flock(file->get(), LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
  };
  return taken(absl::StrCat(".locks/", repo.folder())) ||
         taken(absl::StrCat(repo.folder(), "/blobs"));
}

}  // namespace roost
