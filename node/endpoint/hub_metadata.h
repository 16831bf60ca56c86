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
#include <list>
#include <map>
#include <optional>
#include <string>

#include "cluster/core.h"
#include "node/endpoint/hub_line.h"
#include "node/endpoint/hub_route.h"
#include "node/endpoint/repo_access.h"
#include "node/endpoint/repo_names.h"

namespace roost {

class HubMetadata {
 public:
  HubMetadata(const Core& core, HubLine& hub, RepoAccess& access, RepoNames& names,
              absl::Duration refTtl);

  // `route` is of a repo.
  boost::asio::awaitable<HttpAnswer> answer(HttpAsk ask, HubRoute route);
  // Somebody wrote to the repo through this agent.
  void forget(const RepoId& repo);

 private:
  struct Kept {
    std::string body;
    HttpHeaders headers;
    absl::Time at;
  };
  HttpAnswer said(const HttpAsk& ask, const HubRoute& route, const HttpResult& result,
                  const std::optional<Token>& token, const std::string& key);
  static HttpAnswer keptAnswer(const Kept& kept, bool stale);
  void keep(const std::string& key, Kept answer);
  void drop(std::string key);
  boost::asio::awaitable<HttpAnswer> fromCluster(HttpAsk ask, HubRoute route,
                                                 std::optional<Token> token);

  const Core& core_;
  HubLine& hub_;
  RepoAccess& access_;
  RepoNames& names_;
  const absl::Duration refTtl_;
  std::map<std::string, Kept> kept_;
  std::list<std::string> keptOrder_;
  size_t keptBytes_ = 0;
};

}  // namespace roost

#endif  // ROOST_NODE_ENDPOINT_HUB_METADATA_H_
