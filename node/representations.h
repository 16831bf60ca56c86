// Precomputed representations: what this node and its peers hold of them, got and kept by key, and
// who computes what nobody has. Of conflicting claims the oldest counts, on every node.
//
// Threads: `loop`; handlers may come on any thread. Everything given must outlive this.
#ifndef ROOST_NODE_REPRESENTATIONS_H_
#define ROOST_NODE_REPRESENTATIONS_H_

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "cache/roots.h"
#include "cluster/compute_leases.h"
#include "cluster/core.h"
#include "node/loop_timers.h"
#include "node/peer_question.h"
#include "node/representation_peers.h"
#include "node/representation_store.h"
#include "node/representation_watch.h"
#include "protocol/signal.h"

namespace roost {

class Representations {
 public:
  struct Seams {
    boost::asio::io_context& io;  // of `loop`
    WorkPool& pool;
    IndexQueue& index;
    std::shared_ptr<Reservations> reservations;
    std::string root;  // the agent's own folder
    uint64_t quota = 0;
    std::vector<Root> watched;
    const Core& core;
    std::vector<BulkLane> lanes;
    std::function<std::vector<Address>(const NodeId&)> addressesOf;
    PeerCall call;
    std::function<void(std::vector<std::variant<Advert, AdvertKey>>)> changed;
    std::function<void(const std::string&)> report;
  };
  // `told`: this node's adverts from before a restart.
  Representations(Seams seams, std::vector<AdvertChange> told);

  void start();
  void stop();
  std::shared_ptr<LoopWork> work() const { return work_; }

  // ---- For clients
  using Value = RepresentationStore::Value;
  struct Got {
    RepresentationClaim claim;
    std::string provenance;
    Value value;                            // a small one, or
    std::shared_ptr<const LocalBlob> file;  // a large one; neither if only the head was asked for
  };
  // kNotFound: no node has it.
  boost::asio::awaitable<absl::StatusOr<Got>> get(RepresentationKey key, bool headOnly);
  struct GotMany {
    std::vector<std::pair<RepresentationKey, Value>> values;
    std::vector<RepresentationKey> missing;
    std::vector<RepresentationKey> left;  // too much for one answer, or large and elsewhere
  };
  boost::asio::awaitable<GotMany> getMany(std::vector<RepresentationKey> keys);

  struct Warmed {
    uint64_t fetched = 0, bytes = 0;
    uint64_t failed = 0;                     // no holder gave it
    uint64_t noRoom = 0;                     // the quota is full
    uint64_t left = 0;                       // for the next call
    std::vector<RepresentationKey> unknown;  // no node that is there has it
  };
  // Brings some of these here, or of all that peers have, from peers. For as long as something is
  // left it is to be called again.
  boost::asio::awaitable<Warmed> warm(std::vector<RepresentationKey> keys);

  struct Put {
    absl::Status status;
    BlobId value;                // of what was put
    bool known = false;          // it was there before
    std::optional<BlobId> kept;  // another value that was there before, and stays
  };
  boost::asio::awaitable<std::vector<Put>> putMany(std::vector<NewRepresentation> values);
  using Writer = RepresentationStore::Writer;
  boost::asio::awaitable<absl::StatusOr<Writer>> openWriter(RepresentationKey key,
                                                            std::optional<uint64_t> size);
  boost::asio::awaitable<Put> put(std::shared_ptr<const Provenance> provenance, Writer writer,
                                  BlobHashes hashes);
  RepresentationClaim claimOf(const BlobInfo& value) const;  // made here and now
  uint64_t quota() const { return store_.quota(); }

  struct Leases {
    std::vector<RepresentationKey> present, granted, others;
  };
  boost::asio::awaitable<Leases> lease(ComputeLeaseRequest request);

  // One of the few batches that are at work at once, while it is held.
  boost::asio::awaitable<std::shared_ptr<void>> turn();
  std::string nameOf(const NodeId& node) const;
  void foundBad(const RepresentationKey& key, const absl::Status& why);

  // ---- For peers
  void leaseAsked(const ComputeLeaseRequest& request, const PeerAnswer& answer);
  bool holds(const BlobId& blob) const { return store_.table().keyOf(blob).has_value(); }
  void open(const BlobId& blob, std::function<void(std::shared_ptr<const LocalBlob>)> answer);
  void provenances(std::vector<RepresentationKey> keys,
                   std::function<void(std::vector<std::string>)> answer);
  void foundBadBlob(const BlobId& blob, const absl::Status& why);

  // ---- For people
  struct Conflict {
    RepresentationKey key;
    BlobId used;
    std::vector<BlobId> others;
  };
  std::vector<Conflict> conflicts() const;
  boost::asio::awaitable<std::vector<RepresentationCount>> count();
  size_t size() const { return store_.table().size(); }
  uint64_t bytes() const { return store_.table().bytes(); }
  RepresentationStore::Evicted evict(const std::vector<RepresentationKey>& keys);
  RepresentationStore::Evicted evictLeastUsed(uint64_t bytes);
  uint64_t ownBytes() const { return store_.table().ownBytes(); }
  std::vector<std::string> problems() const { return watch_.problems(); }

 private:
  struct Where {
    std::optional<RepresentationClaim> claim;  // none: nobody has it
    bool isHere = false;
    std::vector<NodeId> holders;
  };
  using Usable = absl::flat_hash_set<NodeId>;
  Usable usable() const;
  Where where(const RepresentationKey& key, const Usable& usable) const;
  boost::asio::awaitable<void> run();
  boost::asio::awaitable<void> becomeReady(bool acquainted);
  boost::asio::awaitable<absl::StatusOr<Got>> getHere(RepresentationKey key, Where where,
                                                      bool headOnly);
  boost::asio::awaitable<absl::StatusOr<Got>> getSmall(WantedRepresentation wanted);
  boost::asio::awaitable<absl::Status> fetchLarge(WantedRepresentation wanted);
  boost::asio::awaitable<void> keepBehind(std::vector<WantedRepresentation> wanted,
                                          std::vector<Value> values, std::shared_ptr<void> turn);
  boost::asio::awaitable<void> keepAll(std::vector<NewRepresentation> values);
  // True: it is to be kept, with the claim as it is then.
  bool isToBeKept(const RepresentationKey& key, const Usable& usable, RepresentationClaim& claim,
                  Put& result);
  void wasKept(const RepresentationKey& key, const absl::Status& status);
  boost::asio::awaitable<void> askRegistrar(NodeId registrar, ComputeLeaseRequest request,
                                            std::shared_ptr<struct LeaseRound> round);
  std::vector<ComputeVerdict> decide(const ComputeLeaseRequest& request);

  Seams s_;
  std::vector<AdvertChange> told_;
  const std::shared_ptr<LoopWork> work_;
  const std::shared_ptr<InOrderOfIndex> index_;
  LoopTimers timers_;
  Signal changed_;  // ready, a turn or a flight is over, stopped
  RepresentationStore store_;
  RepresentationPeers peers_;
  RepresentationWatch watch_;
  ComputeLeases leases_;
  absl::flat_hash_map<RepresentationKey, BlobId> writing_;
  std::set<RepresentationKey> flights_;            // large values that are being fetched
  std::map<RepresentationKey, Conflict> refused_;  // values that came after another
  int batches_ = 0;
  bool ready_ = false;
  bool stopped_ = false;
};

}  // namespace roost

#endif  // ROOST_NODE_REPRESENTATIONS_H_
