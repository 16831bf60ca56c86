// A number that changes when a directory does: how a scan is compared with the moment its watch
// began, and how folders are polled where inotify cannot see.
//
// Threads: any; blocks as long as the file system does.
#ifndef ROOST_CACHE_DIRECTORY_MARK_H_
#define ROOST_CACHE_DIRECTORY_MARK_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace roost {

// What counts as a change of a directory.
enum class MarkScope : uint8_t {
  kNames,     // entries come, go, are renamed: the directory's own times say so
  kContents,  // also files that are written in place: refs and trees of some clients
};

struct DirectoryMark {
  uint64_t value = 0;
  // False: it changed so recently that it may change again without its times moving (the kernel's
  // clock tick), so an equal value later proves nothing.
  bool settled = false;
};

// Of an open directory; taken *before* its entries are read.
absl::StatusOr<DirectoryMark> markOf(int directory, MarkScope scope, const std::string& name);
// Does not follow a symlink in the last place.
absl::StatusOr<DirectoryMark> markOf(const std::string& path, MarkScope scope);

}  // namespace roost

#endif  // ROOST_CACHE_DIRECTORY_MARK_H_
