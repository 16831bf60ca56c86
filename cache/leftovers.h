// What a killed agent left behind: temporaries in blobs/ folders, and journals without one.
//
// Threads: any; blocking. Errors: errnoStatus().
#ifndef ROOST_CACHE_LEFTOVERS_H_
#define ROOST_CACHE_LEFTOVERS_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cache/safe_dir.h"
#include "protocol/node_id.h"

namespace roost {

// Removes this node's temporaries from a blobs/ folder that no journal stands for and that were not
// written for `age`; those in use by a writer stay. Returns how many. For the start of the agent.
absl::StatusOr<int> removeStaleTemporaries(const SafeDir& folder, const NodeId& node,
                                           const std::string& journalFolder, absl::Duration age);

// Removes journals whose temporary is gone. Returns how many. For the start, before any writer.
absl::StatusOr<int> removeOrphanJournals(const std::string& journalFolder, const NodeId& node);

// The first, for every repo of a hub cache. What cannot be read is left alone.
void removeLeftovers(const std::string& hubCache, const NodeId& node,
                     const std::string& journalFolder, absl::Duration age);

}  // namespace roost

#endif  // ROOST_CACHE_LEFTOVERS_H_
