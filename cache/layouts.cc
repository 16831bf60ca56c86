#include "cache/layouts.h"

#include "absl/strings/str_cat.h"
#include "cache/flat_layout.h"
#include "cache/hub_layout.h"

namespace roost {

bool isReadable(Layout layout) {
  return layout == Layout::kHub || layout == Layout::kFlat;
}

bool isReadAsAWhole(Layout layout) {
  return layout == Layout::kFlat;
}

bool takesArrivals(const RootConfig& root) {
  return root.write && root.layout == Layout::kHub;
}

std::string repoBase(const RootConfig& root, const RepoId& repo) {
  return isReadAsAWhole(root.layout) ? root.path : absl::StrCat(root.path, "/", repo.folder());
}

absl::StatusOr<RootScan> scanRoot(const RootConfig& root, const HubOrigin& origin) {
  return root.layout == Layout::kFlat ? scanFlat(root.path, origin) : scanRoot(root.path, origin);
}

}  // namespace roost
