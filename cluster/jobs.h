// The coordinator's side of jobs: hands each target its part, polls how it stands, hands it out
// again after a lost link or a restart, and sums up.
//
// Threads: one (the core's). Memory: running jobs, and at most kJobsKept finished ones.
#ifndef ROOST_CLUSTER_JOBS_H_
#define ROOST_CLUSTER_JOBS_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cluster/members.h"
#include "cluster/obtains.h"

namespace roost {

class Jobs {
 public:
  Jobs(const Members& members, Obtains& obtains) : members_(members), obtains_(obtains) {}

  void on(Turn& turn, const JobOrdered& event);
  void on(Turn& turn, const JobRestored& event);
  void on(Turn& turn, const JobCancelled& event);
  void on(Turn& turn, const JobLimited& event);
  void obtainAnswered(Turn& turn, uint64_t job, const NodeId& target,
                      const absl::StatusOr<Reply>& reply);
  void progressAnswered(Turn& turn, uint64_t job, const NodeId& target,
                        const absl::StatusOr<Reply>& reply);
  // This node's own part of one of its jobs.
  void ownPartEnded(Turn& turn, uint64_t job);
  void tick(Turn& turn);

  std::vector<JobView> views() const;  // newest first
  std::optional<JobView> view(uint64_t id) const;
  size_t running() const { return running_; }

 private:
  struct Target {
    NodeId node;
    ObtainProgress progress{};
    bool handed = false;   // it has its part, as far as we know
    bool calling = false;  // a call is under way
    bool ended = false;
    bool cancelSent = false;
    absl::Time next{};  // when to talk to it again
    absl::Time awaySince = absl::InfiniteFuture();
  };
  struct Job {
    JobOrder order;
    std::vector<Target> targets{};  // sorted by node
    bool finished = false;
    bool cancelled = false;
    absl::Status result{};
    absl::Time finishedAt = absl::InfinitePast();
  };

  Target* find(uint64_t job, const NodeId& target);
  void drive(Turn& turn, Job& job, Target& target);
  void driveSelf(Turn& turn, Job& job, Target& target);
  ObtainRequest requestOf(const Job& job) const;
  // The target with the smallest id that sees the same store, if it is not this one.
  const Target* deputyOf(const Job& job, const Target& target) const;
  void update(Turn& turn, Job& job, Target& target, const ObtainProgress& progress);
  void endTarget(Turn& turn, Job& job, Target& target);
  void settle(Turn& turn, Job& job);
  absl::Status sum(const Job& job) const;
  void forgetOld();
  JobView viewOf(const Job& job) const;

  const Members& members_;
  Obtains& obtains_;
  absl::btree_map<uint64_t, Job> jobs_;
  uint64_t next_ = 1;
  size_t running_ = 0;
};

}  // namespace roost

#endif  // ROOST_CLUSTER_JOBS_H_
