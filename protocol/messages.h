// What nodes say to each other, as values. roost.capnp is the same on the wire; convert.h goes
// between, strictly. The decision code of cluster/ and the simulator know only these.
//
// Threads: any (values only).
#ifndef ROOST_PROTOCOL_MESSAGES_H_
#define ROOST_PROTOCOL_MESSAGES_H_

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "protocol/blob_id.h"
#include "protocol/manifest.h"
#include "protocol/names.h"
#include "protocol/node_id.h"
#include "protocol/piece_map.h"
#include "protocol/representation_key.h"

namespace roost {

// ---- Members
// -------------------------------------------------------------------------------------------------

inline constexpr uint16_t kProtocolVersion = 1;
inline constexpr uint16_t kProtocolVersionMin = 1;

// Bits of MemberInfo::features.
inline constexpr uint64_t kFeatureAsksHub = 1;  // it has a hub, and answers HubQuestionRequest
inline constexpr uint64_t kFeatureRepresentations = 2;  // reads adverts of them, and grants leases
inline constexpr uint64_t kFeatureSwarm = 8;            // its swarm lane is open
inline constexpr uint64_t kFeatureSharesPip = 4;  // as the first, of a pip index and what it keeps

// What a node is, exchanged in hello and passed on to others.
struct MemberInfo {
  NodeId id;
  uint64_t epoch = 0;              // persisted start counter: a greater one replaces a smaller one
  std::string name;                // label, parseNodeName()
  std::vector<Address> addresses;  // where its peer port can be dialled; may be empty (the dialler
                                   // is told what was seen)
  uint16_t versionMin = kProtocolVersionMin;
  uint16_t versionMax = kProtocolVersion;
  uint64_t features = 0;  // bits; unknown ones are ignored
  std::string zone;       // label; empty: none
  uint64_t instance = 0;  // random per process: tells a link to oneself from a cloned state folder
  // Physical stores behind its roots; the first is the one where what arrives is written. As they
  // were at its start: each summary has them as they are.
  std::vector<StoreId> stores;
  friend bool operator==(const MemberInfo&, const MemberInfo&) = default;
};

// Numbers are on the wire: never renumber.
enum class NodeState : uint8_t {
  kStarting = 0,
  kChecking = 1,
  kReady = 2,
  kWarming = 3,
  kFull = 4,
  kDraining = 5,
  kSuspected = 6,
  kGone = 7,  // these two are others' opinion, never said by the node itself
};

// What a node says about itself with each heartbeat. Rates in bytes per second, counters since its
// start.
struct NodeSummary {
  NodeState state = NodeState::kStarting;
  uint64_t blobs = 0;        // distinct blobs held
  uint64_t heldBytes = 0;    // bytes of them
  uint64_t freeBytes = 0;    // on the store of its first root
  uint64_t inRate = 0;       // from peers
  uint64_t outRate = 0;      // to peers
  uint64_t peerBytesIn = 0;  // payload received from peers
  uint64_t peerBytesOut = 0;
  uint64_t hubBytes = 0;  // payload downloaded from the hub
  uint64_t savedBytes =
      0;  // published bytes that did not come from the hub, since the cluster's start (persisted)
  uint64_t checkBytesLeft = 0;  // unverified bytes still to hash
  uint64_t checkBytesTotal = 0;
  uint32_t problems = 0;        // entries of its problem list (wrong content, unreadable roots …)
  std::vector<StoreId> stores;  // as in MemberInfo, but now: folders appear and are mounted
  absl::Duration hubRest;       // for so long the hub wants to be left alone, as it told this node
  friend bool operator==(const NodeSummary&, const NodeSummary&) = default;
};

// ---- Adverts
// -------------------------------------------------------------------------------------------------

// A node holds all of a blob. unverified: found under a plausible name and size, not hashed yet;
// receivers verify anyway.
struct BlobAdvert {
  BlobInfo blob;
  bool unverified = false;
  Visibility visibility = Visibility::kUnknown;
  std::optional<Sha256> sha256;  // our own, of a git-sha1 blob that was verified
  friend bool operator==(const BlobAdvert&, const BlobAdvert&) = default;
};

// A node shows (some of) a repo at a commit. The files are asked for by ListingRequest.
struct RepoAdvert {
  RepoId repo;
  Commit commit;
  Visibility visibility = Visibility::kUnknown;
  uint32_t files = 0;       // shown here and held
  uint64_t bytes = 0;       // of them
  bool manifest = false;    // the node has the complete list
  uint32_t filesTotal = 0;  // of the manifest; 0 without one
  uint64_t bytesTotal = 0;
  bool complete() const { return manifest && files == filesTotal; }
  friend bool operator==(const RepoAdvert&, const RepoAdvert&) = default;
};

struct RefAdvert {
  RepoId repo;
  RefState state;
  friend bool operator==(const RefAdvert&, const RefAdvert&) = default;
};

// That a value is the one of a key: the claim of whoever computed it. Of several claims the oldest
// counts, everywhere.
struct RepresentationClaim {
  BlobInfo blob;       // by sha256
  absl::Time created;  // whole milliseconds
  NodeId producer;
  friend bool operator==(const RepresentationClaim&, const RepresentationClaim&) = default;
};
inline bool isOlder(const RepresentationClaim& a, const RepresentationClaim& b) {
  return a.created != b.created ? a.created < b.created : a.blob.id < b.blob.id;
}
// A node holds a representation. Its provenance is not told: it travels with the value.
struct RepresentationAdvert {
  RepresentationKey key;
  RepresentationClaim claim;
  friend bool operator==(const RepresentationAdvert&, const RepresentationAdvert&) = default;
};

using Advert = std::variant<BlobAdvert, RepoAdvert, RefAdvert, RepresentationAdvert>;

// What an advert is about; a later advert with an equal key replaces it.
struct RepoKey {
  RepoId repo;
  Commit commit;
  friend auto operator<=>(const RepoKey&, const RepoKey&) = default;
  template <typename H>
  friend H AbslHashValue(H state, const RepoKey& key) {
    return H::combine(std::move(state), key.repo, key.commit);
  }
};
struct RefKey {
  RepoId repo;
  RefName ref;
  friend auto operator<=>(const RefKey&, const RefKey&) = default;
  template <typename H>
  friend H AbslHashValue(H state, const RefKey& key) {
    return H::combine(std::move(state), key.repo, key.ref);
  }
};
using AdvertKey = std::variant<BlobId, RepoKey, RefKey, RepresentationKey>;
AdvertKey keyOf(const Advert& advert);

// One entry of a node's advert log. Every change gets the next sequence number; the log keeps only
// the last change of each key, so a snapshot is the log from 0 and a delta the log from where the
// follower stopped.
struct AdvertChange {
  uint64_t sequence = 0;
  std::variant<Advert, AdvertKey> what;  // advertised, or withdrawn
  friend bool operator==(const AdvertChange&, const AdvertChange&) = default;
};
AdvertKey keyOf(const AdvertChange& change);

// How far a follower has read a node's log. A log that was lost (index deleted) starts again under
// another id.
struct LogPosition {
  uint64_t logId = 0;
  uint64_t sequence = 0;
  friend bool operator==(const LogPosition&, const LogPosition&) = default;
};

// ---- Requests and their answers (control link)
// ---------------------------------------------------------------

struct HeartbeatRequest {
  NodeSummary summary;
  friend bool operator==(const HeartbeatRequest&, const HeartbeatRequest&) = default;
};
struct HeartbeatReply {
  NodeSummary summary;
  friend bool operator==(const HeartbeatReply&, const HeartbeatReply&) = default;
};

struct MembersRequest {
  friend bool operator==(const MembersRequest&, const MembersRequest&) = default;
};
struct MembersReply {
  std::vector<MemberInfo> members;
  friend bool operator==(const MembersReply&, const MembersReply&) = default;
};

// Answered when the log has something after `from` (long poll), or at once with reset if `from` is
// of another log or older than the tombstones that are kept.
struct FollowRequest {
  LogPosition from;
  friend bool operator==(const FollowRequest&, const FollowRequest&) = default;
};
struct FollowReply {
  bool reset = false;                 // forget all of this node's adverts first
  std::vector<AdvertChange> changes;  // ascending by sequence, at most kAdvertPageMax
  LogPosition next;                   // where to go on
  bool more = false;                  // another page is waiting
  friend bool operator==(const FollowReply&, const FollowReply&) = default;
};

struct ListingRequest {
  RepoId repo;
  Commit commit;
  friend bool operator==(const ListingRequest&, const ListingRequest&) = default;
};
struct ListingReply {
  std::optional<Listing> listing;
  friend bool operator==(const ListingReply&, const ListingReply&) = default;
};

// To a blob's registrar, at the start of a fetch, each second while it lasts, and at its end.
enum class WantPhase : uint8_t { kWanted = 0, kDone = 1, kGivenUp = 2 };
struct Want {
  BlobInfo blob;
  WantPhase phase = WantPhase::kWanted;
  bool canUseHub =
      false;  // can reach the hub, has room and permission, and knows a file that has this blob
  bool peersHaveIt = false;  // knows a complete holder: numbering only, no lease is asked for
  uint64_t prefixBytes = 0;  // verified-by-nobody bytes from 0 on that it has
  uint64_t heldFence = 0;    // of the lease it believes to hold; 0: none
  PieceMap have;             // pieces that it has, or is taking from a holder
  friend bool operator==(const Want&, const Want&) = default;
};
struct WantRequest {
  std::vector<Want> wants;
  friend bool operator==(const WantRequest&, const WantRequest&) = default;
};

// The registrar's word on one want, in the order of the request.
struct Grant {
  bool notRegistrar = false;  // ask the one that you find now; the rest is empty
  uint64_t fence =
      0;  // > 0: the hub lease is yours for kLeaseDuration from when you *sent* the want
  std::optional<NodeId> leaseholder;  // who downloads from the hub, if somebody does (may be you)
  uint32_t number = 0;                // your number among the wanters, 0-based
  std::vector<NodeId> wanters;  // in the order of their numbers, you included; kStripeWantersMax
  std::vector<PieceMap> have;   // of each of them, as it told last; empty: not told
  friend bool operator==(const Grant&, const Grant&) = default;
};
struct WantReply {
  std::vector<Grant> grants;
  friend bool operator==(const WantReply&, const WantReply&) = default;
};

// Where bytes may come from.
enum class SourceRule : uint8_t { kAny = 0, kClusterOnly = 1, kHubOnly = 2 };

// "Get these files and publish them": sent by the node that coordinates a job to each target.
// Idempotent by job id.
struct ObtainRequest {
  NodeId coordinator;
  uint64_t job = 0;
  Listing listing;  // files to get; complete says whether the whole manifest is known
  std::vector<FileEntry>
      manifestOnly;            // the manifest's other files (not asked for): needed to write trees/
  std::vector<RefState> refs;  // to write when all files are there
  SourceRule from = SourceRule::kAny;
  uint64_t limit = 0;    // bytes per second of what only this job waits for; 0: none
  bool company = false;  // other nodes were told to get it at the same time
  friend bool operator==(const ObtainRequest&, const ObtainRequest&) = default;
};
struct ObtainReply {
  friend bool operator==(const ObtainReply&, const ObtainReply&) = default;
};

struct SourceShare {
  std::string name;    // node name, or "hub"
  uint64_t bytes = 0;  // payload received from it
  friend bool operator==(const SourceShare&, const SourceShare&) = default;
};
enum class ObtainState : uint8_t {
  kUnknown = 0,
  kRunning = 1,
  kDone = 2,
  kFailed = 3,
  kCancelled = 4
};
// How a target's part of a job stands.
struct ObtainProgress {
  ObtainState state =
      ObtainState::kUnknown;  // kUnknown: never heard of the job (ask again with ObtainRequest)
  uint32_t filesTotal = 0, filesDone = 0;
  uint64_t bytesTotal = 0, bytesDone = 0;  // of the whole, files that were already there included
  uint64_t bytesPresent = 0;               // were there when the job began
  uint64_t rate = 0;                       // bytes per second now
  std::vector<SourceShare> sources;
  absl::StatusCode code = absl::StatusCode::kOk;  // of the failure
  std::string message;
  friend bool operator==(const ObtainProgress&, const ObtainProgress&) = default;
};
struct ProgressRequest {
  NodeId coordinator;
  uint64_t job = 0;
  bool cancel = false;
  // While the job goes on the answer may take so long: its end is told at once. At most
  // kProgressHeldMax.
  absl::Duration held = absl::ZeroDuration();
  uint64_t limit = 0;  // of ObtainRequest, as it is now
  friend bool operator==(const ProgressRequest&, const ProgressRequest&) = default;
};
struct ProgressReply {
  ObtainProgress progress;
  friend bool operator==(const ProgressReply&, const ProgressReply&) = default;
};

// A question to the hub without a token, asked of the member that asks for all (its envoy).
// Answered within a second, if only by kAsking: then it is asked again.
struct HubQuestionRequest {
  HubOrigin origin;                 // members may have different hubs
  std::string target;               // from "/" on
  std::optional<std::string> form;  // the body of a POST
  std::string formType;
  absl::Duration ageMax;  // an older answer does not count while the hub can be asked
  friend bool operator==(const HubQuestionRequest&, const HubQuestionRequest&) = default;
};
enum class HubOutcome : uint8_t { kUnable = 0, kAsking = 1, kAnswer = 2 };
struct HubQuestionReply {
  HubOutcome outcome = HubOutcome::kUnable;
  uint16_t status = 0;
  std::vector<std::pair<std::string, std::string>> headers;  // names in lower case
  std::string body;
  absl::Duration age;   // since the hub said so
  bool stale = false;   // the hub does not answer now
  absl::Duration rest;  // kUnable: for so long the hub wants to be left alone
  friend bool operator==(const HubQuestionReply&, const HubQuestionReply&) = default;
};

// Who computes representations that nobody has, asked of each key's registrar.
struct ComputeLeaseRequest {
  std::string holder;  // the computation's own name
  absl::Duration duration;
  bool release = false;  // gives them back instead
  std::vector<RepresentationKey> keys;
  friend bool operator==(const ComputeLeaseRequest&, const ComputeLeaseRequest&) = default;
};
enum class ComputeVerdict : uint8_t {
  kGranted = 0,  // compute it
  kOther = 1,    // somebody does: ask again
  kPresent = 2,  // a node has it, as far as the registrar knows
};
struct ComputeLeaseReply {
  std::vector<ComputeVerdict> verdicts;  // in the order of the keys
  friend bool operator==(const ComputeLeaseReply&, const ComputeLeaseReply&) = default;
};

using Request =
    std::variant<HeartbeatRequest, MembersRequest, FollowRequest, ListingRequest, WantRequest,
                 ObtainRequest, ProgressRequest, HubQuestionRequest, ComputeLeaseRequest>;
using Reply = std::variant<HeartbeatReply, MembersReply, FollowReply, ListingReply, WantReply,
                           ObtainReply, ProgressReply, HubQuestionReply, ComputeLeaseReply>;

// ---- The direct lane (bulk links)
// ----------------------------------------------------------------------------

// Numbers are on the wire: never renumber.
enum class ReadOutcome : uint8_t {
  kData = 0,
  kNotMine = 1,  // holds the blob in part, does not have this piece and does not promise it
  kGone = 2,     // does not hold the blob (any more), or refuses it
  kBusy = 3,     // too much unsent; ask again later
  kCorrupt = 4,  // its own copy failed the piece check; it has withdrawn the blob
};

}  // namespace roost

#endif  // ROOST_PROTOCOL_MESSAGES_H_
