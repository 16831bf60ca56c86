// The kernel's inotify behind a seam, so that tests can overflow it and exhaust it.
//
// Threads: one. Nothing blocks on a local file system.
#ifndef ROOST_CACHE_INOTIFY_H_
#define ROOST_CACHE_INOTIFY_H_

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>

#include "absl/types/span.h"
#include "cache/unique_fd.h"

namespace roost {

class Inotify {
 public:
  virtual ~Inotify() = default;
  // Readable when events wait; -1: there is no inotify here (EMFILE, ENOSYS), everything is polled.
  virtual int fd() const = 0;
  // As read(2) of a non-blocking descriptor: whole events, 0 or -1 if there are none.
  virtual ssize_t read(absl::Span<char> buffer) = 0;
  // As inotify_add_watch(2): a watch, or -1 and errno.
  virtual int add(const std::string& path, uint32_t mask) = 0;
  virtual void remove(int watch) = 0;
};

class KernelInotify final : public Inotify {
 public:
  KernelInotify();
  int fd() const override { return fd_ ? fd_.get() : -1; }
  ssize_t read(absl::Span<char> buffer) override;
  int add(const std::string& path, uint32_t mask) override;
  void remove(int watch) override;

 private:
  UniqueFd fd_;
};

}  // namespace roost

#endif  // ROOST_CACHE_INOTIFY_H_
