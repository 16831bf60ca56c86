// trees/<commit>.json: the complete list of a commit's files, as huggingface_hub ≥ 1.33 caches it
// (huggingface_hub/_snapshot_download.py). It makes clients notice a partial snapshot, so it is
// only ever written from a complete manifest.
//
// Threads: any (values only).
#ifndef ROOST_CACHE_HUB_TREE_FILE_H_
#define ROOST_CACHE_HUB_TREE_FILE_H_

#include <optional>
#include <string>

#include "protocol/manifest.h"

namespace roost {

// The file's text; nullopt if the listing is not complete, or an LFS file's pointer or a file's
// hash is unknown.
std::optional<std::string> hubTreeText(const Listing& manifest);

}  // namespace roost

#endif  // ROOST_CACHE_HUB_TREE_FILE_H_
