// The agent: the one function that builds everything, top down, and runs it until a signal.
//
// Threads: the caller's becomes `loop`. Returns an exit code; failures to start are told on stderr.
#ifndef ROOST_NODE_AGENT_H_
#define ROOST_NODE_AGENT_H_

#include "node/config.h"

namespace roost {

int runAgent(const AgentConfig& config);

}  // namespace roost

#endif  // ROOST_NODE_AGENT_H_
