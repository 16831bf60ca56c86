// The whole command line: words in, exit code out.
//
// Threads: one. Errors: printed to seams.err as one sentence; the exit code is that of design and
// docs/reference/cli.md.
#ifndef ROOST_NODE_CLI_CLI_H_
#define ROOST_NODE_CLI_CLI_H_

#include <string>
#include <vector>

#include "node/cli/seams.h"
#include "node/environment.h"

namespace roost {

// `words` are the arguments without the program's name.
int cliMain(const std::vector<std::string>& words, const Environment& environment,
            const CliSeams& seams);

}  // namespace roost

#endif  // ROOST_NODE_CLI_CLI_H_
