// Whether a request comes from a person or a program of this node: a page in a browser that had its
// own name pointed here (DNS rebinding), or that asks from elsewhere, is told nothing.
//
// Threads: any (pure).
#ifndef ROOST_NODE_ENDPOINT_LOCAL_CALLERS_H_
#define ROOST_NODE_ENDPOINT_LOCAL_CALLERS_H_

#include <optional>

#include "node/endpoint/http_values.h"

namespace roost {

// The answer to all others.
std::optional<HttpAnswer> refusedToOthers(const HttpAsk& ask);

}  // namespace roost

#endif  // ROOST_NODE_ENDPOINT_LOCAL_CALLERS_H_
