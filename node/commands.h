// What the command line may ask of this agent: each method takes a JSON document and gives one
// (docs/reference/json.md).
//
// Threads: `loop`. Errors: kInvalidArgument for malformed arguments; those of the resolver;
// kNotFound.
#ifndef ROOST_NODE_COMMANDS_H_
#define ROOST_NODE_COMMANDS_H_

#include <boost/asio/awaitable.hpp>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cluster/core.h"
#include "nlohmann/json_fwd.hpp"
#include "node/documents.h"
#include "node/folders.h"
#include "node/limit_commands.h"
#include "node/repo_query.h"
#include "node/resolver.h"

namespace roost {

class PipCommands;
class Representations;
class TorrentCommands;

class Commands {
 public:
  struct Seams {
    const Core& core;
    Folders& folders;
    Resolver& resolver;
    HubOrigin origin;  // of names that people type
    std::function<absl::Time()> now;
    // Accepts the order and says its number.
    std::function<uint64_t(JobOrder)> order;
    std::function<void(uint64_t)> cancel;
    std::function<std::vector<Problem>()> problems;
    std::function<std::string()> endpointUrl = nullptr;  // for clients; null: none is served
    std::string pipIndex = {};  // the one that /pip/simple/ stands for; empty: it is off
    Representations* representations = nullptr;            // null: there are none
    std::function<PipCommands*()> pip = nullptr;           // null: none
    std::function<TorrentCommands*()> torrents = nullptr;  // null: none
    LimitSeams limits = {};
  };
  explicit Commands(Seams seams) : s_(std::move(seams)) {}

  boost::asio::awaitable<absl::StatusOr<std::string>> call(std::string method,
                                                           std::string arguments);

 private:
  using Document = absl::StatusOr<nlohmann::json>;
  boost::asio::awaitable<Document> ofWheels(std::string method, nlohmann::json arguments);
  boost::asio::awaitable<Document> torrent(const nlohmann::json& arguments) const;
  Document where(const nlohmann::json& arguments) const;
  boost::asio::awaitable<Document> explain(const nlohmann::json& arguments) const;
  Document ls() const;
  nlohmann::json trees() const;
  absl::Status nameTree(RepoQuery& query) const;
  boost::asio::awaitable<Document> representations() const;
  Document evict(const nlohmann::json& arguments) const;
  boost::asio::awaitable<Document> warmRepresentations(const nlohmann::json& arguments) const;
  Document job(const nlohmann::json& arguments) const;
  Document cancel(const nlohmann::json& arguments);
  boost::asio::awaitable<void> becomeAcquainted() const;
  boost::asio::awaitable<Document> warm(const nlohmann::json& arguments, bool get);
  boost::asio::awaitable<Document> verify(const nlohmann::json& arguments);
  nlohmann::json plan(const JobOrder& order) const;
  bool writesWhere(const NodeId& a, const NodeId& b) const;
  nlohmann::json withSnapshot(nlohmann::json document, const JobOrder& order) const;
  absl::StatusOr<std::vector<NodeId>> targets(const nlohmann::json& arguments) const;

  Seams s_;
};

}  // namespace roost

#endif  // ROOST_NODE_COMMANDS_H_
