// What the command line asks of an agent. The documents that go in and out are the stable schemas
// of docs/reference/json.md; on the wire they are the Control interface of roost.capnp.
//
// Threads: one. call() blocks until the answer is there.
// Errors:  the agent's own status and sentence (codes: protocol/errors.h); kFailedPrecondition if
//          the agent cannot be reached or went away; kDeadlineExceeded if it does not answer.
#ifndef ROOST_NODE_CONTROL_H_
#define ROOST_NODE_CONTROL_H_

#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace roost {

// Methods and their documents: "status", "where", "ls", "warm", "get", "job", "jobs", "cancel",
// "verify", "env", "version".
class ControlClient {
 public:
  virtual ~ControlClient() = default;
  virtual absl::StatusOr<nlohmann::json> call(absl::string_view method,
                                              const nlohmann::json& arguments) = 0;
};

// Connects to the agent at `address`, the path of its socket. kFailedPrecondition: none is there;
// its sentence says so, why, and how to start one.
using ControlConnector =
    std::function<absl::StatusOr<std::unique_ptr<ControlClient>>(const std::string& address)>;

}  // namespace roost

#endif  // ROOST_NODE_CONTROL_H_
