// What the hub's API answers say, parsed without building a document: a page of 256 MiB costs its
// own size and the entries, not a tree of nodes. Unknown fields are skipped; known ones are strict.
//
// Threads: any (pure functions).
// Errors: kInternal with a sentence that names the entry: a hub that says this cannot be used.
#ifndef ROOST_CLUSTER_HUB_JSON_H_
#define ROOST_CLUSTER_HUB_JSON_H_

#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "protocol/manifest.h"
#include "protocol/names.h"

namespace roost {

// GET /api/{models,datasets,spaces}/{id}/revision/{rev}
struct RevisionAnswer {
  Commit commit;
  Visibility visibility = Visibility::kUnknown;
  std::vector<RelativePath> paths;  // "siblings", in the hub's order
};
absl::StatusOr<RevisionAnswer> parseHubRevision(absl::string_view json);

// GET …/tree/{commit}?recursive=true: the files of one page, in the hub's order (folders are left
// out). LFS files are named by their sha256, with the pointer's git object beside it; others by
// their git object.
struct TreePage {
  std::vector<FileEntry> files;
  size_t entries = 0;  // folders too
};
absl::StatusOr<TreePage> parseTreePage(absl::string_view json);

}  // namespace roost

#endif  // ROOST_CLUSTER_HUB_JSON_H_
