#include "node/run_program.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "cache/unique_fd.h"

extern char** environ;

namespace roost {
namespace {

constexpr absl::Duration kEndPause = absl::Milliseconds(2);

// Reads to the end of the pipe, which is that of the program unless it left somebody behind.
absl::StatusOr<std::string> readAll(int fd, const std::string& name, size_t bytesMax,
                                    absl::Time until) {
  std::string text;
  std::array<char, 4096> buffer;
  while (true) {
    const int64_t left = absl::ToInt64Milliseconds(until - absl::Now());
    if (left <= 0) return absl::DeadlineExceededError(name + " did not answer in time");
    pollfd ready{fd, POLLIN, 0};
    if (::poll(&ready, 1, static_cast<int>(left)) <= 0) continue;
    const ssize_t got = ::read(fd, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return absl::InternalError(name + ": " + std::strerror(errno));
    if (got == 0) return text;
    text.append(buffer.data(), static_cast<size_t>(got));
    if (text.size() > bytesMax) return absl::InternalError(name + " prints too much");
  }
}

// It may live on for a moment after its last word, but not for ever.
int statusAtEnd(pid_t child, absl::Time until) {
  int status = -1;
  while (absl::Now() < until) {
    if (::waitpid(child, &status, WNOHANG) != 0) return status;
    absl::SleepFor(kEndPause);
  }
  (void)::kill(child, SIGKILL);
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return status;
}

}  // namespace

absl::StatusOr<std::string> runProgram(std::vector<std::string> words, size_t bytesMax,
                                       absl::Duration patience) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return absl::InternalError(std::strerror(errno));
  const UniqueFd out(ends[0]);
  UniqueFd in(ends[1]);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, in.get(), 1);
  posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  pid_t child = 0;
  const int error =
      ::posix_spawnp(&child, arguments[0], &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) return absl::NotFoundError(absl::StrCat(words[0], ": ", std::strerror(error)));
  in = UniqueFd();
  const absl::Time until = absl::Now() + patience;
  auto text = readAll(out.get(), words[0], bytesMax, until);
  const int status = statusAtEnd(child, text.ok() ? until : absl::InfinitePast());
  if (text.ok() && status != 0) return absl::InternalError(words[0] + " failed");
  return text;
}

}  // namespace roost
