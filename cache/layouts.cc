#include "cache/layouts.h"

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "cache/datasets_layout.h"
#include "cache/flat_layout.h"
#include "cache/hub_layout.h"
#include "cache/pip_cache.h"
#include "cache/tree_layout.h"

namespace roost {

bool isReadable(Layout layout) {
  return layout == Layout::kHub || isReadAsAWhole(layout);
}

bool isReadAsAWhole(Layout layout) {
  return layout == Layout::kFlat || layout == Layout::kDatasets || layout == Layout::kTree;
}

bool takesArrivals(const RootConfig& root) {
  return root.write && root.layout == Layout::kHub && !root.names;
}

bool takesFinished(const RootConfig& root) {
  return root.write && (root.layout == Layout::kDatasets || root.layout == Layout::kTree);
}

std::string repoBase(const RootConfig& root, const RepoId& repo) {
  const bool noFolders = isReadAsAWhole(root.layout) || root.layout == Layout::kPip;
  return noFolders ? root.path : absl::StrCat(root.path, "/", repo.folder());
}

absl::StatusOr<RootScan> scanRoot(const RootConfig& root, const HubOrigin& origin) {
  if (root.layout == Layout::kPip) return scanPipRoot(root.path, origin);
  if (root.layout == Layout::kFlat) return scanFlat(root.path, origin);
  if (root.layout == Layout::kDatasets) return scanDatasets(root.path, root.share, origin);
  if (root.layout == Layout::kTree) return scanTree(root, origin, absl::Now());
  return scanRoot(root.path, origin);
}

}  // namespace roost
