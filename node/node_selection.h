// Which nodes an order is for: all | self | NAME,gpu-[001-128],zone=a.
//
// Threads: any (pure). Errors: kInvalidArgument with a sentence.
#ifndef ROOST_NODE_NODE_SELECTION_H_
#define ROOST_NODE_NODE_SELECTION_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace roost {

// The union of what is named. `names` are labels or NodeIds in hex, ranges expanded.
struct NodeSelection {
  bool all = false;
  bool self = false;
  std::vector<std::string> names;
  std::vector<std::string> zones;

  static absl::StatusOr<NodeSelection> parse(absl::string_view text);
  // The same as terms, each of which parse() accepts: how a selection travels.
  std::vector<std::string> terms() const;
  friend bool operator==(const NodeSelection&, const NodeSelection&) = default;
};

}  // namespace roost

#endif  // ROOST_NODE_NODE_SELECTION_H_
