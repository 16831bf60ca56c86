// The pip index as this node's clients see it (pip_route.h): pages in both forms with our addresses
// for the files, and the files that they name. A file is a blob: from this node, from peers, or
// from the index on behalf of all.
//
// Threads: `loop`, but handle() from any. Everything given must outlive this.
#ifndef ROOST_NODE_ENDPOINT_PIP_ENDPOINT_H_
#define ROOST_NODE_ENDPOINT_PIP_ENDPOINT_H_

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "cluster/core.h"
#include "node/endpoint/blob_readings.h"
#include "node/endpoint/endpoint_metrics.h"
#include "node/endpoint/http_values.h"
#include "node/endpoint/pip_index.h"
#include "node/endpoint/pip_route.h"
#include "node/endpoint/pip_wheels.h"
#include "node/folders.h"
#include "node/peer_question.h"

namespace roost {

class PipEndpoint {
 public:
  struct Seams {
    boost::asio::io_context& io;  // of `loop`
    WorkPool& pool;
    const Core& core;
    Folders& folders;
    BlobReadings& readings;
    PipIndex* index;  // null: off
    HubOrigin origin;
    PeerCall call;
    std::string pagesFolder;
    EndpointMetrics& metrics;
    std::shared_ptr<Reservations> reservations;
    std::string pipCache;  // pip's own; empty: nobody knows where it is
  };
  // `shares`: pages and files are other nodes' too; otherwise files pass through, and are not kept.
  PipEndpoint(Seams seams, bool shares);
  ~PipEndpoint();

  void handle(HttpAsk ask, PipRoute route, std::function<void(HttpAnswer)> done);
  // A peer asks for a page. False: it is none of these questions.
  bool asked(const HubQuestionRequest& question, const PeerAnswer& answer);
  // pip_wheels.h; kInvalidArgument too if the index is off, or nothing of it is kept here.
  boost::asio::awaitable<absl::StatusOr<std::vector<PipWheel>>> findWheels(PipOrder order);
  boost::asio::awaitable<absl::StatusOr<PipBrought>> bringWheel(PipWheel wheel);
  void stop();

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace roost

#endif  // ROOST_NODE_ENDPOINT_PIP_ENDPOINT_H_
