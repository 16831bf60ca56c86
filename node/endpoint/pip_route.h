// What the agent answers below /pip/:
//   /pip/simple/                        the list of projects: the index's own
//   /pip/simple/PROJECT/                HTML or JSON, with our addresses for the files
//   /pip/files/PROJECT/SHA256/NAME      a file that the page names, verified
//   /pip/files/PROJECT/SHA256/NAME.metadata
//   /pip/files/PROJECT/-/NAME           one that the index names by no sha256: passed on as it is
//
// Threads: any (pure).
#ifndef ROOST_NODE_ENDPOINT_PIP_ROUTE_H_
#define ROOST_NODE_ENDPOINT_PIP_ROUTE_H_

#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace roost {

// Behind the name of a file: what PEP 658 puts beside it.
inline constexpr char kMetadataSuffix[] = ".metadata";

struct PipRoute {
  enum class Kind { kProjects, kPage, kFile } kind;
  std::string project = {};  // normalised
  bool exact = true;         // false: the same page has another address
  std::string sha256 = {};   // of a file; "-": none
  std::string name = {};     // without ".metadata"
  bool metadata = false;
};
// None: the hub's. Repos of a user "pip" have other addresses.
std::optional<PipRoute> pipRoute(absl::string_view target);

}  // namespace roost

#endif  // ROOST_NODE_ENDPOINT_PIP_ROUTE_H_
