// An open folder below a root. Names are looked up one by one and never through a symlink, so a
// hostile link inside the root cannot lead outside it. The root itself may be a symlink.
//
// What is created takes owner, group and mode by the set-up that the parent shows
// (docs/internals/cache.md):
//   personal   the process's umask decides, as for every client of that user
//   shared     parent is setgid and group-writable: 0664 and 2775, whatever the umask
//   node-wide  running as root in another user's folder: owner and group of the parent, and the
//              parent's permission bits
//
// Threads: any; blocking. A SafeDir is a value that shares its descriptor. Errors: errnoStatus();
// kPermissionDenied where a symlink stands in the way.
#ifndef ROOST_CACHE_SAFE_DIR_H_
#define ROOST_CACHE_SAFE_DIR_H_

#include <sys/stat.h>
#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cache/unique_fd.h"

namespace roost {

// How a new entry of one folder is to look.
struct Ownership {
  struct Owner {
    uid_t uid;
    gid_t gid;
  };
  std::optional<mode_t> fileMode;    // none: 0666 less the umask
  std::optional<mode_t> folderMode;  // none: 0777 less the umask
  std::optional<Owner> owner;        // none: whoever runs

  // By the folder that will hold the new entry. `runsAsRoot` is geteuid() == 0.
  static Ownership below(const struct stat& parent, uid_t effectiveUid);
};

class SafeDir {
 public:
  // Follows symlinks: what the user configured.
  static absl::StatusOr<SafeDir> openRoot(const std::string& path);

  // One existing folder right below; kNotFound if there is none.
  absl::StatusOr<SafeDir> open(absl::string_view name) const;
  // The same, created if absent.
  absl::StatusOr<SafeDir> openOrMake(absl::string_view name) const;
  // Each '/'-separated name in turn; empty: this folder.
  absl::StatusOr<SafeDir> openPath(absl::string_view path) const;
  absl::StatusOr<SafeDir> openOrMakePath(absl::string_view path) const;

  // A new file (O_EXCL), for reading and writing, owned and moded as above.
  absl::StatusOr<UniqueFd> createFile(absl::string_view name) const;
  // An existing regular file. `flags` as in O_RDONLY or O_RDWR.
  absl::StatusOr<UniqueFd> openFile(absl::string_view name, int flags) const;
  // A new symlink; kAlreadyExists if something has that name.
  absl::Status createSymlink(const std::string& target, absl::string_view name) const;

  // lstat; nullopt if nothing has that name.
  absl::StatusOr<std::optional<struct stat>> look(absl::string_view name) const;
  absl::StatusOr<std::string> readSymlink(absl::string_view name) const;
  // Names in it, without "." and "..", unordered.
  absl::StatusOr<std::vector<std::string>> names() const;
  // Removes a file or symlink; absent is fine.
  absl::Status remove(absl::string_view name) const;
  // Removes a folder if nothing is in it.
  void removeEmpty(absl::string_view name) const;
  absl::Status sync() const;

  // Gives a file made in this folder the owner and mode that new files here have.
  absl::Status adopt(int fd, absl::string_view name) const;

  int fd() const { return fd_->get(); }
  const std::string& path() const { return path_; }  // for error texts and journals
  std::string pathOf(absl::string_view name) const;

 private:
  SafeDir(UniqueFd fd, std::string path)
      : fd_(std::make_shared<const UniqueFd>(std::move(fd))), path_(std::move(path)) {}
  absl::StatusOr<Ownership> ownership() const;

  std::shared_ptr<const UniqueFd> fd_;
  std::string path_;
};

}  // namespace roost

#endif  // ROOST_CACHE_SAFE_DIR_H_
