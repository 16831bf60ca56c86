// Reads the entries of a directory without following links, and counts them against a limit.
//
// Threads: one at a time; blocks as long as the file system does.
#ifndef ROOST_CACHE_DIRECTORY_READER_H_
#define ROOST_CACHE_DIRECTORY_READER_H_

#include <dirent.h>
#include <sys/stat.h>

#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace roost {

class DirectoryReader {
 public:
  // Opens `name` below the open directory `parent` (or AT_FDCWD). kNotFound also if it is a link or
  // no directory.
  static absl::StatusOr<DirectoryReader> open(int parent, const std::string& name);

  int fd() const;
  // The next entry's name, "." and ".." left out; none at the end. Valid until the next call.
  std::optional<absl::string_view> next();
  // Of an entry; the link itself, if it is one. none if it is gone.
  std::optional<struct stat> look(const std::string& name) const;
  // May this process read a file of it, which looks so?
  bool mayRead(const std::string& name, const struct stat& info) const;
  // Target of a link; none if it is none, is gone, or is longer than kLinkTargetBytesMax.
  std::optional<std::string> readLink(const std::string& name) const;

 private:
  using Handle = std::unique_ptr<DIR, int (*)(DIR*)>;
  explicit DirectoryReader(Handle handle) : handle_(std::move(handle)) {}
  Handle handle_;
};

}  // namespace roost

#endif  // ROOST_CACHE_DIRECTORY_READER_H_
