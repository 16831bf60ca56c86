// Whether an agent's endpoint is where it says, asked over HTTP: an address means something else in
// another network namespace, and another program may have the port.
//
// Threads: any; blocks for at most `timeout`.
#ifndef ROOST_NODE_CLI_ENDPOINT_CHECK_H_
#define ROOST_NODE_CLI_ENDPOINT_CHECK_H_

#include <string>

#include "absl/time/time.h"

namespace roost {

// `url`: http://ADDRESS:PORT. `node`: the id, in hex, that /livez must tell.
bool endpointIs(const std::string& url, const std::string& node, absl::Duration timeout);

}  // namespace roost

#endif  // ROOST_NODE_CLI_ENDPOINT_CHECK_H_
