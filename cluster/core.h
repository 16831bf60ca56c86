// The decisions of one node's part in the cluster: members, catalog, registrar, fetches, obtains
// and jobs, wired together. Events in, effects out; no I/O, no clock, no threads: the agent
// performs the effects with real links and files, the simulator with imagined ones.
//
// Threads: one (the agent's `loop`). Never blocks.
#ifndef ROOST_CLUSTER_CORE_H_
#define ROOST_CLUSTER_CORE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/random/bit_gen_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cluster/planner.h"
#include "cluster/rate_limit.h"
#include "protocol/messages.h"

namespace roost {

// Names of things that the core refers to in effects and hears of again in events. Never reused
// within a process.
enum class CallId : uint64_t {};
enum class FetchId : uint64_t {};
enum class AskId : uint64_t {
};  // somebody's question that waits for an answer; numbered by the asker

enum class ReaderId : uint64_t {};  // a client of this node that reads a blob as it arrives

// Which obtain: a coordinator's job, on this node.
struct ObtainKey {
  NodeId coordinator;
  uint64_t job = 0;
  friend auto operator<=>(const ObtainKey&, const ObtainKey&) = default;
  template <typename H>
  friend H AbslHashValue(H state, const ObtainKey& key) {
    return H::combine(std::move(state), key.coordinator, key.job);
  }
};

// Whose bytes came by the swarm, where a node is named: nobody's in particular.
inline const NodeId kSwarmSource = NodeId::ofNumber(0);

// A file of a repo whose content a blob is: where its bytes are written, and what the hub calls it.
struct BlobSite {
  RepoId repo;
  Commit commit;
  RelativePath path;
  bool apart = false;  // in the agent's own folder, not in a client's
  // Where its bytes are, if that is known beforehand: of a file of a pip index. Empty: the hub is
  // asked for the file.
  std::string url = {};
};

// ---- Events: what happened
// ---------------------------------------------------------------------------------------

// A control link is up after both hellos. One per pair: ask Core::judge() first, and send LinkUp
// only if it says kAccept, or kReplace after closing the old link (LinkDown comes first).
// `dialled`: the address that we called, if we called.
struct LinkUp {
  MemberInfo peer;
  std::optional<Address> dialled;
};
struct LinkDown {
  NodeId peer;
};
// No link came of a Dial, be it because judge() refused it. `peer`: who answered, if its hello
// came.
struct DialFailed {
  Address address;
  absl::Status why;
  std::optional<NodeId> peer;
};
// A peer asks something over its control link; answered by Respond with the same id.
struct Asked {
  NodeId peer;
  AskId ask;
  Request request;
};
// The answer to a Call; kUnavailable if the link broke first.
struct Answered {
  CallId call;
  NodeId peer;
  absl::StatusOr<Reply> reply;
};
// Time went on. Sent at least every 100 ms while anything is under way, each second otherwise.
struct Tick {};

// This node's own adverts changed (folders were scanned, a blob landed, a file was deleted). A
// sequence of 0 is given the next number here; others must ascend (a log restored from the index).
struct LocalChanged {
  std::vector<AdvertChange> changes;
};
struct SummaryChanged {
  NodeSummary summary;
};
// A saved copy of a peer's adverts was read from the index at start, before any link.
struct CatalogRestored {
  NodeId peer;
  LogPosition position;
  std::vector<AdvertChange> changes;
};

// Answer to OpenWriter: which pieces a temporary from before a restart already has, or why it
// cannot be written.
struct WriterOpened {
  FetchId fetch;
  absl::StatusOr<std::vector<uint64_t>> piecesPresent;
};
// A client of this node downloads the blob itself, into the same folder, and what it has is not
// kept twice: pieces before `settled` are in its file. Nullopt: no client does.
struct WriterShared {
  FetchId fetch;
  std::optional<uint64_t> settled;
};
// Pieces that were written are gone, because they lay in a client's file: all begins again.
struct WriterLost {
  FetchId fetch;
};
// A ReadPiece ended. kData: the piece is in the writer. An error: link lost, time-out
// (kDeadlineExceeded), or the local disk failed (kResourceExhausted, kInternal).
struct PieceRead {
  FetchId fetch;
  NodeId source;
  uint64_t piece;
  absl::StatusOr<ReadOutcome> outcome;
  bool answered = true;  // by the source itself, which is there then
};
// A ReadSmall ended. kData: the blob was verified and published. kDataLoss: what the source sent
// was wrong.
struct SmallRead {
  FetchId fetch;
  NodeId source;
  absl::StatusOr<ReadOutcome> outcome;
};
// The hub lane wrote a piece; and the whole HubDownload ended (ok: every piece it was asked for is
// written).
struct HubPiece {
  FetchId fetch;
  uint64_t piece;
};
struct HubEnded {
  FetchId fetch;
  absl::Status status;
};
// Answer to SwarmAsk: ok if a holder told the blob's hash tree. And the end of a SwarmJoin: ok when
// every piece that was missing then is written.
struct SwarmKnown {
  FetchId fetch;
  absl::Status status;
};
struct SwarmEnded {
  FetchId fetch;
  absl::Status status;
};
// A piece that came by the swarm is written.
struct SwarmPiece {
  FetchId fetch;
  uint64_t piece;
};
// These pieces its peers in the swarm have, instead of those before.
struct SwarmSeen {
  FetchId fetch;
  std::vector<bool> pieces;
};
// The first answer to FinishBlob, if the whole-file hash matched: nothing but the final name is
// missing.
struct BlobVerified {
  FetchId fetch;
};
// The last answer to FinishBlob. Ok: verified and visible under its final name. kDataLoss: the
// whole-file hash did not match; pieceHashes (XXH3-128, one per piece) are what was received, in
// both cases.
struct BlobFinished {
  FetchId fetch;
  absl::Status status;
  std::vector<std::array<uint8_t, 16>> pieceHashes;
};

// Answer to CheckPresent. A file is present if its blob is verified or trusted in this repo, or can
// be linked from another folder of this node.
struct PresenceKnown {
  ObtainKey obtain;
  absl::Status status;        // e.g. root not writable
  std::vector<bool> present;  // per listing.files
  uint64_t freeBytes = 0;     // that may be used on the store that would be written
};
// Answer to PublishRepo.
struct RepoPublished {
  ObtainKey obtain;
  absl::Status status;
};

// A lane server was asked for a piece of a blob that this node does not hold whole. Answered by
// AnswerPiece.
struct PieceAsked {
  NodeId peer;
  AskId ask;
  BlobId blob;
  uint64_t piece;
};

// A client of this node reads a blob that is not here: it is fetched while there is a reader.
struct ReaderBegan {
  ReaderId reader;
  BlobInfo blob;
  BlobSite site;
};
// Answered by AnswerReader when the piece is here, or when the fetch has ended. `piece` is within
// the blob, or the one behind its last: that is there when the whole is verified.
struct PieceWanted {
  ReaderId reader;
  AskId ask;
  uint64_t piece;
};
// The reader has all it wants, or went away.
struct ReaderGone {
  ReaderId reader;
};

// A user's order, resolved to files and targets. `id` is 0 for a new one, or that of a job restored
// after a restart.
struct JobOrder {
  uint64_t id = 0;
  std::string title;  // "org/model", shown in status
  Listing listing;
  std::vector<FileEntry> manifestOnly;
  std::vector<RefState> refs;
  SourceRule from = SourceRule::kAny;
  std::vector<NodeId> targets;
  absl::Time created;
  // Bytes per second, on each target, of blobs that nobody but this job waits for; 0: none.
  uint64_t limit = 0;
};
struct JobOrdered {
  AskId ask;
  JobOrder order;
};  // answered by JobAccepted
// The state of a job for `status`, `jobs` and the index.
struct TargetView {
  NodeId node;
  std::string name;
  ObtainProgress progress;
};
struct JobView {
  JobOrder order;
  std::vector<TargetView> targets;
  bool finished = false;
  bool cancelled = false;
  absl::Status result;  // when finished: ok, or the worst target's error
  absl::Time finishedAt;
};
// A job that was saved, at start: an unfinished one goes on (answered by JobAccepted), a finished
// one is only remembered.
struct JobRestored {
  AskId ask;
  JobView view;
};
struct JobCancelled {
  uint64_t id;
};
struct JobLimited {
  uint64_t id;
  uint64_t limit;  // of JobOrder
};
// Addresses to dial besides those of the start: a host file was read.
struct SeedsFound {
  std::vector<Address> seeds;
};

using Event =
    std::variant<LinkUp, LinkDown, DialFailed, Asked, Answered, Tick, LocalChanged, SummaryChanged,
                 CatalogRestored, WriterOpened, WriterShared, WriterLost, PieceRead, SmallRead,
                 HubPiece, HubEnded, SwarmKnown, SwarmEnded, SwarmPiece, SwarmSeen, BlobVerified,
                 BlobFinished, PresenceKnown, RepoPublished, PieceAsked, JobOrdered, JobRestored,
                 JobCancelled, JobLimited, SeedsFound, ReaderBegan, PieceWanted, ReaderGone>;

// ---- Effects: what to do
// -----------------------------------------------------------------------------------------

struct Dial {
  Address address;
};
struct Hangup {
  NodeId peer;
  std::string why;
};
struct Call {
  NodeId peer;
  CallId call;
  Request request;
};
struct Respond {
  NodeId peer;
  AskId ask;
  absl::StatusOr<Reply> reply;
};

// Make a temporary for the blob next to `site`'s final place, with space reserved.
struct OpenWriter {
  FetchId fetch;
  BlobInfo blob;
  BlobSite site;
};
struct ReadPiece {
  FetchId fetch;
  NodeId source;
  BlobId blob;
  uint64_t piece;
  absl::Duration deadline;
  bool background = false;  // no client of this node waits for it
};
struct ReadSmall {
  FetchId fetch;
  NodeId source;
  BlobInfo blob;
  BlobSite site;
};
// Download these pieces (ascending) from the hub; `fence` is checked against StopHub before each
// request.
struct HubDownload {
  FetchId fetch;
  BlobInfo blob;
  BlobSite site;
  std::vector<uint64_t> pieces;
  uint64_t fence;
  bool followed = false;        // others take the pieces from here as they land
  uint64_t limit = UINT64_MAX;  // pieces from there on only after a LimitHub that allows them
  absl::Time until = absl::InfiniteFuture();  // no request after it: the lease has ended
  bool yields = false;                        // to others, for which clients wait: a trickle
  std::shared_ptr<RateLimit> pace = nullptr;  // of the jobs that wait for it; null: none
};
// What has changed of a download that runs.
struct LimitHub {
  FetchId fetch;
  uint64_t limit;
  bool followed;
  absl::Time until;
  bool yields = false;
  std::shared_ptr<RateLimit> pace = nullptr;
};
struct StopHub {
  FetchId fetch;
};
// Ask these holders, one after the other, how to get the blob by the swarm, until one tells.
struct SwarmAsk {
  FetchId fetch;
  std::vector<NodeId> holders;
};
// After SwarmKnown: take what is missing from the swarm of these nodes, and give them what comes
// otherwise.
struct SwarmJoin {
  FetchId fetch;
  std::vector<NodeId> peers;
  std::shared_ptr<RateLimit> pace = nullptr;  // of the jobs that wait for it; null: none
};
// Others that are in it now.
struct SwarmPeers {
  FetchId fetch;
  std::vector<NodeId> peers;
};
// Another one, or none any more.
struct SwarmPace {
  FetchId fetch;
  std::shared_ptr<RateLimit> pace;
};
struct SwarmLeave {
  FetchId fetch;
};
struct FinishBlob {
  FetchId fetch;
};  // all pieces are written: verify, fsync, rename
struct RestartBlob {
  FetchId fetch;
  bool wrong;  // the received bytes; otherwise they were lost
};             // forget all pieces, keep the writer
struct CloseWriter {
  FetchId fetch;
  bool keepPartial;
};  // the fetch ended without success; kept for a later resume
struct AnswerPiece {
  NodeId peer;
  AskId ask;
  ReadOutcome outcome;
  std::optional<FetchId> from;
};  // kData: read it there

// Ok with `from`: the piece is in that writer, or, if it was one behind the last, the whole is
// there and verified. Ok without: the blob is whole and published. Else why the fetch failed.
struct AnswerReader {
  AskId ask;
  absl::Status status;
  std::optional<FetchId> from;
};

struct CheckPresent {
  ObtainKey obtain;
  Listing listing;
};
struct PublishRepo {
  ObtainKey obtain;
  Listing listing;
  std::vector<FileEntry> manifestOnly;
  std::vector<RefState> refs;
};

struct JobAccepted {
  AskId ask;
  uint64_t id;
};
struct JobChanged {
  uint64_t id;
  bool structural;
};  // structural: worth saving (created, a target done, finished)

// A peer's adverts changed and should be saved with the position they lead to (batched by the
// agent).
struct SaveCatalog {
  NodeId peer;
  bool reset;
  std::vector<AdvertChange> changes;
  LogPosition position;
};
// Worth a log line or a problem entry: a liar, a clone, a conflict.
struct Report {
  enum class Level { kInfo, kWarning } level;
  std::string text;
};

using Effect =
    std::variant<Dial, Hangup, Call, Respond, OpenWriter, ReadPiece, ReadSmall, HubDownload,
                 LimitHub, StopHub, SwarmAsk, SwarmJoin, SwarmPeers, SwarmPace, SwarmLeave,
                 FinishBlob, RestartBlob, CloseWriter, AnswerPiece, AnswerReader, CheckPresent,
                 PublishRepo, JobAccepted, JobChanged, SaveCatalog, Report>;
using Effects = std::vector<Effect>;

// ---- Queries: what others show or decide with
// --------------------------------------------------------------------

struct NodeView {
  MemberInfo info;
  NodeState state;  // its own word, or suspected, gone
  NodeSummary summary;
  absl::Time heard;  // last message
  bool self = false;
};
struct HolderView {
  NodeId node;
  bool unverified;
};
struct RepoHolderView {
  NodeId node;
  RepoAdvert advert;
};
struct RepresentationHolderView {
  NodeId node;
  RepresentationClaim claim;
};
// Nodes claim different values for one key.
struct RepresentationConflict {
  RepresentationKey key;
  std::vector<RepresentationHolderView> claims;  // the one that counts first
};
struct ClusterTotals {
  uint64_t uniqueBlobs = 0, uniqueBytes = 0, heldBytes = 0;
  uint32_t models = 0, datasets = 0, spaces = 0, datasetCaches = 0, trees = 0;
};

// What to do with a control link whose hellos are done.
enum class LinkVerdict : uint8_t {
  kAccept,
  kReplace,    // keep this one, close the one that is there
  kDuplicate,  // both sides dialled at once and the other link stays: refuse this one
  kSelf,       // we called ourselves: refuse
  kClone,  // the id and epoch of a live node at another address: refuse, and tell people on both
           // sides
  kStale,  // an epoch before the one that is known: refuse
  kFull,   // too many members: refuse
};

// How much the core keeps for what is under way: what must come back to nothing when nothing is.
struct CoreSizes {
  size_t calls = 0, fetches = 0, obtains = 0, readers = 0, jobs = 0, records = 0, wants = 0,
         heldPolls = 0;
};

class Core {
 public:
  struct Options {
    MemberInfo self;
    std::vector<Address> seeds;
    bool hubAllowed =
        true;            // this node may download from the hub; what has a URL from there anyway
    uint64_t logId = 0;  // of its own advert log
    // Of all that this node downloads; null: no limit. Must outlive the core.
    RateLimit* downloads = nullptr;
    // That want a blob at once for it to come by the swarm; 0: this node has no swarm.
    uint32_t swarmNodes = 0;
    bool swarmByOrder = false;  // PlanInput
  };
  // `random` must outlive the core.
  Core(Options options, absl::BitGenRef random);
  ~Core();

  // Applies one event at `now` (never earlier than the last) and says what to do.
  Effects on(const Event& event, absl::Time now);
  // The latest `now` by which a Tick is due.
  absl::Time nextTick() const;

  // What to do with a link whose hellos are done; `dialled`: we called. To be asked before LinkUp.
  LinkVerdict judge(const MemberInfo& peer, bool dialled) const;
  // False for at most two seconds after the start, while it is not known yet who holds what.
  bool acquainted(absl::Time now) const;

  std::vector<NodeView> nodes() const;  // self first, then by name
  const MemberInfo& self() const;
  std::optional<NodeView> node(const NodeId& id) const;
  std::vector<NodeId> membersWith(uint64_t feature) const;  // there now, sorted, self if it has it
  // Claims of present nodes, this one among them; the oldest first.
  std::vector<RepresentationHolderView> representation(const RepresentationKey& key) const;
  void eachRepresentation(absl::FunctionRef<void(const RepresentationKey&)> visit) const;
  std::vector<RepresentationConflict> representationConflicts() const;  // kConflictsKept at most
  std::vector<HolderView> holders(const BlobId& blob) const;  // complete ones, self included
  std::optional<uint64_t> sizeOf(const BlobId& blob) const;   // as its complete holders say
  std::vector<NodeId> wantersKnown(const BlobId& blob) const;
  // Which lane and whom the fetch of that blob uses, or would use if it began now. `site`: a file
  // that has it, if one is known.
  Plan plan(const BlobInfo& blob, const std::optional<BlobSite>& site, SourceRule rule) const;
  std::vector<RepoHolderView> repoHolders(const RepoId& repo) const;  // every commit
  std::vector<std::pair<NodeId, RefState>> refs(const RepoId& repo) const;
  std::vector<RepoId> repos(RepoType type) const;  // that a present node holds any of; sorted
  ClusterTotals totals() const;
  std::vector<JobView> jobs() const;  // newest first
  std::optional<JobView> job(uint64_t id) const;
  CoreSizes sizes() const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace roost

#endif  // ROOST_CLUSTER_CORE_H_
