#include "cache/layouts.h"

#include "absl/strings/str_cat.h"
#include "cache/flat_layout.h"
#include "cache/hub_layout.h"
#include "cache/pip_cache.h"

namespace roost {

bool isReadable(Layout layout) {
  return layout == Layout::kHub || layout == Layout::kFlat;
}

bool isReadAsAWhole(Layout layout) {
  return layout == Layout::kFlat;
}

bool takesArrivals(const RootConfig& root) {
  return root.write && root.layout == Layout::kHub && !root.names;
}

std::string repoBase(const RootConfig& root, const RepoId& repo) {
  const bool noFolders = isReadAsAWhole(root.layout) || root.layout == Layout::kPip;
  return noFolders ? root.path : absl::StrCat(root.path, "/", repo.folder());
}

absl::StatusOr<RootScan> scanRoot(const RootConfig& root, const HubOrigin& origin) {
  if (root.layout == Layout::kPip) return scanPipRoot(root.path, origin);
  return root.layout == Layout::kFlat ? scanFlat(root.path, origin) : scanRoot(root.path, origin);
}

}  // namespace roost
