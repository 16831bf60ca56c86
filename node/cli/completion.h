// Completions of commands, options, choices and repos for three shells, made from the same tables
// as the parser. Repos are asked of the agent with `roost ls -q`.
//
// Threads: any (pure).
#ifndef ROOST_NODE_CLI_COMPLETION_H_
#define ROOST_NODE_CLI_COMPLETION_H_

#include <string>
#include <vector>

#include "node/cli/command_line.h"

namespace roost {

std::string completionScript(Shell shell, const std::vector<CommandShape>& commands);

}  // namespace roost

#endif  // ROOST_NODE_CLI_COMPLETION_H_
