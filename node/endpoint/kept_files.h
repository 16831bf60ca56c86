// Files that the hub names by no hash, kept while they pass through to the first client that reads
// them whole: in the agent's own root, under the sha256 that they turn out to have, marked as
// observed (FileEntry). docs/internals/endpoint.md, "ETags that are no hashes".
//
// Threads: `loop`. Everything given must outlive this. Memory: kKeptBodiesMax bodies under way.
#ifndef ROOST_NODE_ENDPOINT_KEPT_FILES_H_
#define ROOST_NODE_ENDPOINT_KEPT_FILES_H_

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cache/disk_space.h"
#include "node/endpoint/endpoint_metrics.h"
#include "node/endpoint/http_values.h"
#include "node/endpoint/kept_body.h"
#include "node/folders.h"

namespace roost {

// A file that a client asked for, and the branch that it asked for it by.
struct ClientFile {
  RepoId repo;
  Commit commit;
  FileEntry file;
  std::optional<RefState> ref;
};

// What shows it in the clients' cache, or in the agent's own folder.
PublishRepo orderOf(const ClientFile& file, const NodeId& self);

class KeptFiles {
 public:
  struct Seams {
    boost::asio::io_context& io;
    WorkPool& pool;
    std::shared_ptr<Reservations> reservations;
    NodeId self;
    Folders& folders;
    EndpointMetrics& metrics;
    std::function<std::shared_ptr<void>()> alive;  // null once this is stopped
  };
  explicit KeptFiles(Seams seams) : s_(std::move(seams)) {}

  // Gives a copy of the answer's body to the disk, if there is room for another. `file` has its
  // `observedAs`; its hash and size show at the end.
  boost::asio::awaitable<void> keep(ClientFile file, HttpAnswer& answer);
  // The folder where they lie can be written.
  boost::asio::awaitable<absl::Status> ready();
  // A blob of this node is the file's content.
  void show(const ClientFile& file);

 private:
  using OwnFolder = absl::StatusOr<std::shared_ptr<const HubPublisher>>;
  using Key = std::pair<RepoKey, RelativePath>;
  boost::asio::awaitable<OwnFolder> ownFolder();
  bool isBusy(const Key& key);
  void came(const ClientFile& file, absl::StatusOr<UnnamedWriter::Written> written);
  void pause() { again_ = absl::Now() + kKeptPause; }

  Seams s_;
  std::map<Key, std::weak_ptr<KeptBody>> underWay_;
  std::set<Key> refused_;  // the same ETag names other content; at most kRefsCachedMax
  absl::Time again_ = absl::InfinitePast();
};

}  // namespace roost

#endif  // ROOST_NODE_ENDPOINT_KEPT_FILES_H_
