#include "node/identity.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "protocol/errors.h"

namespace roost {
namespace {

// "<node id> <epoch>\n": one line, rewritten in place; 32 + 1 + 20 + 1 bytes never cross a sector.
absl::StatusOr<std::string> readLine(int fd, const std::string& path) {
  char buffer[128];
  const ssize_t got = pread(fd, buffer, sizeof buffer, 0);
  if (got < 0) return errnoStatus(errno, "cannot read", path);
  return std::string(buffer, static_cast<size_t>(got));
}

absl::Status writeLine(int fd, const std::string& line, const std::string& path) {
  if (pwrite(fd, line.data(), line.size(), 0) != static_cast<ssize_t>(line.size()) ||
      ftruncate(fd, static_cast<off_t>(line.size())) != 0 || fsync(fd) != 0) {
    return errnoStatus(errno, "cannot write", path);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Identity> Identity::claim(const std::string& stateDir) {
  std::error_code error;
  std::filesystem::create_directories(stateDir, error);
  if (error) return errnoStatus(error.value(), "cannot make the state folder", stateDir);
  if (chmod(stateDir.c_str(), 0700) != 0) {
    return errnoStatus(errno, "cannot protect the state folder", stateDir);
  }
  const std::string path = stateDir + "/node-id";
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return errnoStatus(errno, "cannot open", path);
  Identity claimed(NodeId::random(), 1, fd);
  if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    return absl::FailedPreconditionError(
        sentence(absl::StrCat("another agent uses the state folder ", stateDir),
                 absl::StrCat(path, " is locked"),
                 "Stop that agent, or give this one a --state-dir of its own."));
  }
  ROOST_ASSIGN_OR_RETURN(const std::string line, readLine(fd, path));
  if (!line.empty()) {
    const std::vector<std::string> parts =
        absl::StrSplit(line, absl::ByAnyChar(" \n"), absl::SkipEmpty());
    uint64_t epoch = 0;
    const auto id = parts.size() == 2 ? NodeId::parse(parts[0]) : NodeId::parse("");
    if (!id.ok() || !absl::SimpleAtoi(parts[1], &epoch)) {
      return absl::InternalError(sentence(absl::StrCat("cannot understand ", path),
                                          "it is not \"<node id> <epoch>\"",
                                          "Remove it to make this agent a new node."));
    }
    claimed.id_ = *id;
    claimed.epoch_ = epoch + 1;
  }
  ROOST_RETURN_IF_ERROR(
      writeLine(fd, absl::StrCat(claimed.id_.hex(), " ", claimed.epoch_, "\n"), path));
  return claimed;
}

Identity::Identity(Identity&& other) noexcept
    : id_(other.id_), epoch_(other.epoch_), lock_(std::exchange(other.lock_, -1)) {}

Identity::~Identity() {
  if (lock_ >= 0) close(lock_);
}

}  // namespace roost
