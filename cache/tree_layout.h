// Reads a tree: a configured folder whose finished files are told as one list, each under its path
// (tree_scope.h says to whom). What it means, nobody here knows: a compile cache, a local_dir.
//
// Finished is a regular file that nobody has touched for kSettleTime, and whose name is none of a
// temporary or a lock. Links are not followed and not told, nor is anything else that is no file.
//
// Threads: any; scanTree() blocks, a worker's job.
#ifndef ROOST_CACHE_TREE_LAYOUT_H_
#define ROOST_CACHE_TREE_LAYOUT_H_

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "cache/folder_scan.h"
#include "cache/roots.h"
#include "protocol/manifest.h"
#include "protocol/names.h"

namespace roost {

// A name that is no temporary's and no lock's, of a file or of a folder.
bool isTreeName(absl::string_view name);
// A path of which a tree may have a file: what peers send is not always one.
bool isTreePath(const RelativePath& path);
// Such paths alone, and within a tree's limits.
bool isTreeListing(const Listing& listing);

// The whole folder, with `contents` and `below`.
absl::StatusOr<RootScan> scanTree(const RootConfig& root, const HubOrigin& origin, absl::Time now);

// Adds what `one` lists in directories of which `all` has no file: no directory is ever mixed of
// two nodes. Leaves `all` as it was if paths contradict one another, or it would be no tree's list.
void addDirectories(Listing& all, const Listing& one);

}  // namespace roost

#endif  // ROOST_CACHE_TREE_LAYOUT_H_
