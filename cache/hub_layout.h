// Reads the hub cache layout, as huggingface_hub, transformers, hf-hub (Rust), @huggingface/hub and
// llama.cpp write it:
//   <root>/models--org--name/refs/<name>                  40 hex digits, no newline
//                            blobs/<etag>                 content, or a link into <root>/blobs/xx/
//                            blobs/<made etag>            our link to a sha256 beside it
//                            snapshots/<commit>/<path>    link to ../../blobs/<etag>, or content
//                            trees/<commit>.json          the complete list, see tree_json.h
// Folders are the truth: a scan says what is there now and trusts no name. Nothing is followed out
// of the root, nothing is written, and a file that cannot be read fails itself, never its repo.
//
// Threads: any; blocks, a worker's job. Values once made are immutable.
#ifndef ROOST_CACHE_HUB_LAYOUT_H_
#define ROOST_CACHE_HUB_LAYOUT_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
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

// Content that lies in a repo folder.
struct ScannedCopy {
  std::string place;           // below the repo folder: "blobs/<etag>", "snapshots/<commit>/<path>"
  std::optional<BlobId> name;  // what it should be, by its file name or the tree; none: nobody says
  FileStamp stamp;             // of the content, links followed
};

struct ScannedFile {
  RelativePath path;
  uint32_t copy = 0;                                  // index in RepoScan::copies
  std::optional<MadeEtag> observedAs = std::nullopt;  // as in FileEntry
};

struct KnownTree {
  FileStamp stamp;                          // of trees/<commit>.json
  std::shared_ptr<const Listing> manifest;  // complete
};
using KnownTrees = absl::flat_hash_map<Commit, KnownTree>;

// What a repo folder shows of a commit. Files whose content is not here (broken links) are absent.
struct ScannedSnapshot {
  Commit commit;
  std::vector<ScannedFile> files;  // sorted by path
};

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
};

struct RootScan {
  std::string realPath;  // of the root, without links
  FileSystemKind kind = FileSystemKind::kLocal;
  std::vector<RepoId> repos;          // sorted
  ScannedDirectory directory;         // the root's own
  std::vector<std::string> problems;  // folders whose name could mean two repos
};

// The repo folders of a root. kNotFound if there is no such folder, kPermissionDenied if it cannot
// be read.
absl::StatusOr<RootScan> scanRoot(const std::string& root, const HubOrigin& origin);

// One repo folder. Trees of `known` with an equal stamp are not parsed again. kNotFound if the
// folder is gone.
absl::StatusOr<RepoScan> scanRepo(const std::string& root, const RepoId& repo,
                                  const KnownTrees& known);

// Content of a refs file: the commit, if it is exactly 40 hex digits. Anything else (empty while a
// client writes in place, a newline, a short hash) is nothing.
std::optional<Commit> parseRef(absl::string_view content);

// Names that clients give to unfinished files and locks in blobs/.
bool isUnfinishedName(absl::string_view name);

}  // namespace roost

#endif  // ROOST_CACHE_HUB_LAYOUT_H_
