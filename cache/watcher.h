// Says which folders must be scanned again. Looks at names only: what a change means is the scan's
// business.
//
// The caller's circle:
//   scanRoot() → watchRoot() → for each new or dirty repo: scanRepo() → watchRepo()
// Both watch…() say whether something changed between the scan and the watch: then scan once more.
// So no change is lost, whichever came first. A burst of changes is the caller's to gather.
//
// What counts (clients write under other names and rename, docs/internals/clients.md): renames in
// and out, deletions, new folders and links, and files that a writer closed; never a write, and
// never names of unfinished files. Folders on network file systems, and those that the system has
// no watches left for, are polled: nextPoll() → pollTargets() → pollFolders() on a worker →
// polled().
//
// Threads: one (`loop`). Nothing blocks: fd() is for the loop to wait on. Directories on local file
// systems are looked at; network ones only by pollFolders().
#ifndef ROOST_CACHE_WATCHER_H_
#define ROOST_CACHE_WATCHER_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "cache/folder_poll.h"
#include "cache/folder_scan.h"
#include "cache/inotify.h"
#include "cache/inventory.h"
#include "cache/roots.h"

struct inotify_event;

namespace roost {

class Watcher {
 public:
  explicit Watcher(std::unique_ptr<Inotify> inotify = std::make_unique<KernelInotify>());

  // Indices as in the inventory, in order. A root that does not exist yet is polled for.
  void addRoot(const Root& root);

  // True: scan again, it changed meanwhile or may have.
  bool watchRoot(RootIndex root, const RootScan& scan);
  bool watchRepo(RootIndex root, const RepoScan& scan);
  void forgetRepo(RootIndex root, const RepoId& repo);
  // The root is gone or cannot be read: it is polled for until watchRoot().
  void forgetRoot(RootIndex root);

  int fd() const { return inotify_->fd(); }
  // What happened since the last call, each folder once. Empty when nothing waits.
  std::vector<Dirty> read();

  // InfiniteFuture if nothing is polled. The first poll is due at once.
  absl::Time nextPoll() const;
  // What is due `now`. Roots that are not there yet are looked for more often than the rest.
  std::vector<PollTarget> pollTargets(absl::Time now) const;
  // Schedules the next poll, and passes on what the last one found. `began`: as in pollTargets().
  std::vector<Dirty> polled(const PollResult& result, absl::Time began, absl::Time now);

  // What is not watched as it should be, why, and what to do.
  std::vector<std::string> problems() const;

 private:
  // What a directory holds decides which names matter in it.
  enum class Kind : uint8_t {
    kRoot,
    kFlat,
    kDatasets,
    kTree,
    kRepo,
    kBlobs,
    kSnapshots,
    kFiles,
    kRefs,
    kTrees,
    kPip
  };

  // Who wants to know of a directory's changes.
  struct Interest {
    RootIndex root{};
    std::optional<RepoId> repo;
    std::string path;  // below the root
    Kind kind = Kind::kRoot;
    friend bool operator==(const Interest&, const Interest&) = default;
  };
  // One watched or polled directory of an owner (a root or a repo folder).
  struct Place {
    int watch = -1;  // -1: polled
    MarkScope scope = MarkScope::kNames;
    std::optional<DirectoryMark> seen;
  };
  using Owner = std::pair<RootIndex, std::optional<RepoId>>;
  using Places = std::map<std::string, Place>;
  struct RootState {
    std::string path;  // without links
    bool polled = false;
    Kind kind = Kind::kRoot;  // of its own directory, and of all if it is read as a whole
  };

  static Kind kindOf(Layout layout);
  static Kind kindOf(const std::string& path, const std::string& folder);
  std::string absolute(RootIndex root, const std::string& path) const;
  bool watchAll(const Owner& owner, const std::vector<ScannedDirectory>& directories);
  bool watchOne(const Owner& owner, const ScannedDirectory& directory, Places& places);
  static bool isMissingRoot(const Owner& owner, const Place& place);
  void drop(const Owner& owner, const std::string& path, const Place& place);
  void handle(const inotify_event& event, std::vector<Dirty>& dirty);
  bool matters(const Interest& interest, const inotify_event& event) const;
  bool mattersWhenCreated(const Interest& interest, absl::string_view name) const;
  void lostWatch(int watch, std::vector<Dirty>& dirty);

  std::unique_ptr<Inotify> inotify_;
  std::vector<RootState> roots_;
  std::map<Owner, Places> places_;
  absl::flat_hash_map<int, std::vector<Interest>> interests_;  // by watch
  bool outOfWatches_ = false;
  absl::Time nextPoll_ = absl::InfinitePast();
  absl::Time nextRootPoll_ = absl::InfinitePast();  // of those that are not there yet
};

}  // namespace roost

#endif  // ROOST_CACHE_WATCHER_H_
