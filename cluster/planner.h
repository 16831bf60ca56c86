// Which lane a blob comes by and whom it is asked of: a pure function of what this node knows. The
// fetch acts on it, and `roost where --explain` shows it with its reasons.
//
// The order of holders: those that are there and have hashed their copy, of this node's own zone;
// then those of other zones, but only if the own zone has none; then those whose copy is unhashed,
// then those that fail. One that drains is asked only if there is no other. Among equals those that
// proved slow come last, and chance decides the rest, so that many fetches spread.
//
// The swarm: only where it is better. Measured with one file of 256 MiB to 1, 2, 4 and 8 nodes
// (docs/internals/cluster.md#the-planner), stripes beat it at each of these sizes, and the holder
// sends less. So a swarm is taken for blobs of at least that size, for more nodes than that, and
// only if they are *uncoordinated*: stripes rest on a list of numbered wanters, which must be whole
// and stay (see kStripeWantersMax and kChurnPercent). Swarms are not encrypted: public content
// only.
//
// Threads: any (pure; no I/O, no clock, no chance of its own).
#ifndef ROOST_CLUSTER_PLANNER_H_
#define ROOST_CLUSTER_PLANNER_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "protocol/manifest.h"
#include "protocol/messages.h"

namespace roost {

// Holders that one fetch reads from at once; a hundred would each keep a window open for nothing.
inline constexpr size_t kHoldersAtOnce = 8;
// Wanters that came or went since the fetch began, for each 100 that are there: each of them moves
// everybody's stripe.
inline constexpr size_t kChurnPercent = 50;
// What was measured; a smaller one is over before a swarm has formed.
inline constexpr uint64_t kSwarmBlobBytesMin = 256 << 20;
// Slow: below this share of the fastest known.
inline constexpr double kSlowShare = 0.25;

// A way that bytes come.
enum class Lane : uint8_t {
  kNone,     // nothing has to come, or nothing can
  kInline,   // direct, whole, many small ones in a round trip
  kDirect,   // pieces from holders
  kStripes,  // direct: its own stripe from holders, the others from those who want it too
  kSwarm,
  kHub,  // one wanter downloads it, the others take the pieces from it
};
absl::string_view laneName(
    Lane lane);  // "none", "inline", "direct", "direct-stripes", "swarm", "hub"

// A node that says it has the whole.
struct PlanHolder {
  NodeId node;
  std::string zone = {};
  bool verified = true;     // it has hashed it
  bool reachable = true;    // linked, and not silent
  bool draining = false;    // it wants to go
  bool distrusted = false;  // it sent wrong bytes of this blob
  bool useless = false;     // it proved to be of no use to this fetch
  bool failing = false;     // several failures in a row
  bool swarm = false;       // it takes part in swarms
  bool inUse = false;       // this fetch reads from it already: kept among equals
  double rate = 0;          // bytes per second, as measured; 0: unknown
  uint64_t draw = 0;        // decides among equals: a random number of the caller's
};

struct PlanInput {
  BlobInfo blob;
  Visibility visibility = Visibility::kUnknown;
  bool disputed = false;  // two contents claim its name
  bool here = false;      // this node has it
  NodeId self;
  std::string zone = {};  // this node's; empty: zones do not count
  std::vector<PlanHolder> holders = {};
  std::vector<NodeId> wanters = {};        // others that want it, as its registrar says
  std::optional<NodeId> leaseholder = {};  // who downloads it from the hub
  size_t churn = 0;                        // wanters that came or went since the fetch began
  // Nodes that must want it at once for a swarm, this one among them; 0: no swarm at this node.
  uint32_t swarmNodes = 0;
  // That number was set by somebody: it is all that counts, be they coordinated or the blob small.
  bool swarmByOrder = false;
  bool hubAllowed = true;
  SourceRule rule = SourceRule::kAny;
};

// Why a lane was taken or not, a source chosen or passed over. Each has a sentence.
enum class Why : uint8_t {
  // The lane.
  kHere,
  kSmall,
  kAlone,
  kWantedByMany,  // number: wanters, this node among them
  kNoHolder,
  kHubOnly,
  kHubForAll,  // number: as above
  kDisputed,
  kClusterOnly,   // nobody has it, and the hub is not to be asked
  kNoHubHere,     // nobody has it, and this node uses no hub
  kWideAndLoose,  // swarm
  kNotPublic,     // no swarm because …
  kTooSmallForSwarm,
  kTooLargeForSwarm,
  kFewWanters,
  kCoordinated,
  kNoSwarmHolder,
  // A source that is asked.
  kNearVerified,
  kVerified,
  kFarVerified,
  kUnhashed,
  kFailing,
  kDrainingAlone,
  kLeaseholder,
  kWanter,
  // One that is passed over.
  kUnreachable,
  kDistrusted,
  kUseless,
  kFar,
  kDraining,
  kBetterThere,
  kEnough,  // number: kHoldersAtOnce
};

struct Reason {
  Why why;
  uint64_t number = 0;
  std::string word = {};  // a zone
  friend bool operator==(const Reason&, const Reason&) = default;
};
// One short sentence without a full stop.
std::string sentenceOf(const Reason& reason);

struct PlannedSource {
  NodeId node;
  Reason reason;
  bool holder = true;       // false: it has a part, or downloads it
  bool unverified = false;  // a holder that has not hashed it
  friend bool operator==(const PlannedSource&, const PlannedSource&) = default;
};

struct Plan {
  Lane lane = Lane::kNone;
  std::vector<PlannedSource> sources = {};  // in the order in which they are asked
  size_t atOnce = 0;                        // how many of them at the same time
  std::vector<PlannedSource> passed = {};   // holders that are not asked, and why
  std::vector<Reason> reasons = {};         // of the lane; the first is the one that decided
  friend bool operator==(const Plan&, const Plan&) = default;
};

Plan planOf(const PlanInput& input);

}  // namespace roost

#endif  // ROOST_CLUSTER_PLANNER_H_
