// What the command line may ask of the wheels of the pip index (docs/reference/json.md): those that
// this node holds, who holds which, and to bring some into pip's own cache.
//
// Threads: `loop`. Errors: kInvalidArgument for malformed arguments; those of PipWheels.
#ifndef ROOST_NODE_PIP_COMMANDS_H_
#define ROOST_NODE_PIP_COMMANDS_H_

#include <boost/asio/awaitable.hpp>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cache/wheel_name.h"
#include "cache/work_pool.h"
#include "cluster/core.h"
#include "nlohmann/json_fwd.hpp"
#include "node/endpoint/pip_endpoint.h"
#include "node/folders.h"

namespace roost {

inline constexpr char kPipType[] = "pip";  // the argument "type"

class PipCommands {
 public:
  struct Seams {
    const Core& core;
    WorkPool& pool;
    Folders& folders;
    PipEndpoint& endpoint;
    std::optional<HubOrigin> index;  // none: it is off
    std::string cache;               // pip's own; empty: nobody knows where it is
  };
  using Document = absl::StatusOr<nlohmann::json>;
  explicit PipCommands(Seams seams) : s_(std::move(seams)) {}

  boost::asio::awaitable<Document> ls();
  // Arguments: "repo" NAME or NAME==VERSION.
  boost::asio::awaitable<Document> where(nlohmann::json arguments);
  // Besides: "include", "exclude", "files", "dry_run".
  boost::asio::awaitable<Document> warm(nlohmann::json arguments);

 private:
  using Names = std::map<BlobId, std::optional<WheelName>>;
  boost::asio::awaitable<Names> namesOf(std::vector<LocalCopy> copies);
  nlohmann::json namesOfNodes(const std::vector<NodeId>& nodes) const;
  nlohmann::json document(const PipWheel& wheel) const;

  Seams s_;
  Names names_;  // of what was held when somebody asked last; none: it is no wheel
};

}  // namespace roost

#endif  // ROOST_NODE_PIP_COMMANDS_H_
