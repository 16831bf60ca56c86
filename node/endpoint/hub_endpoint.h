// The hub's API as this node's clients see it: which commit a name is, which files it has, and
// their bytes, from this node, from peers, or from the hub on behalf of all.
//
// Metadata comes from the hub while it answers, under the client's own token, and is remembered:
// what stands under a commit for good, a branch for its TTL. While the hub does not answer, what is
// remembered or what any node holds is used, for those who may see it (access.h). A failure of the
// hub never becomes a 404: clients would remember that the file does not exist.
//
// Threads: `loop`, but handle() from any. Everything given must outlive this.
#ifndef ROOST_NODE_ENDPOINT_HUB_ENDPOINT_H_
#define ROOST_NODE_ENDPOINT_HUB_ENDPOINT_H_

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "cluster/core.h"
#include "cluster/transfers.h"
#include "node/endpoint/access.h"
#include "node/endpoint/blob_readings.h"
#include "node/endpoint/byte_range.h"
#include "node/endpoint/hub_proxy.h"
#include "node/endpoint/hub_route.h"
#include "node/folders.h"
#include "node/resolver.h"

namespace roost {

class HubEndpoint {
 public:
  struct Seams {
    boost::asio::io_context& io;  // of `loop`
    WorkPool& pool;
    const Core& core;
    Folders& folders;
    Resolver& resolver;
    BlobReadings& readings;
    HubProxy* proxy;  // null: no hub
    HubOrigin origin;
    std::string agentUrl;  // for clients that send no Host
    std::function<void(const RepoId&, Visibility)> learnt;
    std::function<std::string()> statusJson;
  };
  struct Options {
    absl::Duration refTtl = absl::Seconds(60);
    absl::Duration authGrace = absl::Hours(24);
    bool publish = true;
  };
  HubEndpoint(Seams seams, Options options);
  ~HubEndpoint();

  void handle(HttpAsk ask, std::function<void(HttpAnswer)> done);
  // A blob that was fetched is here: if a client asked for it, it is shown in the snapshot too.
  void landed(const LandedBlob& blob);
  // A client's token that the hub accepted for this repo, for downloads on its behalf; null: none.
  TokenSource tokenFor(const RepoId& repo) const;
  void stop();

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace roost

#endif  // ROOST_NODE_ENDPOINT_HUB_ENDPOINT_H_
