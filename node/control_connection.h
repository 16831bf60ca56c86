// The command line's connection to an agent's Unix socket.
//
// Threads: one; call() blocks. Errors: kFailedPrecondition if no agent is there or it went away,
// kDeadlineExceeded, otherwise the agent's own status.
#ifndef ROOST_NODE_CONTROL_CONNECTION_H_
#define ROOST_NODE_CONTROL_CONNECTION_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "node/control.h"

namespace roost {

absl::StatusOr<std::unique_ptr<ControlClient>> connectControl(const std::string& address);

}  // namespace roost

#endif  // ROOST_NODE_CONTROL_CONNECTION_H_
