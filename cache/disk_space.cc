#include "cache/disk_space.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "cache/unique_fd.h"
#include "protocol/errors.h"

namespace roost {
namespace {

uint64_t availableBytes(const struct statvfs& fs) {
  return uint64_t{fs.f_bavail} * fs.f_frsize;
}

absl::StatusOr<uint64_t> freeBytesOfFd(int fd) {
  struct statvfs fs;
  if (::fstatvfs(fd, &fs) != 0) return errnoStatus(errno, "cannot ask for free space of", "folder");
  return availableBytes(fs);
}

// "needs 12.3 GB, 4.1 GB are free": decimal, as disks are sold.
std::string humanBytes(uint64_t bytes) {
  constexpr const char* kUnits[] = {"B", "kB", "MB", "GB", "TB", "PB"};
  auto value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 1000 && unit + 1 < std::size(kUnits)) {
    value /= 1000;
    ++unit;
  }
  return unit == 0 ? absl::StrCat(bytes, " B") : absl::StrFormat("%.1f %s", value, kUnits[unit]);
}

}  // namespace

absl::StatusOr<uint64_t> freeBytes(const std::string& path) {
  struct statvfs fs;
  if (::statvfs(path.c_str(), &fs) != 0) {
    return errnoStatus(errno, "cannot ask for free space of", path);
  }
  return availableBytes(fs);
}

absl::StatusOr<uint64_t> diskBytes(const std::string& path) {
  struct statvfs fs;
  if (::statvfs(path.c_str(), &fs) != 0) {
    return errnoStatus(errno, "cannot ask for the size of the disk of", path);
  }
  return uint64_t{fs.f_blocks} * fs.f_frsize;
}

absl::Status checkWritable(const std::string& folder) {
  struct stat st;
  if (::stat(folder.c_str(), &st) != 0) return errnoStatus(errno, "cannot look at", folder);
  if (!S_ISDIR(st.st_mode)) {
    return absl::PermissionDeniedError(
        sentence("cannot write to " + folder, "it is not a folder", "Configure another folder"));
  }
  if (::faccessat(AT_FDCWD, folder.c_str(), R_OK | W_OK | X_OK, AT_EACCESS) == 0) {
    return absl::OkStatus();
  }
  if (errno == EROFS) {
    return absl::PermissionDeniedError(
        sentence("cannot write to " + folder, "its file system is mounted read-only",
                 "Mount it writable, or set write = false for this root"));
  }
  if (errno != EACCES) return errnoStatus(errno, "cannot write to", folder);
  return absl::PermissionDeniedError(sentence(
      "cannot write to " + folder,
      absl::StrFormat("it belongs to uid %d, gid %d with mode %04o, and this agent runs as uid %d",
                      st.st_uid, st.st_gid, st.st_mode & 07777, ::geteuid()),
      absl::StrFormat("Run the agent as uid %d, or share the folder with a group of the agent "
                      "(chgrp -R GROUP %s && chmod -R g+rwX %s && find %s -type d -exec chmod g+s "
                      "{} +), or set write = false for this root",
                      st.st_uid, folder, folder, folder)));
}

absl::Status makeWritable(const std::string& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) return errnoStatus(error.value(), "cannot make", folder);
  return checkWritable(folder);
}

Reservation::Reservation(Reservation&& other) noexcept
    : owner_(std::move(other.owner_)),
      device_(other.device_),
      bytes_(std::exchange(other.bytes_, 0)) {}

Reservation& Reservation::operator=(Reservation&& other) noexcept {
  std::swap(owner_, other.owner_);
  std::swap(device_, other.device_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

Reservation::~Reservation() {
  spend(bytes_);
}

void Reservation::spend(uint64_t bytes) {
  bytes = std::min(bytes, bytes_);
  if (bytes == 0) return;
  bytes_ -= bytes;
  owner_->giveBack(device_, bytes);
}

std::shared_ptr<Reservations> Reservations::create(uint64_t keptFree, FreeBytesOf freeBytesOf) {
  return std::shared_ptr<Reservations>(new Reservations(
      keptFree, freeBytesOf ? std::move(freeBytesOf) : FreeBytesOf(freeBytesOfFd)));
}

Reservations::Reservations(uint64_t keptFree, FreeBytesOf freeBytesOf)
    : keptFree_(keptFree), freeBytesOf_(std::move(freeBytesOf)) {}

absl::StatusOr<Reservation> Reservations::reserve(int fd, const std::string& name, uint64_t bytes) {
  struct stat st;
  if (::fstat(fd, &st) != 0) return errnoStatus(errno, "cannot look at", name);
  std::unique_lock lock(mutex_);
  ROOST_ASSIGN_OR_RETURN(const uint64_t room, available(fd, st.st_dev, lock));
  if (bytes > room) {
    return absl::ResourceExhaustedError(
        sentence("no room for " + name,
                 absl::StrCat("it needs ", humanBytes(bytes), " (", bytes, " bytes), ",
                              humanBytes(room), " (", room, " bytes) can be used"),
                 "Free some space, for example with: hf cache prune"));
  }
  promised_[st.st_dev].now += bytes;
  promised_[st.st_dev].ever += bytes;
  return Reservation(shared_from_this(), st.st_dev, bytes);
}

absl::StatusOr<uint64_t> Reservations::available(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_DIRECTORY));
  struct stat st;
  if (!fd || ::fstat(fd.get(), &st) != 0) return errnoStatus(errno, "cannot open", path);
  std::unique_lock lock(mutex_);
  return available(fd.get(), st.st_dev, lock);
}

absl::StatusOr<uint64_t> Reservations::available(int fd, dev_t device,
                                                 std::unique_lock<std::mutex>& lock) {
  const Promised before = promised_[device];
  lock.unlock();
  const absl::StatusOr<uint64_t> free = freeBytesOf_(fd);
  lock.lock();
  ROOST_RETURN_IF_ERROR(free.status());
  const uint64_t taken = keptFree_ + before.now + (promised_[device].ever - before.ever);
  return *free > taken ? *free - taken : 0;
}

void Reservations::giveBack(dev_t device, uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  promised_[device].now -= bytes;
}

}  // namespace roost
