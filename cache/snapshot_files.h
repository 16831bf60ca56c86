// snapshots/<commit>/<path>: how clients find a blob. A relative symlink into blobs/, or, in a
// cache without symlinks, the file itself (huggingface_hub moves it there; blobs/ stays empty).
//
// What was observed (FileEntry) leads to blobs/<made etag>, which leads to the content beside it:
// its name is the one that clients know, and the link is how a scan tells it from what a hub named.
// An observation gives way to a newer one and to a hub's hash.
//
// Threads: any, one call at a time for one repo; blocking. Errors: kNotFound a blob is not in
// blobs/; kUnimplemented an observed file in a cache without symlinks;
// kFailedPrecondition one whose ETag names other content in this repo; errnoStatus().
#ifndef ROOST_CACHE_SNAPSHOT_FILES_H_
#define ROOST_CACHE_SNAPSHOT_FILES_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "cache/disk_space.h"
#include "cache/safe_dir.h"
#include "protocol/manifest.h"
#include "protocol/names.h"
#include "protocol/node_id.h"

namespace roost {

struct PublishedFiles {
  uint64_t made = 0;
  uint64_t alreadyThere = 0;
  std::vector<RelativePath> conflicts;  // something else has that name; it was left alone
};

// `repo` is the repo's folder in the hub cache, with blobs/ and snapshots/ in it.
absl::StatusOr<PublishedFiles> showFiles(const SafeDir& repo, const Commit& commit,
                                         absl::Span<const FileEntry> files, const NodeId& node,
                                         const std::shared_ptr<Reservations>& reservations);

}  // namespace roost

#endif  // ROOST_CACHE_SNAPSHOT_FILES_H_
