// The representations on this node: the table of them, their files, and their rows in the index.
// Keeps what it is given within the quota, by giving up what was used longest ago.
//
// A value is told to peers, and found here, when file and row are both there. What is read is
// hashed again if it is small; of a large one the stamp is compared, as of all blobs.
//
// Threads: `loop`; blocking work goes to the pool, everything that changes files in one queue.
// Everything given must outlive this.
#ifndef ROOST_NODE_REPRESENTATION_STORE_H_
#define ROOST_NODE_REPRESENTATION_STORE_H_

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cache/local_blob.h"
#include "cache/representation_files.h"
#include "cache/representation_table.h"
#include "cache/serial_queue.h"
#include "node/loop_work.h"
#include "node/on_worker.h"

namespace roost {

// A value that is to be kept, and what is claimed of it.
struct NewRepresentation {
  RepresentationClaim claim;
  std::shared_ptr<const Provenance> provenance;
  std::shared_ptr<const std::string> value;  // null: it is in a writer
};

class RepresentationStore {
 public:
  struct Seams {
    WorkPool& pool;
    std::shared_ptr<LoopWork> work;
    std::shared_ptr<InOrderOfIndex> index;
    std::shared_ptr<Reservations> reservations;
    std::string root;    // the agent's own folder; made if it is not there
    uint64_t quota = 0;  // bytes of the agent's own files
    NodeId self;
    std::function<void(std::vector<std::variant<Advert, AdvertKey>>)> changed;
    std::function<void(const std::string&)> report;
  };
  explicit RepresentationStore(Seams seams);

  // What is here from before; rows of watched files are given back. To be called first.
  boost::asio::awaitable<std::vector<RepresentationRow>> load(std::vector<AdvertChange> told);
  void settled();  // watched files were looked at too: peers hear of what is gone

  // One status each, in order. kOutOfRange: larger than the quota; kResourceExhausted: no room.
  boost::asio::awaitable<std::vector<absl::Status>> keep(std::vector<NewRepresentation> values);
  // The same of one that comes in parts.
  using Writer = std::shared_ptr<RepresentationWriter>;
  boost::asio::awaitable<absl::StatusOr<Writer>> openWriter(RepresentationKey key,
                                                            std::optional<uint64_t> size);
  boost::asio::awaitable<absl::Status> keep(Writer writer, NewRepresentation value,
                                            std::vector<PieceHash> pieces);

  // Whole values, checked; null for those that are not here (any more).
  using Value = std::shared_ptr<const std::string>;
  boost::asio::awaitable<std::vector<Value>> read(std::vector<RepresentationKey> keys);
  // For sendfile, and for peers.
  void open(const RepresentationKey& key,
            std::function<void(std::shared_ptr<const LocalBlob>)> answer);
  boost::asio::awaitable<std::string> provenance(RepresentationKey key);  // empty: unknown
  void foundBad(const RepresentationKey& key, const absl::Status& why);

  // A file in a watched root.
  bool found(const std::string& path, const FoundRepresentation& file);
  bool found(const RepresentationRow& row);  // as it was before
  void lost(const std::vector<RepresentationPlace>& places);

  // Gives up these, or those used longest ago until `bytes` are free; how many went.
  struct Evicted {
    uint64_t count = 0;
    uint64_t bytes = 0;
  };
  Evicted evict(const std::vector<RepresentationKey>& keys);
  Evicted evictLeastUsed(uint64_t bytes);

  void used(const RepresentationKey& key);
  void saveUses();
  void stop() { files_->stop(); }
  const RepresentationTable& table() const { return table_; }
  uint64_t quota() const { return s_.quota; }

 private:
  struct Loaded;
  struct Opened {
    std::string path;
    BlobInfo blob;
    FileStamp stamp;
  };
  std::optional<Opened> placeOf(const RepresentationKey& key) const;
  RepresentationRow rowOf(const NewRepresentation& value, const FileStamp& stamp) const;
  void makeRoom(uint64_t bytes);
  void drop(std::vector<RepresentationPlace> places);
  void flush();
  boost::asio::awaitable<void> adoptOrphans(std::vector<RepresentationKey> orphans);

  Seams s_;
  SerialQueue filesQueue_;
  const std::shared_ptr<InOrderOfFiles> files_;  // whatever changes the agent's own files
  std::shared_ptr<const SafeDir> folder_;
  absl::Status folderStatus_;
  RepresentationTable table_;
  uint64_t arriving_ = 0;  // bytes for which there is room already
  absl::flat_hash_map<RepresentationKey, absl::Time> uses_;
  bool isSettled_ = false;
};

}  // namespace roost

#endif  // ROOST_NODE_REPRESENTATION_STORE_H_
