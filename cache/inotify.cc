#include "cache/inotify.h"

#include <sys/inotify.h>
#include <unistd.h>

#include <cerrno>

namespace roost {

KernelInotify::KernelInotify() : fd_(inotify_init1(IN_NONBLOCK | IN_CLOEXEC)) {}

ssize_t KernelInotify::read(absl::Span<char> buffer) {
  ssize_t got;
  do {
    got = ::read(fd_.get(), buffer.data(), buffer.size());
  } while (got < 0 && errno == EINTR);
  return got;
}

int KernelInotify::add(const std::string& path, uint32_t mask) {
  if (!fd_) {
    errno = EMFILE;
    return -1;
  }
  return inotify_add_watch(fd_.get(), path.c_str(), mask);
}

void KernelInotify::remove(int watch) {
  // Fails if the kernel has dropped it already, with the directory: that is fine.
  (void)inotify_rm_watch(fd_.get(), watch);
}

}  // namespace roost
