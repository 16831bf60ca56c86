// The planner's word on the blobs of a repo, as documents show it: blobs with the same plan
// together.
//
// Threads: `loop` (it reads the core).
#ifndef ROOST_NODE_EXPLANATION_H_
#define ROOST_NODE_EXPLANATION_H_

#include <boost/asio/awaitable.hpp>

#include "cluster/core.h"
#include "nlohmann/json_fwd.hpp"

namespace roost {

// Gives way to others on `loop` now and then: repos have up to 200,000 files.
boost::asio::awaitable<nlohmann::json> explanation(const Core& core, const Listing& listing,
                                                   SourceRule rule);
nlohmann::json explanation(const Core& core, const BlobInfo& blob);

}  // namespace roost

#endif  // ROOST_NODE_EXPLANATION_H_
