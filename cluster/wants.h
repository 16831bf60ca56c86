// The wanter's side of registration: tells each wanted blob's registrar about the want at once,
// each second while it lasts, and at its end; follows the registrar when members change.
//
// Threads: one (the core's). Errors: none; a registrar that can't be found is replaced by this node
// itself.
#ifndef ROOST_CLUSTER_WANTS_H_
#define ROOST_CLUSTER_WANTS_H_

#include <cstddef>
#include <optional>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cluster/members.h"
#include "cluster/registrar.h"

namespace roost {

// What wants a blob; outlives its registration.
class Wanter {
 public:
  virtual ~Wanter() = default;
  virtual Want want() const = 0;
  virtual void granted(Turn& turn, const Grant& grant, absl::Time sentAt) = 0;
  virtual bool contented() const = 0;  // has a source: asking each second is enough
};

class Wants {
 public:
  Wants(const Members& members, Registrar& own) : members_(members), own_(own) {}

  void begin(const BlobId& blob, Wanter* wanter, absl::Time now);
  void end(const BlobInfo& blob, WantPhase phase);
  // Something changed that the registrar should hear of soon.
  void hurry(const BlobId& blob, absl::Time now);

  void membersChanged(absl::Time now);
  // This node did not run for longer than a lease lasts: no registrar has failed to answer it.
  void slept(absl::Time now);

  // Sends what is due.
  void flush(Turn& turn);
  void answered(Turn& turn, CallId call, const PendingCall& pending,
                const absl::StatusOr<Reply>& reply);

  size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    Wanter* wanter;
    absl::Time next;
    absl::Time sent = absl::InfinitePast();
    absl::Time lastGrant;             // or the beginning
    std::optional<NodeId> registrar;  // the last one asked
    // Whom this node stands in for, since when.
    std::optional<std::pair<NodeId, absl::Time>> gaveUp = std::nullopt;
    int sends = 0;
    bool inFlight = false;
  };
  NodeId registrarOf(const BlobId& blob, Entry& entry, absl::Time now) const;
  void deliver(Turn& turn, const BlobId& blob, const Grant& grant, absl::Time sentAt);
  absl::Duration interval(const Entry& entry) const;

  const Members& members_;
  Registrar& own_;
  absl::btree_map<BlobId, Entry> entries_;
  std::vector<std::pair<NodeId, Want>> ends_;  // to be told to their registrars
  absl::flat_hash_map<CallId, std::vector<BlobId>> asked_;
  absl::Time nextDue_ = absl::InfiniteFuture();
};

}  // namespace roost

#endif  // ROOST_CLUSTER_WANTS_H_
