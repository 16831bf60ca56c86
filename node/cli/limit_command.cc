#include <nlohmann/json.hpp>

#include "node/cli/commands.h"
#include "node/cli/document.h"
#include "node/cli/render.h"

namespace roost {

absl::StatusOr<ExitCode> run(const CliContext& context, const LimitCommand& command) {
  ROOST_ASSIGN_OR_RETURN(auto agent, connectAgent(context, command.output.agent));
  nlohmann::json arguments = nlohmann::json::object();
  if (command.upload) arguments["upload"] = *command.upload;
  if (command.download) arguments["download"] = *command.download;
  if (command.job) {
    arguments["job"] = command.job->id;
    arguments["job_rate"] = command.job->rate;
  }
  ROOST_ASSIGN_OR_RETURN(const nlohmann::json limits, agent->call("limit", arguments));
  context.print(command.output.json ? dumped(limits) + "\n"
                                    : renderLimits(limits, context.seams.out.style()));
  return ExitCode::kOk;
}

}  // namespace roost
