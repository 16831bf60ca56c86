// Which representations this node holds, and where: the agent's own files, and those that programs
// wrote into watched roots. Of several values for one key the oldest claim is the one.
//
// takeChanges() gives how what peers should be told differs from what they were told.
//
// Threads: one (`loop`). Memory: some 400 bytes a representation, kRepresentationsMax of them.
#ifndef ROOST_CACHE_REPRESENTATION_TABLE_H_
#define ROOST_CACHE_REPRESENTATION_TABLE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/types/span.h"
#include "cache/file_stamp.h"
#include "protocol/limits.h"
#include "protocol/messages.h"

namespace roost {

struct HeldRepresentation {
  RepresentationClaim claim;
  std::string path;  // of a file in a watched root; empty: the agent's own
  FileStamp stamp;
};

class RepresentationTable {
 public:
  explicit RepresentationTable(size_t most = kRepresentationsMax) : most_(most) {}

  // Replaces what was known of that key in that place. False if there are too many already.
  bool put(const RepresentationKey& key, HeldRepresentation held);
  void remove(const RepresentationKey& key, const std::string& path);

  // The one that counts; until the next change.
  const HeldRepresentation* find(const RepresentationKey& key) const;
  const HeldRepresentation* findOwn(const RepresentationKey& key) const;
  // One whose value is that blob, if there is any.
  std::optional<RepresentationKey> keyOf(const BlobId& blob) const;
  // Values that lie here for that key besides the one that counts.
  std::vector<RepresentationClaim> others(const RepresentationKey& key) const;
  // Keys with more than one value here.
  const std::set<RepresentationKey>& conflicts() const { return conflicts_; }

  void used(const RepresentationKey& key);
  // The agent's own, used longest ago first, that have `bytes` together, or all.
  std::vector<RepresentationKey> leastUsed(uint64_t bytes) const;

  size_t size() const { return entries_.size(); }
  bool full() const { return entries_.size() >= most_; }
  uint64_t ownBytes() const { return ownBytes_; }
  uint64_t bytes() const { return bytes_; }  // of those that count

  // What peers were told before a restart: withdrawn at settled() unless it is here by then.
  void restore(absl::Span<const AdvertChange> told);
  void settled();
  // Not numbered.
  std::vector<std::variant<Advert, AdvertKey>> takeChanges();

 private:
  struct Entry {
    std::vector<HeldRepresentation> held;  // the oldest claim first, never empty
    uint64_t use = 0;                      // of the agent's own; 0: it has none
    bool told = false;
  };
  using Uses = std::set<std::pair<uint64_t, RepresentationKey>>;

  void setUse(const RepresentationKey& key, Entry& entry);
  void nowCounts(const RepresentationKey& key, const std::optional<RepresentationClaim>& before,
                 const Entry* entry);

  const size_t most_;
  absl::flat_hash_map<RepresentationKey, std::unique_ptr<Entry>> entries_;
  absl::flat_hash_map<BlobId, std::vector<RepresentationKey>> blobs_;  // of those that count
  Uses uses_;
  uint64_t lastUse_ = 0;
  uint64_t ownBytes_ = 0;
  uint64_t bytes_ = 0;
  std::set<RepresentationKey> conflicts_;
  absl::flat_hash_map<RepresentationKey, RepresentationClaim> restored_;
  absl::flat_hash_set<RepresentationKey> dirty_;
  absl::flat_hash_set<RepresentationKey> gone_;  // told, and to be withdrawn
};

}  // namespace roost

#endif  // ROOST_CACHE_REPRESENTATION_TABLE_H_
