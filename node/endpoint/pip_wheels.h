// Brings wheels into pip's own cache on this node: pip then takes them from there, whatever index
// it is set to, as long as that names the same addresses (cache/pip_entry.h). What is written is
// what the index's page says: the address of a file, and the sha256 of its content.
//
// Threads: `loop`; files on work threads. Everything given must outlive this. Errors: kNotFound the
// index has no such wheels, or nobody holds one; kUnavailable; kInvalidArgument;
// kResourceExhausted, kDataLoss and others of the file.
#ifndef ROOST_NODE_ENDPOINT_PIP_WHEELS_H_
#define ROOST_NODE_ENDPOINT_PIP_WHEELS_H_

#include <boost/asio/awaitable.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cache/disk_space.h"
#include "cluster/core.h"
#include "node/endpoint/blob_readings.h"
#include "node/endpoint/pip_page.h"
#include "node/endpoint/pip_pages.h"
#include "node/folders.h"
#include "node/loop_timers.h"
#include "node/pip_requirement.h"

namespace roost {

inline constexpr size_t kPipOrderWheelsMax = 500;  // that one order brings: they come one by one

// Of what matches: without `include` and `files` the wheels that some node holds; with them those
// that they name, wherever they are.
struct PipOrder {
  PipRequirement what;
  std::vector<std::string> include;
  std::vector<std::string> exclude;
  std::vector<std::string> files;
};

// A wheel that the index names by a sha256.
struct PipWheel {
  std::string project;
  std::string version;
  PipFile file;
  std::vector<NodeId> holders;
  bool indexAway = false;  // it did not answer: the page is an older one
};

struct PipBrought {
  enum class From : uint8_t {
    kCache,  // pip had it already
    kHere,   // this node held it, but not where pip looks
    kPeers,  // other nodes held it
    kIndex,  // nobody did
  } from = From::kCache;
  uint64_t bytes = 0;  // of the wheel
};

// Of a file of the index, as a blob's. None if its name is no path.
std::optional<BlobSite> pipSite(const HubOrigin& origin, const std::string& project,
                                const std::string& name, std::string url);

class PipWheels {
 public:
  struct Seams {
    WorkPool& pool;
    const Core& core;
    Folders& folders;
    BlobReadings& readings;
    PipPages& pages;
    LoopTimers& timers;
    HubOrigin origin;
    std::shared_ptr<Reservations> reservations;
    std::string cache;  // pip's; empty: nobody knows where it is
    // Of a file at a URL; the page may say it.
    std::function<boost::asio::awaitable<absl::StatusOr<uint64_t>>(BlobId, std::optional<uint64_t>,
                                                                   std::string)>
        sizeOf;
    std::function<bool()> stopped;
  };
  explicit PipWheels(Seams seams) : s_(std::move(seams)) {}

  // In the order of the page; at least one.
  boost::asio::awaitable<absl::StatusOr<std::vector<PipWheel>>> find(PipOrder order);
  // Into pip's cache, with the metadata beside it if that can be had.
  boost::asio::awaitable<absl::StatusOr<PipBrought>> bring(PipWheel wheel);

 private:
  struct File {
    BlobId id;
    std::optional<uint64_t> size;
    std::string project;
    std::string name;
    std::string url;  // as in the page
    std::string key;  // as pip asks for it
  };
  absl::StatusOr<std::vector<PipWheel>> select(const PipOrder& order, const PipPage& page,
                                               bool stale) const;
  boost::asio::awaitable<absl::StatusOr<PipBrought>> bringFile(File file);
  boost::asio::awaitable<bool> isThere(File file, BlobInfo blob);
  boost::asio::awaitable<absl::Status> verified(BlobId blob);
  boost::asio::awaitable<absl::Status> fetch(File file, BlobInfo blob);
  boost::asio::awaitable<absl::Status> write(File file);

  Seams s_;
};

}  // namespace roost

#endif  // ROOST_NODE_ENDPOINT_PIP_WHEELS_H_
