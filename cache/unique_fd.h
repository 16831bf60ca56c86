// A file descriptor with one owner.
//
// Threads: like an int; the descriptor itself may be used from any thread while the owner lives.
#ifndef ROOST_CACHE_UNIQUE_FD_H_
#define ROOST_CACHE_UNIQUE_FD_H_

#include <unistd.h>

#include <utility>

namespace roost {

class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~UniqueFd() {
    if (fd_ >= 0) ::close(fd_);
  }

  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_ = -1;
};

}  // namespace roost

#endif  // ROOST_CACHE_UNIQUE_FD_H_
