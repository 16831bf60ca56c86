// trees/<commit>.json of huggingface_hub ≥ 1.33: the complete list of a repo's files at a commit.
//   {"format_version": 1,
//    "files": {"config.json":       {"size": 176, "blob_id": "<git sha1>"},
//              "model.safetensors": {"size": …, "blob_id": "<git sha1 of the pointer>",
//                                    "lfs_sha256": "<sha256>", "lfs_size": …}}}
//
// Threads: any (values only). Bounded memory: no tree of JSON values is built.
#ifndef ROOST_CACHE_TREE_JSON_H_
#define ROOST_CACHE_TREE_JSON_H_

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "protocol/manifest.h"

namespace roost {

// A manifest (complete = true). kInvalidArgument for anything else than the above: another
// format_version, a path or hash that is none, a path that stands twice, a missing size, too many
// files. Keys that we don't know are passed over.
absl::StatusOr<Listing> parseTreeJson(absl::string_view text, const RepoId& repo,
                                      const Commit& commit);

}  // namespace roost

#endif  // ROOST_CACHE_TREE_JSON_H_
