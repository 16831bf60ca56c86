// Where layouts plug in: how a root of any layout is read.
//
// A layout either gives each repo a folder of its own (hub), which is then scanned and watched by
// itself, or is read as a whole (flat, datasets, tree), because all repos lie in one folder or are
// few: scanRoot() of it brings the contents along. A new layout is a line in each of these
// functions, and a module that makes folder_scan.h's values; if it is watched by other names than
// the hub's, one more kind in Watcher.
//
// Threads: any; scanRoot() blocks, a worker's job.
#ifndef ROOST_CACHE_LAYOUTS_H_
#define ROOST_CACHE_LAYOUTS_H_

#include <string>

#include "absl/status/statusor.h"
#include "cache/folder_scan.h"
#include "cache/roots.h"
#include "protocol/names.h"

namespace roost {

// This version has a module for it.
bool isReadable(Layout layout);

bool isReadAsAWhole(Layout layout);

// Repos of a hub that arrive may be written there; what no hub has is staged there.
bool takesArrivals(const RootConfig& root);
bool takesFinished(const RootConfig& root);

// Where the places of a repo's copies start: its folder, or the root itself.
std::string repoBase(const RootConfig& root, const RepoId& repo);

// kNotFound if there is no such folder, kPermissionDenied if it cannot be read.
absl::StatusOr<RootScan> scanRoot(const RootConfig& root, const HubOrigin& origin);

}  // namespace roost

#endif  // ROOST_CACHE_LAYOUTS_H_
