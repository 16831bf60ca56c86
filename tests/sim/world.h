// An imagined cluster around real Cores: links with delay and bandwidth, disks whose pieces are
// content tags (so that wrong bytes exist), a hub that counts what it serves, and a clock that
// jumps from event to event. Everything that happens follows from the seed.
//
// Threads: one.
#ifndef ROOST_TESTS_SIM_WORLD_H_
#define ROOST_TESTS_SIM_WORLD_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <queue>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "cluster/core.h"
#include "cluster/upload_turns.h"
#include "tests/sim/flows.h"

namespace roost::sim {

using NodeIndex = size_t;
using Tag = uint64_t;  // stands for the bytes of a piece

// What the bytes of a blob's piece are, if they are right.
Tag rightTag(const BlobId& blob, uint64_t piece);
BlobId blobOfNumber(uint64_t number);
Commit commitOfNumber(uint64_t number);

struct WorldOptions {
  uint64_t seed = 1;
  size_t nodes = 8;
  double linkBytesPerSecond = 12.5e6;  // of each node, each way: 100 Mbit/s
  double hubBytesPerSecond = 25e6;     // to each node
  absl::Duration latency = absl::Milliseconds(1);
  std::vector<std::vector<StoreId>> stores;  // per node; may be shorter
};

class World {
 public:
  explicit World(const WorldOptions& options);
  ~World();

  // ---- Before and between runs.
  void putOnHub(const BlobInfo& blob);
  // The node has the blob on its disk before it starts, or adopts it now. `wrongPieces` are wrong.
  void putOnDisk(NodeIndex node, const BlobInfo& blob, bool unverified = false,
                 const std::set<uint64_t>& wrongPieces = {});
  void setFree(NodeIndex node, uint64_t bytes);
  void setRate(NodeIndex node, double bytesPerSecond);
  void setHubAllowed(NodeIndex node, bool allowed);
  // Bytes per second; 0: none. At any time.
  void limitUploads(NodeIndex node, uint64_t rate) { nodes_[node]->uploads->set(rate, now_); }
  void limitDownloads(NodeIndex node, uint64_t rate) { nodes_[node]->downloads->set(rate, now_); }
  void setZone(NodeIndex node, const std::string& zone);  // before it starts
  void setHubDown(bool down) { hubDown_ = down; }

  void start(NodeIndex node);                // (again): the next epoch, disk and partials kept
  void crash(NodeIndex node);                // as kill -9
  void breakLink(NodeIndex a, NodeIndex b);  // the connection ends, both hear of it
  // Between the two sides nothing gets through, silently.
  void partition(const std::set<NodeIndex>& side);
  void healPartition() { partition({}); }

  uint64_t order(NodeIndex coordinator, const JobOrder& order);
  void cancel(NodeIndex coordinator, uint64_t job);
  void limitJob(NodeIndex coordinator, uint64_t job, uint64_t rate);
  // A client of that node reads the blob from its beginning to its end, as fast as it comes.
  void read(NodeIndex node, const BlobInfo& blob);
  // How far those clients are: pieces of that blob, UINT64_MAX when they have it.
  uint64_t readUpTo(NodeIndex node, const BlobId& blob) const;
  void runUntil(absl::Time time);
  void runFor(absl::Duration duration) { runUntil(now_ + duration); }
  // Runs until done() or the time is up; says whether it is done.
  bool runUntilDone(absl::Duration most, const std::function<bool()>& done);
  void at(absl::Time time, std::function<void()> what);

  // ---- What is there to see.
  absl::Time now() const { return now_; }
  Core& core(NodeIndex node) { return *nodes_[node]->core; }
  bool up(NodeIndex node) const { return nodes_[node]->core != nullptr; }
  NodeId idOf(NodeIndex node) const { return nodes_[node]->info.id; }
  bool holdsRight(NodeIndex node, const BlobId& blob) const;
  bool published(NodeIndex node, const BlobId& blob) const;
  bool repoPublished(NodeIndex node, const Commit& commit) const;
  uint64_t sent(NodeIndex node) const { return nodes_[node]->sent; }  // payload to peers
  uint64_t crossed() const { return crossed_; }                       // from one zone to another
  uint64_t received(NodeIndex node) const { return nodes_[node]->received; }  // hub's included
  uint64_t hubServed() const { return hubServed_; }
  uint64_t hubServed(const BlobId& blob) const;
  bool downloads(NodeIndex node) const { return !nodes_[node]->hub.empty(); }  // from the hub
  const std::vector<std::string>& reports(NodeIndex node) const { return nodes_[node]->reports; }
  size_t fullMeshLinks() const;  // links that are up
  std::optional<JobView> job(NodeIndex node, uint64_t id) const;
  uint64_t events() const { return events_; }
  // Broken rules that were seen on the way; must stay empty.
  const std::vector<std::string>& violations() const { return violations_; }

 private:
  struct Copy {
    uint64_t size = 0;
    std::vector<Tag> tags;
    bool unverified = false;
  };
  struct Partial {
    std::vector<std::optional<Tag>> tags;
  };
  struct Writer {
    BlobInfo blob;
    bool finishing = false;
  };
  struct HubJob {
    std::vector<uint64_t> pieces;
    size_t next = 0;
    uint64_t serial = 0;
    BlobInfo blob;
    std::shared_ptr<RateLimit> pace;
  };
  struct Client {
    ReaderId reader;
    BlobInfo blob;
    uint64_t next = 0;  // the piece it waits for
  };
  struct SavedCatalog {
    std::vector<AdvertChange> changes;
    LogPosition position;
  };
  struct Node {
    MemberInfo info;
    std::mt19937_64 random;
    std::unique_ptr<Core> core;
    uint64_t life = 0;  // counts the starts; late events of an earlier life are dropped
    absl::Time tickAt;
    bool hubAllowed = true;
    double rate = 0;
    uint64_t sent = 0;
    uint64_t received = 0;
    std::shared_ptr<RateLimit> uploads = std::make_shared<RateLimit>();
    UploadTurns turns{*uploads};
    std::shared_ptr<RateLimit> downloads = std::make_shared<RateLimit>();
    std::map<AskId, Client> clients;  // by their question
    std::map<BlobId, uint64_t> readUpTo;
    uint64_t freeBytes = uint64_t{1} << 50;
    std::map<BlobId, Copy> disk;
    std::map<BlobId, Partial> partials;
    std::map<FetchId, Writer> writers;
    std::map<FetchId, HubJob> hub;
    std::set<std::string> repos;  // commits
    std::map<uint64_t, JobView> savedJobs;
    std::map<NodeId, SavedCatalog> saved;
    std::map<uint64_t, uint64_t> accepted;  // ask → job
    std::vector<std::string> reports;
  };
  struct PendingCall {
    NodeIndex caller;
    NodeIndex callee;
    CallId call;
    uint64_t link;
  };
  struct PendingRead {
    NodeIndex reader;
    NodeIndex source;
    uint64_t readerLife;
    FetchId fetch;
    BlobInfo blob;
    uint64_t piece;
    bool small;
    bool background = false;
    std::optional<Tag> tag = {};  // of what is being sent
  };
  struct Scheduled {
    absl::Time time;
    uint64_t order;
    std::function<void()> what;
    bool operator>(const Scheduled& other) const {
      return std::tie(time, order) > std::tie(other.time, other.order);
    }
  };

  void send(NodeIndex node, const Event& event);
  void perform(NodeIndex node, Effect& effect);
  void later(absl::Duration delay, std::function<void()> what) { at(now_ + delay, what); }
  void scheduleTick(NodeIndex node);
  void tick(NodeIndex node, uint64_t life);
  bool reachable(NodeIndex a, NodeIndex b) const;
  // Over a connection nothing is lost: what is sent while nothing gets through comes later, unless
  // the connection ends first.
  void deliver(NodeIndex a, NodeIndex b, std::function<bool()> alive, std::function<void()> what);
  uint64_t& linkOf(NodeIndex a, NodeIndex b);
  void linkDown(NodeIndex a, NodeIndex b);
  std::optional<NodeIndex> indexOf(const NodeId& id) const;

  void perform(NodeIndex node, const Dial& effect);
  void perform(NodeIndex node, const Hangup& effect);
  void perform(NodeIndex node, const Call& effect);
  void perform(NodeIndex node, const Respond& effect);
  void perform(NodeIndex node, const OpenWriter& effect);
  void perform(NodeIndex node, const ReadPiece& effect);
  void perform(NodeIndex node, const ReadSmall& effect);
  void perform(NodeIndex node, const HubDownload& effect);
  void perform(NodeIndex node, const LimitHub& effect);  // no clients write here
  void perform(NodeIndex node, const StopHub& effect);
  void perform(NodeIndex node, const FinishBlob& effect);
  void perform(NodeIndex node, const RestartBlob& effect);
  void perform(NodeIndex node, const CloseWriter& effect);
  void perform(NodeIndex node, const AnswerPiece& effect);
  void perform(NodeIndex node, const AnswerReader& effect);
  // No swarms here.
  void perform(NodeIndex, const SwarmAsk&) {}
  void perform(NodeIndex, const SwarmJoin&) {}
  void perform(NodeIndex, const SwarmPeers&) {}
  void perform(NodeIndex, const SwarmPace&) {}
  void perform(NodeIndex, const SwarmLeave&) {}
  void perform(NodeIndex node, const CheckPresent& effect);
  void perform(NodeIndex node, const PublishRepo& effect);
  void perform(NodeIndex node, const JobAccepted& effect);
  void perform(NodeIndex node, const JobChanged& effect);
  void perform(NodeIndex node, const SaveCatalog& effect);
  void perform(NodeIndex node, const Report& effect);

  void readArrives(uint64_t read);
  void answerRead(uint64_t read, absl::StatusOr<ReadOutcome> outcome, std::optional<Tag> tag);
  void endRead(uint64_t read, absl::StatusOr<ReadOutcome> outcome, std::optional<Tag> tag);
  bool beginsToSend(uint64_t read);
  void followFlows();
  void wantNext(NodeIndex node, Client client);
  void hubStep(NodeIndex node, uint64_t life, FetchId fetch, uint64_t serial);
  void advertise(NodeIndex node, const BlobId& blob);
  std::array<uint8_t, 16> hashOf(Tag tag) const;

  const WorldOptions options_;
  absl::Time now_;
  uint64_t order_ = 0;
  uint64_t events_ = 0;
  uint64_t nextAsk_ = 1;
  uint64_t nextSerial_ = 1;
  std::priority_queue<Scheduled, std::vector<Scheduled>, std::greater<>> queue_;
  std::vector<std::unique_ptr<Node>> nodes_;
  std::map<std::pair<NodeIndex, NodeIndex>, uint64_t> links_;  // 0: down; else its serial
  std::map<AskId, PendingCall> calls_;
  std::map<uint64_t, PendingRead> reads_;
  Flows flows_;
  uint64_t flowTurn_ = 0;
  std::map<AskId, uint64_t> pieceAsks_;
  std::set<NodeIndex> side_;
  std::map<BlobId, uint64_t> hubBlobs_;  // sizes
  std::map<BlobId, uint64_t> hubServedBy_;
  uint64_t crossed_ = 0;
  uint64_t hubServed_ = 0;
  bool hubDown_ = false;
  std::vector<std::string> violations_;
};

}  // namespace roost::sim

#endif  // ROOST_TESTS_SIM_WORLD_H_
