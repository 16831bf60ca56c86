// Range expressions of host and node names, as Slurm writes them: "gpu-[001-128,130],login1".
//
// Threads: any (pure). Errors: kInvalidArgument with a sentence.
// Source: slurm.conf(5), "hostlist expressions": zero padding as in the first number, several
// brackets in a name, lists separated by commas.
#ifndef ROOST_NODE_HOST_RANGE_H_
#define ROOST_NODE_HOST_RANGE_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace roost {

// Cuts at commas that are not inside brackets. An unbalanced bracket or an empty part is refused.
absl::StatusOr<std::vector<std::string>> splitHostList(absl::string_view text);

// All names of one expression or of a list, in its order, each once; at most kMembersMax.
absl::StatusOr<std::vector<std::string>> expandHostRange(absl::string_view text);

}  // namespace roost

#endif  // ROOST_NODE_HOST_RANGE_H_
