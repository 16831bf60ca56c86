// What a scan of a root finds, whatever its layout: the values between layouts (hub_layout.h,
// flat_layout.h), which read folders, and Inventory and Watcher, which know no layout.
//
// Threads: any (values only); immutable once made.
#ifndef ROOST_CACHE_FOLDER_SCAN_H_
#define ROOST_CACHE_FOLDER_SCAN_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "cache/directory_mark.h"
#include "cache/file_stamp.h"
#include "cache/file_system.h"
#include "protocol/blob_id.h"
#include "protocol/manifest.h"
#include "protocol/names.h"

namespace roost {

// A directory that a scan read: what a watcher must watch for the scan to stay true.
struct ScannedDirectory {
  std::string path;  // below the root; "" is the root itself
  DirectoryMark mark;
  MarkScope scope = MarkScope::kNames;
};

// Content that lies in a root.
struct ScannedCopy {
  std::string place;           // below repoBase() (layouts.h): "blobs/<etag>"
  std::optional<BlobId> name;  // what it should be, by its file name or a list; none: nobody says
  FileStamp stamp;             // of the content, links followed
};

struct ScannedFile {
  RelativePath path;
  uint32_t copy = 0;                                  // index in RepoScan::copies
  std::optional<MadeEtag> observedAs = std::nullopt;  // as in FileEntry
  bool executable = false;                            // same
};

struct KnownTree {
  FileStamp stamp;                          // of trees/<commit>.json
  std::shared_ptr<const Listing> manifest;  // complete
};
using KnownTrees = absl::flat_hash_map<Commit, KnownTree>;

// What a root shows of a commit. Files whose content is not here (broken links) are absent.
struct ScannedSnapshot {
  Commit commit;
  std::vector<ScannedFile> files;  // sorted by path
  // The layout made the commit up, so the hub has no names for its files either: those that nobody
  // names go by their git sha1.
  bool madeUp = false;
};

// A directory that somebody finished (finished_directory.h). What commit it is, is known once all
// its files have been hashed: Inventory says it then.
struct ScannedFinished {
  RefName ref;                     // its name among those of the repo
  absl::Time written;              // the directory's mtime: of several, clients take the newest
  std::vector<ScannedFile> files;  // sorted by path
  // Whole only as a tree is: what of it is known can be told, and the rest follows.
  bool growing = false;
};

// What a root shows of a repo.
struct RepoScan {
  RepoId repo;
  // Sorted; empty and malformed ones are left out. hubTime is the file's mtime: clients write a ref
  // when the hub has named its commit, and our publisher sets the mtime to that moment, or to the
  // epoch if nobody asked the hub (then there is none). A time in the future is none.
  std::vector<RefState> refs;
  std::vector<ScannedCopy> copies;
  std::vector<ScannedSnapshot> snapshots;  // sorted by commit; also of trees without a snapshot
  KnownTrees trees;
  std::vector<ScannedDirectory> directories;
  std::vector<std::string> problems;  // sentences; at most kScanProblemsMax and one "… more"
  std::vector<ScannedFinished> finished = {};  // sorted by ref
};

struct RootScan {
  std::string realPath;  // of the root, without links
  FileSystemKind kind = FileSystemKind::kLocal;
  std::vector<RepoId> repos;            // sorted
  ScannedDirectory directory;           // the root's own
  std::vector<std::string> problems;    // what in it is not used
  std::vector<RepoScan> contents;       // of `repos`, if the layout is read as a whole (layouts.h)
  std::vector<ScannedDirectory> below;  // then also all other directories
  // Files were left out that may still be written: to be read again when they have been left alone
  // for kSettleTime.
  bool unsettled = false;
};

}  // namespace roost

#endif  // ROOST_CACHE_FOLDER_SCAN_H_
