// `roost limit`: what this agent and its jobs may take of the network, shown and changed.
//
// Threads: `loop`. Errors: kInvalidArgument; kNotFound: no such job.
#ifndef ROOST_NODE_LIMIT_COMMANDS_H_
#define ROOST_NODE_LIMIT_COMMANDS_H_

#include <cstdint>
#include <functional>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cluster/core.h"
#include "cluster/rate_limit.h"
#include "nlohmann/json_fwd.hpp"

namespace roost {

// All must outlive the commands; null: this agent has no limits.
struct LimitSeams {
  RateLimit* uploads = nullptr;
  RateLimit* downloads = nullptr;
  std::function<void(uint64_t job, uint64_t bytesPerSecond)> limitJob = nullptr;
};

// Changes what the arguments name (all of it or, if one is wrong, nothing), and says how it is
// then.
absl::StatusOr<nlohmann::json> limit(const LimitSeams& seams, const Core& core, absl::Time now,
                                     const nlohmann::json& arguments);
// An optional rate of an order. 0: there is none.
absl::StatusOr<uint64_t> rateIn(const nlohmann::json& arguments, const char* key);

}  // namespace roost

#endif  // ROOST_NODE_LIMIT_COMMANDS_H_
