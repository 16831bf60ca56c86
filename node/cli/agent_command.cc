#include "node/cli/commands.h"

namespace roost {

absl::StatusOr<ExitCode> run(const CliContext& context, const AgentCommand& command) {
  ROOST_ASSIGN_OR_RETURN(const AgentConfig config,
                         loadConfig(command.arguments, context.environment, context.seams.host,
                                    context.seams.readFile));
  return static_cast<ExitCode>(context.seams.runAgent(config));
}

}  // namespace roost
