// The form in which jobs are kept in the index: a running one goes on after a restart, a finished
// one is remembered with how it ended.
//
// Threads: any (values only). Errors: kInvalidArgument: not such a form.
#ifndef ROOST_CLUSTER_SAVED_JOBS_H_
#define ROOST_CLUSTER_SAVED_JOBS_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cluster/core.h"

namespace roost {

// Of a finished job the progress of its targets is kept as well; their names are not.
std::string encodeJob(const JobView& job, const NodeId& coordinator);
absl::StatusOr<JobView> decodeJob(absl::string_view bytes);

}  // namespace roost

#endif  // ROOST_CLUSTER_SAVED_JOBS_H_
