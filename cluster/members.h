// Who belongs to the cluster, and who of them is there: dials seeds and members with jittered
// back-off, keeps one control link to each, exchanges member lists, sends heartbeats, and says who
// is suspected and who is gone.
//
// Threads: one (the core's). Errors: none; what is strange is reported and refused.
#ifndef ROOST_CLUSTER_MEMBERS_H_
#define ROOST_CLUSTER_MEMBERS_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/random/bit_gen_ref.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cluster/turn.h"

namespace roost {

class Members {
 public:
  Members(MemberInfo self, const std::vector<Address>& seeds, absl::BitGenRef random);

  void addSeeds(const std::vector<Address>& seeds, absl::Time now);

  // What to do with a link whose hellos are done; see LinkVerdict.
  LinkVerdict judge(const MemberInfo& peer, bool dialled) const;

  // False: refused, a Hangup was emitted.
  bool linkUp(Turn& turn, const LinkUp& event);
  void linkDown(Turn& turn, const NodeId& peer);
  void dialFailed(Turn& turn, const DialFailed& event);
  // Any message of a peer counts as a heartbeat.
  void heard(const NodeId& peer, absl::Time now);

  // What is news in it is told to the peers soon, not only with the next heartbeat.
  void setSummary(Turn& turn, const NodeSummary& summary);
  HeartbeatReply onHeartbeat(Turn& turn, const NodeId& peer, const HeartbeatRequest& request);
  void heartbeatAnswered(Turn& turn, const NodeId& peer, const absl::StatusOr<Reply>& reply);
  MembersReply onMembersRequest() const;
  void membersAnswered(Turn& turn, const NodeId& peer, const absl::StatusOr<Reply>& reply);

  // `busy`: fetches or leases are live, so heartbeats go each second. Returns who is gone since the
  // last tick.
  std::vector<NodeId> tick(Turn& turn, bool busy);

  // False for a moment after the start: a seed has neither answered nor failed yet, so it is not
  // known who holds what.
  bool acquainted(absl::Time now) const;

  const MemberInfo& self() const { return self_; }
  bool linked(const NodeId& id) const;
  // Linked and not suspected: worth asking for something.
  bool usable(const NodeId& id) const;
  bool draining(const NodeId& id) const;  // it said that it wants to go
  bool gone(const NodeId& id) const;      // also true for a node that was never seen
  const MemberInfo* find(const NodeId& id) const;
  bool offers(const NodeId& id, uint64_t feature) const;
  std::string nameOf(const NodeId& id) const;  // "gpu-01", or the short id of a stranger

  // The usable members and this node, sorted; `usableSince` is when that set last changed.
  const std::vector<NodeId>& usableMembers() const { return usable_; }
  absl::Time usableSince() const { return usableSince_; }

  std::vector<NodeView> views(absl::Time now) const;  // self first, then by name
  std::optional<NodeView> view(const NodeId& id, absl::Time now) const;

 private:
  struct Peer {
    MemberInfo info;
    NodeSummary summary{};
    absl::Time heard = absl::InfinitePast();
    absl::Time exchanged = absl::InfinitePast();  // last heartbeat, either way
    absl::Time downSince = absl::InfinitePast();
    bool linked = false;
    bool dialledByUs = false;
    bool calling = false;    // a heartbeat is unanswered
    bool suspected = false;  // linked, but silent for too long
    bool gone = false;
  };
  // An address that is dialled while no link to its node is up.
  struct DialTarget {
    std::optional<NodeId> node;
    absl::Time next;
    absl::Time since;  // failing since
    int failures = 0;
    bool inFlight = false;
    bool seed = false;
  };

  absl::Duration period(bool busy) const;
  absl::Duration jittered(absl::Duration duration);
  void beat(Turn& turn, const NodeId& id, Peer& peer);
  void learn(const MemberInfo& info, absl::Time now);
  void addTarget(const Address& address, const NodeId& node, absl::Time next);
  static void tellOf(Peer& peer, const NodeSummary& summary, absl::Time now);
  void redialSoon(const NodeId& id, const Peer& peer, absl::Time now);
  void dialDue(Turn& turn);
  void askForMembers(Turn& turn);
  void refreshUsable(absl::Time now);
  NodeView viewOf(const Peer& peer) const;

  MemberInfo self_;
  absl::BitGenRef random_;
  NodeSummary summary_;
  bool news_ = false;                            // in summary_, that some peer was not told
  absl::Time startedAt_ = absl::InfinitePast();  // the first tick
  absl::btree_map<NodeId, Peer> peers_;  // ordered: what is emitted must not depend on hashes
  absl::btree_map<Address, DialTarget> targets_;
  std::vector<NodeId> usable_;
  absl::Time usableSince_ = absl::InfinitePast();
  absl::Time nextExchange_ = absl::InfinitePast();
  size_t linkedCount_ = 0;
};

}  // namespace roost

#endif  // ROOST_CLUSTER_MEMBERS_H_
