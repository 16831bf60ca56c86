// The hub's API as this node's clients see it: finds out what a request asks for, and gives it to
// who answers that: metadata (hub_metadata.h), files (hub_files.h), the hub itself (hub_line.h).
//
// Threads: `loop`, but handle() from any. Everything given must outlive this.
#ifndef ROOST_NODE_ENDPOINT_HUB_ENDPOINT_H_
#define ROOST_NODE_ENDPOINT_HUB_ENDPOINT_H_

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>
#include <string>

#include "cluster/core.h"
#include "cluster/transfers.h"
#include "node/endpoint/blob_readings.h"
#include "node/endpoint/endpoint_metrics.h"
#include "node/endpoint/hub_proxy.h"
#include "node/endpoint/representations_api.h"
#include "node/folders.h"
#include "node/peer_question.h"
#include "node/resolver.h"
#include "protocol/limits.h"

namespace roost {

class HubEndpoint {
 public:
  struct Seams {
    boost::asio::io_context& io;  // of `loop`
    WorkPool& pool;
    const Core& core;
    std::shared_ptr<Reservations> reservations;
    Folders& folders;
    Resolver& resolver;
    BlobReadings& readings;
    HubProxy* proxy;  // null: no hub
    HubRest& rest;
    RepresentationsApi* representations;
    HubOrigin origin;
    std::string agentUrl;  // for clients that send no Host
    std::function<void(const RepoId&, Visibility)> learnt;
    PeerCall call;
    std::function<std::string()> statusJson;
    std::function<EndpointMetrics::Measures()> measures;
    EndpointMetrics& metrics;
  };
  struct Options {
    absl::Duration refTtl = absl::Seconds(60);
    absl::Duration authGrace = absl::Hours(24);
    bool publish = true;
    uint64_t knownSizeMax = kHttpFileBytesMax;  // large_files.h
  };
  HubEndpoint(Seams seams, Options options);
  ~HubEndpoint();

  void handle(HttpAsk ask, std::function<void(HttpAnswer)> done);
  // A blob that was fetched is here: if a client asked for it, it is shown in the snapshot too.
  void landed(const LandedBlob& blob);
  // A peer asks this node as its envoy to the hub.
  void asked(const HubQuestionRequest& question, PeerAnswer answer);
  // A client's token that the hub accepted for this repo, for downloads on its behalf; null: none.
  TokenSource tokenFor(const RepoId& repo) const;
  void stop();

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace roost

#endif  // ROOST_NODE_ENDPOINT_HUB_ENDPOINT_H_
