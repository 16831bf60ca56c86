// The JSON documents that the agent gives to the command line (and later to HTTP):
// docs/reference/json.md.
//
// Threads: `loop` (they read the core). Values only; no I/O.
#ifndef ROOST_NODE_DOCUMENTS_H_
#define ROOST_NODE_DOCUMENTS_H_

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "cluster/core.h"
#include "nlohmann/json_fwd.hpp"

namespace roost {

// A thing that is wrong on this node, and the fix.
struct Problem {
  std::string what;
  std::string why;
  std::string fix;
};

nlohmann::json statusDocument(const Core& core, const std::vector<Problem>& problems,
                              absl::Time now);
nlohmann::json jobDocument(const JobView& job);
nlohmann::json jobsDocument(const std::vector<JobView>& jobs);
// Who holds a repo: all commits, or one.
nlohmann::json whereDocument(const Core& core, const RepoId& repo,
                             const std::optional<Commit>& commit);
nlohmann::json whereDocument(const Core& core, const BlobId& blob);

// As people call the node; of one that is not known, the beginning of its id.
std::string nameOf(const Core& core, const NodeId& id);

// RFC 3339 in UTC with milliseconds.
std::string timeText(absl::Time time);

}  // namespace roost

#endif  // ROOST_NODE_DOCUMENTS_H_
