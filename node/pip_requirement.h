// What people type for wheels, NAME or NAME==VERSION, and what the name of a wheel's file says
// (PEP 427).
//
// Threads: any (pure). Errors: kInvalidArgument with a sentence.
#ifndef ROOST_NODE_PIP_REQUIREMENT_H_
#define ROOST_NODE_PIP_REQUIREMENT_H_

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace roost {

struct PipRequirement {
  std::string project;  // normalised
  std::string version;  // as typed; empty: any

  std::string toString() const { return version.empty() ? project : project + "==" + version; }
};

absl::StatusOr<PipRequirement> parsePipRequirement(absl::string_view text);

// The version in "leaf-1.0-py3-none-any.whl"; none: that is no wheel's name.
std::optional<std::string> versionOfWheel(absl::string_view file);

// "1.0" is 1.0.0 and V1, and any 1.0+local; with a local part only that (PEP 440, of releases that
// are written the usual way).
bool isVersion(absl::string_view wanted, absl::string_view version);

}  // namespace roost

#endif  // ROOST_NODE_PIP_REQUIREMENT_H_
