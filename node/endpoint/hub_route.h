// What a client of the hub API asks for, from the target of its request. What is no part of the API
// that is answered here is kOther: passed to the hub as it is.
//
// Threads: any (pure). The forms: huggingface_hub's own URLs, seen from its clients
// (docs/internals/clients.md). Names are parsed by the grammar of protocol/names.h; what does not
// match is kOther too, so that the hub says what is wrong with it.
#ifndef ROOST_NODE_ENDPOINT_HUB_ROUTE_H_
#define ROOST_NODE_ENDPOINT_HUB_ROUTE_H_

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "node/repo_query.h"
#include "protocol/names.h"

namespace roost {

struct HubRoute {
  enum class Kind {
    kFile,       // [TYPE/]ORG/NAME/resolve/REV/PATH
    kInfo,       // /api/TYPEs/ORG/NAME
    kRevision,   // /api/TYPEs/ORG/NAME/revision/REV
    kTree,       // /api/TYPEs/ORG/NAME/tree/REV[/PATH]
    kPathsInfo,  // POST /api/TYPEs/ORG/NAME/paths-info/REV
    kRefs,       // /api/TYPEs/ORG/NAME/refs
    kXetToken,   // /api/TYPEs/ORG/NAME/xet-read-token/REV; uploads may use Xet
    kHarnesses,  // /api/agent-harnesses
    kTelemetry,  // /api/telemetry/…
    kRoost,      // /roost/v1/…, /livez, /readyz, /metrics, /
    kOther,      // with `repo` where the target is of one
  };
  Kind kind = Kind::kOther;
  std::optional<RepoId> repo = std::nullopt;
  std::optional<Revision> revision = std::nullopt;  // of kFile, kRevision, kTree, kPathsInfo
  std::string path = {};  // kFile: of the file; kTree: of the folder, "" is the root; kRoost: all
  std::vector<std::pair<std::string, std::string>> query = {};  // decoded, in order

  // The last value of that key.
  const std::string* find(absl::string_view key) const;
  bool flag(absl::string_view key) const;  // "true", "True", "1"
};

HubRoute hubRoute(const HubOrigin& origin, absl::string_view method, absl::string_view target);

}  // namespace roost

#endif  // ROOST_NODE_ENDPOINT_HUB_ROUTE_H_
