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

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cache/folder_scan.h"
#include "protocol/names.h"

namespace roost {

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
