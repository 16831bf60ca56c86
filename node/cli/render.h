// Documents of docs/reference/json.md as people read them. Each function: a document in, lines out.
//
// Threads: any (pure).
#ifndef ROOST_NODE_CLI_RENDER_H_
#define ROOST_NODE_CLI_RENDER_H_

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "node/cli/text.h"

namespace roost {

// Above this many nodes, status shows counts and the slowest nodes only.
inline constexpr size_t kNodesListedMax = 20;
inline constexpr size_t kSlowestListed = 5;

std::string renderStatus(const nlohmann::json& status, const TextStyle& style, bool allNodes);
std::string renderWhere(const nlohmann::json& where, const TextStyle& style);
// The "plans" of a where document: which lane and whom this node would use, and why.
std::string renderPlans(const nlohmann::json& where, const TextStyle& style);
std::string renderLimits(const nlohmann::json& limits, const TextStyle& style);
std::string renderLs(const nlohmann::json& ls, const TextStyle& style);
std::string renderRepresentations(const nlohmann::json& held, const TextStyle& style);
// Of ls and of an order; with what became of each, if they were ordered.
std::string renderWheels(const nlohmann::json& document, const TextStyle& style);
std::string renderVerify(const nlohmann::json& verify, const TextStyle& style);
std::string renderPlan(const nlohmann::json& plan, const TextStyle& style);

// One line: "WARM #12 org/model → gpu-03  ━━━╺━━━ 61 %  1.1 GB/s  from gpu-01  0:42 left".
std::string renderProgress(const nlohmann::json& job, const TextStyle& style);
// The job, and a line for each node.
std::string renderJob(const nlohmann::json& job, const TextStyle& style);
// A line for each job.
std::string renderJobs(const nlohmann::json& jobs, const TextStyle& style);

}  // namespace roost

#endif  // ROOST_NODE_CLI_RENDER_H_
