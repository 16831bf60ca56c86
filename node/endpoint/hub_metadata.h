// The hub's JSON answers: of a repo, its trees, its branches.
//
// They come from the hub while it answers, cleaned of Xet, and are remembered for public repos:
// what stands under a commit for good, else for the branch TTL. While the hub does not answer, what
// is remembered or what any node holds is used, for those who may see it.
//
// Threads: `loop`. Everything given must outlive this. Memory: kHubAnswersBytesMax.
#ifndef ROOST_NODE_ENDPOINT_HUB_METADATA_H_
#define ROOST_NODE_ENDPOINT_HUB_METADATA_H_

#include <boost/asio/awaitable.hpp>
#include <optional>

#include "cluster/core.h"
#include "node/endpoint/hub_line.h"
#include "node/endpoint/hub_route.h"
#include "node/endpoint/public_word.h"
#include "node/endpoint/repo_access.h"
#include "node/endpoint/repo_names.h"

namespace roost {

class HubMetadata {
 public:
  HubMetadata(const Core& core, HubLine& hub, PublicWord& word, RepoAccess& access,
              RepoNames& names);

  // `route` is of a repo.
  boost::asio::awaitable<HttpAnswer> answer(HttpAsk ask, HubRoute route);

 private:
  boost::asio::awaitable<std::optional<PublicWord::Said>> askAnybody(HttpAsk ask, HubRoute route);
  bool isOutdated(const HubRoute& route, absl::Time at) const;
  boost::asio::awaitable<HttpResult> askAsClient(HttpAsk ask, HubRoute route,
                                                 std::optional<Token> token);
  HttpAnswer shown(const HttpAsk& ask, const RepoId& repo, const HttpResult& result,
                   bool stale) const;
  boost::asio::awaitable<HttpAnswer> fromCluster(HttpAsk ask, HubRoute route,
                                                 std::optional<Token> token);

  const Core& core_;
  HubLine& hub_;
  PublicWord& word_;
  RepoAccess& access_;
  RepoNames& names_;
};

}  // namespace roost

#endif  // ROOST_NODE_ENDPOINT_HUB_METADATA_H_
