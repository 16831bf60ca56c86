// A target's part of jobs: what is present, whether the rest fits, its fetches, and the publishing
// of the repo when all files are there.
//
// Threads: one (the core's). Memory: the listings of running obtains, and the last progress of at
// most kJobsKept finished ones.
#ifndef ROOST_CLUSTER_OBTAINS_H_
#define ROOST_CLUSTER_OBTAINS_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "cluster/fetches.h"
#include "cluster/members.h"

namespace roost {

class Obtains {
 public:
  Obtains(Fetches& fetches, const Members& members) : fetches_(fetches), members_(members) {}

  // Idempotent by key.
  void begin(Turn& turn, const ObtainRequest& request);
  void cancel(Turn& turn, const ObtainKey& key);
  // Of ObtainRequest, changed while it runs.
  void setLimit(const ObtainKey& key, uint64_t bytesPerSecond, absl::Time now);
  ObtainProgress progress(const ObtainKey& key) const;  // kUnknown if there is none
  // Answers now, or while it runs after `held` at the latest: its end is told at once.
  void asked(Turn& turn, const NodeId& peer, AskId ask, const ObtainKey& key, absl::Duration held);

  void on(Turn& turn, const PresenceKnown& event);
  void on(Turn& turn, const RepoPublished& event);
  void fetchEnded(Turn& turn, const Fetches::Ended& ended);
  // Begins fetches as far as there is room.
  void pump(Turn& turn);
  void tick(Turn& turn);

  size_t running() const { return running_.size(); }
  // Those that ended since this was asked last.
  std::vector<ObtainKey> takeEnded() { return std::exchange(ended_, {}); }

 private:
  // A blob of the listing that is not here; several files may have it.
  struct Missing {
    BlobInfo blob;
    size_t file;         // the first that has it
    uint32_t files = 1;  // how many
    enum class State : uint8_t { kWaiting, kFetching, kDone, kFailed } state = State::kWaiting;
  };
  enum class Phase : uint8_t { kChecking, kFetching, kPublishing };
  struct Obtain {
    ObtainRequest request;
    Phase phase = Phase::kChecking;
    std::vector<Missing> missing{};
    size_t next[2] = {0, 0};  // of small and of large ones: none before it waits
    size_t fetching = 0, ended = 0, failedFiles = 0;
    absl::Status failure{};
    ObtainProgress progress{};  // as far as files are done
    absl::btree_map<std::optional<NodeId>, uint64_t> received{};
    uint64_t rateBytes = 0;  // at the last measure
    absl::Time rateAt = absl::InfinitePast();
  };

  absl::Status checkSpace(const Obtain& obtain, uint64_t freeBytes) const;
  bool beginNext(Turn& turn, const ObtainKey& key, Obtain& obtain, bool small);
  void settle(Turn& turn, const ObtainKey& key);
  void cameForOthers(const Fetches::Ended& ended);
  static void done(Obtain& obtain, Missing& missing);
  static void fail(Obtain& obtain, Missing& missing, const absl::Status& status);
  ObtainProgress snapshot(const Obtain& obtain) const;
  uint64_t bytesNow(const Obtain& obtain) const;
  void finish(Turn& turn, const ObtainKey& key, ObtainState state, const absl::Status& status);
  void answer(Turn& turn, const ObtainKey& key);

  Fetches& fetches_;
  const Members& members_;
  absl::btree_map<ObtainKey, Obtain> running_;
  absl::btree_map<ObtainKey, ObtainProgress> finished_;
  std::deque<ObtainKey> finishedOrder_;
  std::vector<ObtainKey> ended_;
  // Coordinators that wait for an answer: one each.
  struct Held {
    NodeId peer;
    AskId ask;
    absl::Time until;
  };
  absl::btree_map<ObtainKey, Held> held_;
  bool pumpDue_ = false;
};

}  // namespace roost

#endif  // ROOST_CLUSTER_OBTAINS_H_
