// What a repo contains at a commit, and where its names point.
//
// Threads: any (values only).
#ifndef ROOST_PROTOCOL_MANIFEST_H_
#define ROOST_PROTOCOL_MANIFEST_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "protocol/blob_id.h"
#include "protocol/made_etag.h"
#include "protocol/names.h"

namespace roost {

// Who may see a repo. kUnknown: no hub said. Numbers are on the wire and in the index: never
// renumber.
enum class Visibility : uint8_t { kUnknown = 0, kPublic = 1, kGated = 2, kPrivate = 3 };

// One file of a repo at a commit. The blob is what the file's content is named by; `pointer` is the
// git object of the LFS pointer file, known only for LFS files and only from a manifest.
//
// `observedAs`: no hub named the hash. A node received these bytes from the hub for this path,
// under this ETag, and gave them their sha256 itself. Such an entry is in no manifest, and any hash
// that a hub names counts more.
struct FileEntry {
  RelativePath path;
  BlobInfo blob;
  std::optional<GitSha1> pointer;
  std::optional<MadeEtag> observedAs = std::nullopt;
  bool executable = false;  // of trees; hubs do not say it
  friend bool operator==(const FileEntry&, const FileEntry&) = default;
};

// The files of a repo at a commit: sorted by path, each path once.
// complete = true: a *manifest*, all files the hub has at that commit. false: a *listing*, what a
// folder shows.
struct Listing {
  RepoId repo;
  Commit commit;
  bool complete = false;
  Visibility visibility = Visibility::kUnknown;
  std::vector<FileEntry> files;

  uint64_t bytes() const;  // sum of sizes
  bool observes() const;   // some file's hash was named by no hub
  // Null if there is none of that path. O(log files).
  const FileEntry* find(absl::string_view path) const;
  friend bool operator==(const Listing&, const Listing&) = default;
};

// Where a ref points, and when the hub said so (none: nobody asked the hub).
struct RefState {
  RefName ref;
  Commit commit;
  std::optional<absl::Time> hubTime;
  friend bool operator==(const RefState&, const RefState&) = default;
};

// Sorts by path. kInvalidArgument if a path stands twice, a path is also a folder of another, or
// there are too many files.
absl::Status normalize(Listing& listing);

// What several nodes' listings of one commit say together: all paths on which no two disagree. A
// manifest, if there is one, wins over listings, and a hash that a hub named over what was
// observed; of two that observed different things the first counts. `conflicts` gets the dropped
// paths (may be null). All must be of the same repo and commit.
Listing unite(const std::vector<Listing>& listings, std::vector<RelativePath>* conflicts);

}  // namespace roost

#endif  // ROOST_PROTOCOL_MANIFEST_H_
