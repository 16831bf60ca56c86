// The single flight that obtains one blob on this node, however many wait for it: asks several
// sources for pieces at once, takes its own stripe from complete holders and the others' stripes
// from the other wanters, downloads from the hub when it holds the lease, and when the whole turns
// out wrong repeats it from one source to find the liar.
//
// Small blobs (kInlineBlobBytesMax) are read whole from one holder, and go the same way as large
// ones only if nobody has them.
//
// Threads: one (the core's). Memory: a few bytes a piece. Never waits without a deadline.
#ifndef ROOST_CLUSTER_FETCH_H_
#define ROOST_CLUSTER_FETCH_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/inlined_vector.h"
#include "absl/functional/function_ref.h"
#include "absl/random/bit_gen_ref.h"
#include "cluster/catalog.h"
#include "cluster/distrust.h"
#include "cluster/follower.h"
#include "cluster/members.h"
#include "cluster/planner.h"
#include "cluster/read_budget.h"
#include "cluster/sources.h"
#include "cluster/wants.h"

namespace roost {

// What a fetch decides with; all of it outlives the fetch.
struct FetchWorld {
  const Members& members;
  const Catalog& catalog;
  const Follower& follower;
  Wants& wants;
  Distrust& distrust;
  ReadBudgets& reads;
  absl::BitGenRef random;
  bool hubAllowed;
  uint32_t swarmNodes = 0;  // Core::Options
  bool swarmByOrder = false;
};

class Fetch final : public Wanter {
 public:
  Fetch(FetchId id, const BlobInfo& blob, const BlobSite& site, SourceRule rule,
        const FetchWorld& world);

  // ---- Events.
  void start(Turn& turn);
  void writerOpened(Turn& turn, const WriterOpened& event);
  void writerShared(Turn& turn, const WriterShared& event);
  void writerLost(Turn& turn);
  void pieceRead(Turn& turn, const PieceRead& event);
  void smallRead(Turn& turn, const SmallRead& event);
  void hubPiece(Turn& turn, uint64_t piece);
  void hubEnded(Turn& turn, const absl::Status& status);
  void swarmKnown(Turn& turn, const absl::Status& status);
  void swarmEnded(Turn& turn, const absl::Status& status);
  void swarmPiece(Turn& turn, uint64_t piece);
  void swarmSeen(Turn& turn, const SwarmSeen& event);
  void verified(Turn& turn);
  void finished(Turn& turn, const BlobFinished& event);
  void pieceAsked(Turn& turn, const NodeId& peer, AskId ask, uint64_t piece);
  void pieceWanted(Turn& turn, AskId ask, uint64_t piece);
  // What clients of this node waited for nobody waits for any more.
  void readersGone(Turn& turn);
  void sourcesChanged() { sourcesStale_ = true; }
  void tick(Turn& turn);
  void cancel(Turn& turn);
  // Before start(): others begin at the same time, so a stripe of it is taken from the first piece
  // on.
  void expectCompany() { company_ = true; }
  // A second one who waits may allow more.
  void widen(SourceRule rule);
  // Nobody waits for it but clients of this node that read it.
  void setReadersOnly(bool readersOnly) { readersOnly_ = readersOnly; }
  // No client of this node waits for it: it yields to those for which one does.
  void setBackground(bool background) { background_ = background; }
  bool background() const { return background_; }
  // Of those who wait for it, the widest; null: one of them sets no limit.
  void setPace(std::shared_ptr<RateLimit> pace) { pace_ = std::move(pace); }
  // What it does now, and why.
  Plan plan() const;

  // ---- As a wanter.
  Want want() const override;
  void granted(Turn& turn, const Grant& grant, absl::Time sentAt) override;
  bool contented() const override;

  // ---- What became of it.
  FetchId id() const { return id_; }
  const BlobInfo& blob() const { return blob_; }
  bool small() const { return blob_.size <= kInlineBlobBytesMax; }
  bool ended() const { return state_ == State::kEnded; }
  bool isVerified() const { return verified_; }  // whole; its final name is all that is missing
  const absl::Status& result() const { return result_; }
  uint64_t bytesHad() const { return bytesHad_; }  // written here, resumed ones included
  uint64_t bytesResumed() const { return bytesResumed_; }
  // Bytes by sender; none is the hub.
  std::vector<std::pair<std::optional<NodeId>, uint64_t>> received() const;
  bool usesHub() const { return hubRunning_; }
  const std::vector<NodeId>& wanters() const { return grant_.wanters; }

 private:
  enum class State : uint8_t {
    kSeeking,  // small: nobody has it yet
    kReadingSmall,
    kOpening,  // the writer
    kRunning,
    kFinishing,  // the whole is being verified
    kDraining,   // it was wrong: late reads must end before it begins again
    kEnded,
  };
  // Who sent a piece: an index into sources_, or one of these.
  using Sender = uint16_t;
  static constexpr Sender kNobody = 0xffff;
  static constexpr Sender kHubSender = 0xfffe;
  static constexpr Sender kDiskSender = 0xfffd;
  static constexpr Sender kSwarmSender = 0xfffc;
  struct Ask {
    Sender source;
    bool abandoned;   // its source is away: the piece may be asked elsewhere
    bool fromOrigin;  // which budget it counts against
    bool fromHolder;  // its source was known to have the whole when it was asked
    bool ownStripe;   // taken from an origin for itself and others
    bool background;  // as it was when it was asked
    absl::Time at;
  };
  struct Promised {
    NodeId peer;
    AskId ask;
  };

  size_t pick(size_t count);  // at random, below count

  // Limits, and who goes first (fetch_plan.cc).
  PlanInput planInput() const;
  bool yields() const;
  bool mayTake();  // the limits leave room for something now
  void charge(uint64_t bytes);
  void noteReaders();                                          // after each change of waiting_
  void answerReaders(Turn& turn, const absl::Status& status);  // all that wait
  void noteChurn(const Grant& news);

  // Small blobs and the writer.
  bool trySmall(Turn& turn);
  void openWriter(Turn& turn);
  void registerWant(Turn& turn);

  // The pieces.
  uint64_t pieceBytes(uint64_t piece) const;
  // The registrar has had time to hear of all who began together.
  bool settledIn() const { return grants_ >= 2 || only_ || rule_ == SourceRule::kHubOnly; }
  int mayReadUnsettled() const;
  bool have(uint64_t piece) const { return have_[piece]; }
  bool askedLive(uint64_t piece) const;
  bool askedOfOrigin(uint64_t piece) const;
  bool needed(uint64_t piece) const {
    return !have_[piece] && !askedLive(piece) && !bySwarm(piece);
  }
  // Pieces from there on are not asked for yet: a client writes the blob itself, and what is far
  // ahead of it would have to be put on the disk.
  uint64_t limit() const;
  void relimit(Turn& turn);
  bool followed() const { return grant_.wanters.size() > 1; }
  void landed(Turn& turn, uint64_t piece, Sender sender);
  void giveBack(uint64_t piece);
  std::optional<uint64_t> nextOfClass(uint32_t residue);
  void pump(Turn& turn);
  void askNext(Turn& turn, Sender source);
  std::optional<uint64_t> choose(Sender source);
  std::optional<uint64_t> chooseForReaders();
  std::optional<uint64_t> chooseOwed();
  std::optional<uint64_t> chooseAny(Source& source);
  void ask(Turn& turn, Sender source, uint64_t piece);
  ReadBudget& budget(bool fromOrigin) const;
  int& readsOf(bool fromOrigin) { return fromOrigin ? originReads_ : wanterReads_; }
  void settleAsk(const Ask& ask);
  void hedge(Turn& turn);
  // Stripes (fetch_stripes.cc).
  void watchPace();
  double usualPace();
  bool behind(Source& source, double usual) const;
  void restartClasses();
  bool wellAhead(uint32_t residue) const;
  bool out(Sender owner) const;            // a wanter whose stripe others share
  uint32_t standIn(uint64_t piece) const;  // the class whose owner takes it then
  bool isStandIn(Sender source, uint64_t piece) const;
  void learnKnown();
  bool somebodyHas(uint64_t piece) const;
  void noteElsewhere();
  std::optional<uint64_t> chooseOf(uint32_t residue, const PieceMap& known);
  std::optional<uint64_t> chooseKnown(Source& source);
  std::optional<uint64_t> chooseForAbsent(uint32_t residue);
  bool takeOver(uint64_t piece, const NodeId& to);
  std::optional<uint64_t> chooseTakenOver();
  void readFailed(Turn& turn, const PieceRead& event, Sender index, bool fromHolder,
                  bool ownStripe);
  // What was asked so may be asked elsewhere too.
  void abandonAsks(absl::FunctionRef<bool(const Ask&)> which);
  void resetPieces();
  void maybeFinish(Turn& turn);

  // The sources.
  void refresh(Turn& turn);
  void refreshHolders();
  void refreshStripes();
  bool usable(const Source& source) const;
  bool origin(const Source& source) const;
  bool anyOrigin() const;
  bool anyHolder() const;  // a complete one
  bool anyHolderBut(const NodeId& node) const;
  bool mayReadFrom(Sender source) const;
  bool promisable(uint64_t piece, const NodeId& to) const;
  PieceMap promised() const;
  void breakPromises(Turn& turn);

  // The hub.
  // A blob whose place is known needs no hub.
  bool hubAllowed() const { return world_.hubAllowed || !site_.url.empty(); }
  bool hubOpen() const;
  bool leased() const { return lease_ != 0 && now_ < leaseUntil_; }
  void startHub(Turn& turn);
  bool gather();  // true while other wanters are still asked for what they have
  void stopHub(Turn& turn);
  void dropLease(Turn& turn);

  // The swarm: fetch_swarm.cc.
  bool swarmMayHelp() const;
  bool swarmPlanned();
  void followSwarm(Turn& turn);
  void leaveSwarm(Turn& turn);
  bool leftToSwarm(const Source& source) const;
  bool bySwarm(uint64_t piece) const { return piece < swarmSeen_.size() && swarmSeen_[piece]; }
  bool numbered() const;
  bool inSwarm(const NodeId& node) const;
  absl::Duration swarmPatience() const;
  int swarmWindow() const;
  void noteSeen(std::vector<bool> pieces);
  std::vector<NodeId> swarmHolders() const;
  std::vector<NodeId> swarmPeers() const;

  // The end.
  void repeat(Turn& turn);
  void repeatFromNext(Turn& turn);
  std::optional<Sender> soleSender() const;
  std::optional<Sender> nextSuspect();
  void proveWrong(Turn& turn, Sender sender, bool verified);
  void nameLiars(Turn& turn, const BlobFinished& event);
  void checkHope(Turn& turn);
  absl::Status hopeless() const;
  void end(Turn& turn, absl::Status result);

  const FetchId id_;
  const BlobInfo blob_;
  const BlobSite site_;
  SourceRule rule_;
  const FetchWorld& world_;
  State state_ = State::kSeeking;
  absl::Status result_;
  absl::Time now_ = absl::InfinitePast();
  bool writerOpen_ = false;
  bool registered_ = false;
  bool verified_ = false;
  bool readersOnly_ = false;
  bool background_ = false;
  bool company_ = false;
  absl::Time begunAt_ = absl::InfinitePast();
  bool countedWaiting_ = false;  // in world_.reads.readersWaiting
  bool countedTrickle_ = false;  // in world_.reads.smallTrickle
  std::shared_ptr<RateLimit> pace_;
  size_t churn_ = 0;                 // wanters that came or went
  std::optional<uint64_t> settled_;  // pieces that a client's own file has; none: there is no such

  // Pieces.
  uint64_t count_;
  uint64_t haveCount_ = 0;
  uint64_t bytesHad_ = 0;
  uint64_t bytesResumed_ = 0;
  uint64_t hubBytes_ = 0;
  uint64_t hedgedPieces_ = 0;
  mutable uint64_t prefix_ = 0;  // pieces from 0 on that are here
  std::vector<bool> have_;
  std::vector<Sender> senders_;
  absl::flat_hash_map<uint64_t, absl::InlinedVector<Ask, 2>> asks_;
  int originReads_ = 0;  // under way
  int wanterReads_ = 0;
  absl::btree_set<uint64_t> owed_;  // their stripe's owner did not deliver: any origin may
  std::vector<uint64_t> cursors_;   // per residue class: nothing is needed before it
  std::vector<uint64_t> missing_;   // per residue class: pieces that are not here
  absl::btree_map<uint64_t, std::vector<Promised>> promised_;
  size_t promisedCount_ = 0;
  // Of this node's own readers: which piece each waits for, since when.
  struct Waiting {
    AskId ask;
    absl::Time since;
  };
  absl::btree_map<uint64_t, std::vector<Waiting>> waiting_;

  // Sources and stripes.
  Sources sources_;
  bool sourcesStale_ = true;
  Grant grant_;
  int grants_ = 0;
  std::vector<Sender> stripes_;               // per residue class its owner; kNobody: this node
  uint32_t mine_ = 0;                         // this node's class
  PieceMap elsewhere_;                        // pieces that one of them has, who is not out
  Pace ownPace_;                              // of it, from origins
  absl::btree_set<uint64_t> takenOver_;       // of other classes, promised to others
  absl::Time hopeAt_ = absl::InfinitePast();  // last time that a source was in sight
  absl::Time progressAt_ = absl::InfinitePast();

  // The hub.
  uint64_t lease_ = 0;
  absl::Time leaseUntil_ = absl::InfinitePast();
  bool hubRunning_ = false;
  uint64_t hubLimit_ = 0;  // as it was told last
  bool hubFollowed_ = false;
  bool hubYields_ = false;
  std::shared_ptr<RateLimit> hubPace_;
  absl::Time hubUntil_ = absl::InfinitePast();
  // Somebody downloaded before, so other wanters may have pieces: they are asked for all before the
  // hub is. A download by another leaseholder that died is mostly there.
  bool mustGather_ = false;
  bool gathering_ = false;
  absl::Time gatherUntil_ = absl::InfinitePast();
  bool hubDelivered_ = false;  // anything since it was started
  int hubFailures_ = 0;
  absl::Time hubAgainAt_ = absl::InfinitePast();
  absl::Status hubError_;

  // The swarm. It is asked for once; what does not come by it comes by the direct lane.
  enum class Swarm : uint8_t { kUnasked, kAsked, kKnown, kJoined, kOver };
  Swarm swarm_ = Swarm::kUnasked;
  std::vector<NodeId> swarmTold_;              // peers that the lane knows
  absl::Time swarmAt_ = absl::InfinitePast();  // when it was joined, or a piece came by it
  absl::Time swarmLookAt_ = absl::InfinitePast();
  std::vector<bool> swarmSeen_;  // pieces that its peers have; empty: not in it
  std::shared_ptr<RateLimit> swarmPace_;
  uint64_t swarmBytes_ = 0;

  // Repeats after a wrong whole.
  std::optional<Sender> only_;  // the one source of this attempt
  bool wrongOnce_ = false;
  std::vector<std::array<uint8_t, 16>> wrongHashes_;  // of the first attempt
  std::vector<Sender> wrongSenders_;
  std::vector<bool> wrongVerified_;  // per source: was a complete, verified holder then
};

}  // namespace roost

#endif  // ROOST_CLUSTER_FETCH_H_
