#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <sstream>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "node/cli/endpoint_check.h"
#include "node/cli/seams.h"
#include "protocol/errors.h"

namespace roost {
namespace {

// What a signal handler may touch: the end of a pipe that pause() waits on.
int interruptWriteEnd = -1;

void onInterrupt(int) {
  const int saved = errno;
  const char byte = 0;
  [[maybe_unused]] const ssize_t written = write(interruptWriteEnd, &byte, 1);
  errno = saved;
}

// The read end; opened once a process.
int interruptPipe() {
  static const int readEnd = [] {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return -1;
    interruptWriteEnd = ends[1];
    return ends[0];
  }();
  return readEnd;
}

void catchInterrupts() {
  if (interruptPipe() < 0) return;
  struct sigaction action = {};
  action.sa_handler = onInterrupt;
  // Once: the second Ctrl-C ends a process that hangs.
  action.sa_flags = static_cast<int>(SA_RESETHAND) | SA_RESTART;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

bool pauseOrInterrupt(absl::Duration duration) {
  pollfd interrupted = {interruptPipe(), POLLIN, 0};
  const absl::Time end = absl::Now() + duration;
  while (true) {
    const int64_t left = absl::ToInt64Milliseconds(end - absl::Now());
    const int ready = poll(&interrupted, 1, left < 0 ? 0 : static_cast<int>(left));
    if (ready > 0) return false;
    if (ready == 0) return true;
  }
}

bool speaksUtf8(const Environment& environment) {
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    if (const auto locale = lookUp(environment, name)) {
      const std::string lower = absl::AsciiStrToLower(*locale);
      return absl::StrContains(lower, "utf-8") || absl::StrContains(lower, "utf8");
    }
  }
  return false;
}

Console consoleOf(std::ostream& stream, int descriptor, const Environment& environment) {
  Console console;
  console.stream = &stream;
  const auto kind = lookUp(environment, "TERM");
  const bool terminal = isatty(descriptor) == 1;
  const bool obeysCodes = terminal && kind && *kind != "dumb";
  console.terminal = obeysCodes;
  TextStyle style;
  style.unicode = speaksUtf8(environment);
  // https://no-color.org: present and not empty, whatever its value.
  style.color = obeysCodes && !lookUp(environment, "NO_COLOR");
  console.style = [=] {
    TextStyle now = style;
    winsize size = {};
    if (terminal && ioctl(descriptor, TIOCGWINSZ, &size) == 0) {
      now.columns = size.ws_col;
      now.rows = size.ws_row;
    }
    return now;
  };
  return console;
}

absl::StatusOr<std::string> readWholeFile(const std::string& path) {
  struct stat facts = {};
  if (stat(path.c_str(), &facts) != 0) return errnoStatus(errno, "cannot read", path);
  if (S_ISDIR(facts.st_mode)) return errnoStatus(EISDIR, "cannot read", path);
  std::ifstream file(path, std::ios::binary);
  std::ostringstream content;
  content << file.rdbuf();
  // An empty file sets failbit on `content`, an unreadable one on `file`.
  if (!file) return errnoStatus(errno == 0 ? EACCES : errno, "cannot read", path);
  return content.str();
}

HostFacts hostFacts() {
  HostFacts facts;
  char name[HOST_NAME_MAX + 1] = {};
  if (gethostname(name, HOST_NAME_MAX) == 0) facts.hostName = name;
  char folder[PATH_MAX] = {};
  if (getcwd(folder, sizeof(folder)) != nullptr) facts.workingFolder = folder;
  facts.isRoot = geteuid() == 0;
  return facts;
}

int execute(const std::vector<std::string>& words, const Environment& changes) {
  for (const auto& [name, value] : changes) setenv(name.c_str(), value.c_str(), 1);
  std::vector<char*> arguments;
  for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  execvp(arguments[0], arguments.data());
  return errno;
}

}  // namespace

CliSeams processSeams(const Environment& environment) {
  CliSeams seams;
  seams.readFile = readWholeFile;
  seams.host = hostFacts();
  seams.out = consoleOf(std::cout, STDOUT_FILENO, environment);
  seams.err = consoleOf(std::cerr, STDERR_FILENO, environment);
  seams.catchInterrupts = catchInterrupts;
  seams.pause = pauseOrInterrupt;
  seams.endpointIs = endpointIs;
  seams.execute = execute;
  return seams;
}

}  // namespace roost
