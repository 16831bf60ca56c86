// Many values of representations in one body: 8 bytes length of a JSON header (little endian), the
// header, the values one after the other (docs/reference/representations.md). And the JSON of the
// other questions about many.
//
// Threads: any (pure). What is parsed points into the body, which must outlive it. Errors:
// kInvalidArgument with what is wrong.
#ifndef ROOST_NODE_ENDPOINT_REPRESENTATION_BUNDLE_H_
#define ROOST_NODE_ENDPOINT_REPRESENTATION_BUNDLE_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "node/representations.h"

namespace roost {

struct BundleEntry {
  absl::string_view provenance;  // JSON; empty: the value's own counts
  absl::string_view value;
};
absl::StatusOr<std::vector<BundleEntry>> parseBundle(absl::string_view body);

std::string bundleOf(const Representations::GotMany& got);

// {"keys": […]}, and what else belongs to a question for a lease.
absl::StatusOr<std::vector<RepresentationKey>> parseKeys(absl::string_view json);
absl::StatusOr<ComputeLeaseRequest> parseLease(absl::string_view json);

// ["key", …]
void appendKeys(absl::Span<const RepresentationKey> keys, std::string& to);

}  // namespace roost

#endif  // ROOST_NODE_ENDPOINT_REPRESENTATION_BUNDLE_H_
