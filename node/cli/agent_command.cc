#include <sys/resource.h>

#include <algorithm>

#include "node/cli/commands.h"

namespace roost {
namespace {

// The usual 1,024 descriptors are fewer than the connections that are served at once.
void allowDescriptors() {
  constexpr rlim_t kWanted = 65'536;
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= kWanted) return;
  limit.rlim_cur = limit.rlim_max == RLIM_INFINITY ? kWanted : std::min(kWanted, limit.rlim_max);
  (void)::setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace

absl::StatusOr<ExitCode> run(const CliContext& context, const AgentCommand& command) {
  ROOST_ASSIGN_OR_RETURN(const AgentConfig config,
                         loadConfig(command.arguments, context.environment, context.seams.host,
                                    context.seams.readFile));
  allowDescriptors();
  return static_cast<ExitCode>(context.seams.runAgent(config));
}

}  // namespace roost
