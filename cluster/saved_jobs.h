// The form in which a job's order is kept in the index, so that the job goes on after a restart.
//
// Threads: any (values only). Errors: kInvalidArgument: not such a form.
#ifndef ROOST_CLUSTER_SAVED_JOBS_H_
#define ROOST_CLUSTER_SAVED_JOBS_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cluster/core.h"

namespace roost {

std::string encodeJob(const JobOrder& order, const NodeId& coordinator);
absl::StatusOr<JobOrder> decodeJob(absl::string_view bytes);

}  // namespace roost

#endif  // ROOST_CLUSTER_SAVED_JOBS_H_
