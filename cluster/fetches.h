// All fetches of this node: one a blob, each with everybody who waits for it.
//
// Threads: one (the core's). Memory: at most kFetchesActiveMax large and kSmallFetchesActiveMax
// small fetches; who wants more asks again when there is room().
#ifndef ROOST_CLUSTER_FETCHES_H_
#define ROOST_CLUSTER_FETCHES_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "cluster/fetch.h"

namespace roost {

// Owners whose jobs have these numbers are clients that read (readers.h).
inline constexpr uint64_t kFirstReaderJob = uint64_t{1} << 63;

class Fetches {
 public:
  // What came of a blob, for those who waited.
  struct Ended {
    BlobInfo blob;
    absl::Status status;
    std::vector<ObtainKey> owners;
    std::vector<std::pair<std::optional<NodeId>, uint64_t>> received;
  };

  explicit Fetches(const FetchWorld& world) : world_(world) {}

  bool room(uint64_t blobBytes) const;
  // Joins the fetch that is under way, or begins one. kInvalidArgument if one is under way with
  // another size. `company`: other nodes want it from now on, too.
  absl::Status want(Turn& turn, const BlobInfo& blob, const BlobSite& site, SourceRule rule,
                    const ObtainKey& owner, bool company = false);
  // What only that owner waits for comes no faster than so many bytes a second, also what it will
  // want later; 0: no limit (any more).
  void setLimit(const ObtainKey& owner, uint64_t bytesPerSecond, absl::Time now);
  // The owner waits no longer; a fetch for nobody is cancelled, unless it only lacks its name.
  void release(Turn& turn, const BlobId& blob, const ObtainKey& owner);

  void on(Turn& turn, const WriterOpened& event);
  void on(Turn& turn, const WriterShared& event);
  void on(Turn& turn, const WriterLost& event);
  void on(Turn& turn, const PieceRead& event);
  void on(Turn& turn, const SmallRead& event);
  void on(Turn& turn, const HubPiece& event);
  void on(Turn& turn, const HubEnded& event);
  void on(Turn& turn, const SwarmKnown& event);
  void on(Turn& turn, const SwarmEnded& event);
  void on(Turn& turn, const SwarmPiece& event);
  void on(Turn& turn, const SwarmSeen& event);
  void on(Turn& turn, const BlobVerified& event);
  void on(Turn& turn, const BlobFinished& event);
  void on(Turn& turn, const PieceAsked& event);
  // Of a blob that is being fetched, for a reader of this node.
  void pieceWanted(Turn& turn, const BlobId& blob, AskId ask, uint64_t piece);
  void sourcesChanged();
  void tick(Turn& turn);

  // The fetches that ended since the last call.
  std::vector<Ended> takeEnded();

  const Fetch* find(const BlobId& blob) const;
  // Of the fetch that is under way, or that would begin now.
  Plan plan(const BlobInfo& blob, const std::optional<BlobSite>& site, SourceRule rule) const;
  size_t size() const { return flights_.size(); }

 private:
  struct Flight {
    std::unique_ptr<Fetch> fetch;
    std::vector<ObtainKey> owners;
  };
  Fetch* find(FetchId id);
  static size_t readsOf(const Flight& flight);  // owners that are readers
  void ownersChanged(Flight& flight);
  std::shared_ptr<RateLimit> paceOf(const Flight& flight) const;

  const FetchWorld world_;
  uint64_t next_ = 1;
  absl::btree_map<FetchId, Flight> flights_;
  absl::flat_hash_map<BlobId, FetchId> byBlob_;
  absl::flat_hash_map<ObtainKey, std::shared_ptr<RateLimit>> paces_;  // of owners that have one
  size_t small_ = 0;
  uint64_t smallBytes_ = 0;  // of the small ones
  bool anyEnded_ = false;
};

}  // namespace roost

#endif  // ROOST_CLUSTER_FETCHES_H_
