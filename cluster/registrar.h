// The registrar's side: for the blobs that rendezvous hashing gives this node, numbers the wanters
// for stripes and grants the hub lease to one of them. It downloads nothing.
//
// Threads: one (the core's). Memory: one record for each blob that is wanted now.
#ifndef ROOST_CLUSTER_REGISTRAR_H_
#define ROOST_CLUSTER_REGISTRAR_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"
#include "cluster/members.h"

namespace roost {

class Registrar {
 public:
  explicit Registrar(const Members& members);

  // The word on one want. This node's own wants are taken even where another member is the
  // registrar: a wanter that nobody registers helps itself (a duplicate download is allowed in
  // doubt).
  Grant on(absl::Time now, const NodeId& from, const Want& want);
  WantReply on(absl::Time now, const NodeId& from, const WantRequest& request);
  void memberGone(const NodeId& node);
  // This node did not run for longer than a lease lasts: others have registered its blobs since.
  void slept(absl::Time now);
  void tick(absl::Time now);

  size_t records() const { return records_.size(); }
  bool leases() const;  // any lease is out

 private:
  struct Wanter {
    NodeId node;
    Want want;
    absl::Time seen;
  };
  struct Lease {
    NodeId holder;
    uint64_t fence;
    absl::Time expires;
  };
  struct Record {
    std::vector<Wanter> wanters;  // in the order of their numbers
    std::optional<Lease> lease;
    absl::Time grantsFrom;
  };

  void remove(const BlobId& blob, const NodeId& node);
  void settleLease(absl::Time now, Record& record, const Wanter& asker);
  bool mayGrant(absl::Time now, const Record& record) const;
  void noteMembers();  // if they have changed
  static const Wanter* candidate(absl::Time now, const Record& record);
  static void dropSilent(absl::Time now, Record& record);

  const Members& members_;
  uint64_t lastFence_;
  std::vector<NodeId> usableBefore_;  // as of membersSince_
  absl::Time membersSince_ = absl::InfinitePast();
  // Until then a wanter may come with a lease that another registrar granted.
  absl::Time claimsUntil_ = absl::InfinitePast();
  absl::flat_hash_map<BlobId, Record> records_;
};

}  // namespace roost

#endif  // ROOST_CLUSTER_REGISTRAR_H_
