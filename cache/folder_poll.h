// Finds changed folders by looking at them again: for file systems where inotify does not see what
// other machines do, and when the system's watches are used up.
//
// Threads: pollFolders() blocks as long as the file system does, a worker's job; the rest are
// values.
#ifndef ROOST_CACHE_FOLDER_POLL_H_
#define ROOST_CACHE_FOLDER_POLL_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "cache/directory_mark.h"
#include "cache/inventory.h"
#include "protocol/names.h"

namespace roost {

// What must be scanned again.
struct Dirty {
  RootIndex root{};
  std::optional<RepoId> repo;  // none: the root itself, for repos that came or went
  bool everything = false;     // of a root: all its repos too, because events were lost
  friend bool operator==(const Dirty&, const Dirty&) = default;
};

struct PollTarget {
  Dirty dirty;       // if it changed
  std::string path;  // absolute
  MarkScope scope = MarkScope::kNames;
  // As the scan saw it; none: the folder was not there. A mark that was not settled counts as
  // changed once.
  std::optional<DirectoryMark> seen;
};

struct PollResult {
  std::vector<Dirty> dirty;  // each once
  absl::Duration took;
};

PollResult pollFolders(const std::vector<PollTarget>& targets);

}  // namespace roost

#endif  // ROOST_CACHE_FOLDER_POLL_H_
