// The pip index as this node's clients see it, below /pip/:
//   /pip/simple/                        the list of projects: the index's own
//   /pip/simple/PROJECT/                HTML or JSON, with our addresses for the files
//   /pip/files/PROJECT/SHA256/NAME      a file that the page names, verified
//   /pip/files/PROJECT/SHA256/NAME.metadata
//   /pip/files/PROJECT/-/NAME           one that the index names by no sha256: passed on as it is
// A file is a blob: from this node, from peers, or from the index on behalf of all.
//
// Threads: `loop`, but handle() from any. Everything given must outlive this.
#ifndef ROOST_NODE_ENDPOINT_PIP_ENDPOINT_H_
#define ROOST_NODE_ENDPOINT_PIP_ENDPOINT_H_

#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "cluster/core.h"
#include "node/endpoint/blob_readings.h"
#include "node/endpoint/http_values.h"
#include "node/folders.h"
#include "node/peer_question.h"
#include "node/pip_index.h"

namespace roost {

// What a request below /pip/ asks for.
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
  };
  // `shares`: pages and files are other nodes' too; otherwise files pass through, and are not kept.
  PipEndpoint(Seams seams, bool shares);
  ~PipEndpoint();

  void handle(HttpAsk ask, PipRoute route, std::function<void(HttpAnswer)> done);
  // A peer asks for a page. False: it is none of these questions.
  bool asked(const HubQuestionRequest& question, const PeerAnswer& answer);
  void stop();

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace roost

#endif  // ROOST_NODE_ENDPOINT_PIP_ENDPOINT_H_
