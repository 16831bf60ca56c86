// What the agent counts and measures, as Prometheus reads it (text format 0.0.4):
// https://prometheus.io/docs/instrumenting/exposition_formats/. Names: docs/reference/metrics.md.
//
// Threads: `loop`.
#ifndef ROOST_NODE_ENDPOINT_ENDPOINT_METRICS_H_
#define ROOST_NODE_ENDPOINT_ENDPOINT_METRICS_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/time/time.h"
#include "node/endpoint/hub_route.h"

namespace roost {

class EndpointMetrics {
 public:
  EndpointMetrics();
  ~EndpointMetrics();

  void request(HubRoute::Kind kind, int status);
  // A part inside a file that was not whole here, and how it was answered.
  enum class InnerPart {
    kProved,    // against the hashes of a node that has verified the whole
    kWaited,    // the whole came in time
    kPassedOn,  // it took too long: from the hub, which sends those bytes again
  };
  void innerPart(InnerPart how);
  // A file that the hub names by no hash passed through whole, and has its place on this node now;
  // or there was no room for it.
  void kept(bool isKept);

  enum class PipRequest { kProjects, kPage, kFile, kMetadata };
  void pipRequest(PipRequest kind, int status);
  enum class PipSource {
    kCache,  // sent to a client from a copy that was here
    kPeers,  // fetched from other nodes
    kIndex,  // fetched from the index, or passed on from it
  };
  void pipBytes(PipSource source, uint64_t bytes);

  // What others count or hold, at the moment of asking.
  struct Measures {
    uint64_t bytesFromHub = 0;    // since the start
    uint64_t bytesFromPeers = 0;  // payload
    uint64_t bytesCopied = 0;     // of these: over no link
    uint64_t bytesToPeers = 0;    // payload
    struct Swarm {
      uint64_t bytesIn = 0;  // of the two above: by the swarm
      uint64_t bytesOut = 0;
      size_t torrents = 0;
      size_t peers = 0;  // connections
    };
    std::optional<Swarm> swarm;  // none: it is off
    uint64_t blobs = 0;
    uint64_t blobBytes = 0;
    size_t readers = 0;  // clients that read what is still arriving
    size_t fetches = 0;
    size_t poisoned = 0;
    size_t nodes = 0;  // members that can be reached, this one among them
    absl::Duration hubRest;
  };
  std::string text(const Measures& now);

 private:
  struct Families;
  std::unique_ptr<Families> families_;
};

}  // namespace roost

#endif  // ROOST_NODE_ENDPOINT_ENDPOINT_METRICS_H_
