// `roost torrent`: .torrent files and magnet links of what this node shows of a repo, for clients
// outside the cluster. What was handed out stays in the swarm as long as the agent runs.
//
// Threads: `loop`.
#ifndef ROOST_NODE_TORRENT_COMMANDS_H_
#define ROOST_NODE_TORRENT_COMMANDS_H_

#include <boost/asio/awaitable.hpp>
#include <functional>
#include <nlohmann/json.hpp>
#include <vector>

#include "absl/status/statusor.h"
#include "node/folders.h"
#include "node/repo_query.h"
#include "node/resolver.h"
#include "node/swarms.h"

namespace roost {

class TorrentCommands {
 public:
  using Document = absl::StatusOr<nlohmann::json>;
  struct Seams {
    Folders& folders;
    Resolver& resolver;
    Swarms* swarms = nullptr;  // null: it is off
    // Where clients find this node's swarm.
    std::function<std::vector<Address>()> peers;
  };
  explicit TorrentCommands(Seams seams) : s_(std::move(seams)) {}

  // No revision: main, or the one commit that is here. kPermissionDenied: the agent lets nobody in,
  // or the repo is not public. kNotFound: this node shows nothing of it.
  boost::asio::awaitable<Document> make(RepoQuery query);

 private:
  absl::StatusOr<Listing> listingOf(const RepoQuery& query) const;
  boost::asio::awaitable<absl::Status> checkPublic(RepoQuery query) const;

  Seams s_;
};

}  // namespace roost

#endif  // ROOST_NODE_TORRENT_COMMANDS_H_
