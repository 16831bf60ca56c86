#include "cluster/jobs.h"

#include <algorithm>
#include <string>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "cluster/severity.h"
#include "protocol/errors.h"
#include "protocol/limits.h"

namespace roost {
namespace {

constexpr absl::Duration kPollPeriod = kProgressHeldMax;
constexpr absl::Duration kTargetAwayMax = absl::Minutes(10);

bool over(ObtainState state) {
  return state == ObtainState::kDone || state == ObtainState::kFailed ||
         state == ObtainState::kCancelled;
}

}  // namespace

void Jobs::on(Turn& turn, const JobOrdered& event) {
  Job job{event.order};
  if (job.order.id == 0) job.order.id = next_;
  next_ = std::max(next_, job.order.id + 1);
  const uint64_t id = job.order.id;
  turn.emit(JobAccepted{event.ask, id});
  if (jobs_.contains(id)) return;
  std::vector<NodeId> targets = job.order.targets;
  std::sort(targets.begin(), targets.end());
  targets.erase(std::unique(targets.begin(), targets.end()), targets.end());
  for (const NodeId& node : targets) {
    Target target{node};
    target.next = turn.now();
    job.targets.push_back(std::move(target));
  }
  Job& stored = jobs_.emplace(id, std::move(job)).first->second;
  ++running_;
  turn.emit(JobChanged{id, true});
  for (Target& target : stored.targets) drive(turn, stored, target);
  settle(turn, stored);
}

void Jobs::on(Turn& turn, const JobRestored& event) {
  const uint64_t id = event.view.order.id;
  if (!event.view.finished) {
    on(turn, JobOrdered{event.ask, event.view.order});
    return;
  }
  next_ = std::max(next_, id + 1);
  Job job{event.view.order};
  for (const TargetView& view : event.view.targets) {
    Target target{view.node};
    target.progress = view.progress;
    target.ended = true;
    job.targets.push_back(std::move(target));
  }
  job.finished = true;
  job.cancelled = event.view.cancelled;
  job.result = event.view.result;
  job.finishedAt = event.view.finishedAt;
  jobs_.emplace(id, std::move(job));
  forgetOld();
}

void Jobs::on(Turn& turn, const JobCancelled& event) {
  const auto it = jobs_.find(event.id);
  if (it == jobs_.end() || it->second.finished) return;
  Job& job = it->second;
  job.cancelled = true;
  turn.emit(JobChanged{event.id, true});
  for (Target& target : job.targets) {
    target.next = turn.now();
    drive(turn, job, target);
  }
  settle(turn, job);
}

// The targets hear of it with the next question how they stand.
void Jobs::on(Turn& turn, const JobLimited& event) {
  const auto it = jobs_.find(event.id);
  if (it == jobs_.end() || it->second.finished) return;
  it->second.order.limit = event.limit;
  turn.emit(JobChanged{event.id, true});
  for (Target& target : it->second.targets) target.next = turn.now();
}

Jobs::Target* Jobs::find(uint64_t job, const NodeId& node) {
  const auto it = jobs_.find(job);
  if (it == jobs_.end()) return nullptr;
  for (Target& target : it->second.targets) {
    if (target.node == node) return &target;
  }
  return nullptr;
}

ObtainRequest Jobs::requestOf(const Job& job) const {
  return {members_.self().id, job.order.id,   job.order.listing, job.order.manifestOnly,
          job.order.refs,     job.order.from, job.order.limit,   job.targets.size() > 1};
}

const Jobs::Target* Jobs::deputyOf(const Job& job, const Target& target) const {
  // Stores are of hub caches; processed datasets may lie elsewhere.
  if (!isOfHub(job.order.listing.repo.type())) return nullptr;
  const MemberInfo* info = members_.find(target.node);
  if (info == nullptr || info->stores.empty()) return nullptr;
  for (const Target& other : job.targets) {
    if (other.node == target.node) return nullptr;  // the targets are sorted: it is the first
    const MemberInfo* theirs = members_.find(other.node);
    const bool there = other.node == members_.self().id || members_.linked(other.node);
    if (theirs == nullptr || (!there && !other.ended)) continue;
    // Only the first is written to.
    if (!theirs->stores.empty() && theirs->stores.front() == info->stores.front()) return &other;
  }
  return nullptr;
}

void Jobs::drive(Turn& turn, Job& job, Target& target) {
  if (target.ended || target.calling || target.next > turn.now()) return;
  target.next = turn.now() + kPollPeriod;
  if (!target.handed && !job.cancelled) {
    if (const Target* deputy = deputyOf(job, target)) {
      if (deputy->ended) update(turn, job, target, deputy->progress);
      return;
    }
  }
  if (target.node == members_.self().id) return driveSelf(turn, job, target);
  if (!members_.linked(target.node)) {
    if (target.awaySince == absl::InfiniteFuture()) target.awaySince = turn.now();
    if (job.cancelled) {  // it forgets the job when it sees that nobody asks for it
      ObtainProgress progress = target.progress;
      progress.state = ObtainState::kCancelled;
      progress.code = absl::StatusCode::kCancelled;
      update(turn, job, target, progress);
    } else if (turn.now() - target.awaySince >= kTargetAwayMax) {
      ObtainProgress progress = target.progress;
      progress.state = ObtainState::kFailed;
      progress.code = absl::StatusCode::kDeadlineExceeded;
      progress.message = absl::StrCat("node ", members_.nameOf(target.node), " has been away for ",
                                      absl::FormatDuration(kTargetAwayMax),
                                      ". Start the job again when it is back");
      update(turn, job, target, progress);
    }
    return;
  }
  target.awaySince = absl::InfiniteFuture();
  target.calling = true;
  if (!target.handed && !job.cancelled) {
    turn.call(target.node, requestOf(job), CallPurpose::kObtain, job.order.id);
  } else {
    turn.call(target.node,
              ProgressRequest{members_.self().id, job.order.id, job.cancelled, kPollPeriod,
                              job.order.limit},
              CallPurpose::kProgress, job.order.id);
  }
}

void Jobs::driveSelf(Turn& turn, Job& job, Target& target) {
  const ObtainKey key{members_.self().id, job.order.id};
  if (job.cancelled) obtains_.cancel(turn, key);
  if (!target.handed && !job.cancelled) {
    obtains_.begin(turn, requestOf(job));
    target.handed = true;
  }
  obtains_.setLimit(key, job.order.limit, turn.now());
  update(turn, job, target, obtains_.progress(key));
}

void Jobs::obtainAnswered(Turn& turn, uint64_t id, const NodeId& node,
                          const absl::StatusOr<Reply>& reply) {
  Target* target = find(id, node);
  if (target == nullptr) return;
  target->calling = false;
  target->next = turn.now() + kPollPeriod;
  if (reply.ok() && std::holds_alternative<ObtainReply>(*reply)) {
    target->handed = true;
    target->next = turn.now();
    if (target->progress.state == ObtainState::kUnknown) {
      target->progress.state = ObtainState::kRunning;
    }
    drive(turn, jobs_.at(id), *target);  // its end is told in the answer
    return;
  }
  if (reply.ok() || absl::IsUnavailable(reply.status()) || absl::IsAborted(reply.status()) ||
      absl::IsDeadlineExceeded(reply.status())) {
    return;  // the link was lost, or it is busy: once more
  }
  ObtainProgress progress = target->progress;
  progress.state = ObtainState::kFailed;
  progress.code = reply.status().code();
  progress.message = std::string(reply.status().message());
  Job& job = jobs_.at(id);
  update(turn, job, *target, progress);
  settle(turn, job);
}

void Jobs::progressAnswered(Turn& turn, uint64_t id, const NodeId& node,
                            const absl::StatusOr<Reply>& reply) {
  Target* target = find(id, node);
  if (target == nullptr) return;
  target->calling = false;
  if (!reply.ok()) {
    target->next = turn.now() + kPollPeriod;
    return;
  }
  const auto* answer = std::get_if<ProgressReply>(&*reply);
  if (answer == nullptr) return;
  Job& job = jobs_.at(id);
  update(turn, job, *target, answer->progress);
  drive(turn, job, *target);  // unless it answered sooner than it was allowed to
  settle(turn, job);
}

void Jobs::ownPartEnded(Turn& turn, uint64_t id) {
  Target* target = find(id, members_.self().id);
  if (target == nullptr) return;
  Job& job = jobs_.at(id);
  target->next = turn.now();
  drive(turn, job, *target);
  settle(turn, job);
}

void Jobs::update(Turn& turn, Job& job, Target& target, const ObtainProgress& progress) {
  if (target.ended) return;
  if (progress.state == ObtainState::kUnknown) {
    if (job.cancelled) {  // nothing to cancel there
      target.progress.state = ObtainState::kCancelled;
      target.progress.code = absl::StatusCode::kCancelled;
      endTarget(turn, job, target);
      return;
    }
    target.handed = false;  // it was restarted: hand it out again
    target.next = turn.now();
    return;
  }
  const bool changed = !(target.progress == progress);
  target.progress = progress;
  if (over(progress.state)) {
    endTarget(turn, job, target);
  } else if (changed) {
    turn.emit(JobChanged{job.order.id, false});
  }
}

void Jobs::endTarget(Turn& turn, Job& job, Target& target) {
  target.ended = true;
  target.progress.rate = 0;
  turn.emit(JobChanged{job.order.id, true});
}

void Jobs::settle(Turn& turn, Job& job) {
  if (job.finished || std::any_of(job.targets.begin(), job.targets.end(),
                                  [](const Target& target) { return !target.ended; })) {
    return;
  }
  job.finished = true;
  job.finishedAt = turn.now();
  job.result = sum(job);
  // Nobody asks for them any more, and 200 finished jobs may have named 200,000 files each.
  job.order.listing.files = {};
  job.order.manifestOnly = {};
  --running_;
  turn.emit(JobChanged{job.order.id, true});
  forgetOld();
}

absl::Status Jobs::sum(const Job& job) const {
  absl::Status worst;
  const Target* worstTarget = nullptr;
  size_t failed = 0;
  for (const Target& target : job.targets) {
    if (target.progress.state == ObtainState::kDone) continue;
    ++failed;
    const absl::Status status(target.progress.code == absl::StatusCode::kOk
                                  ? absl::StatusCode::kUnknown
                                  : target.progress.code,
                              target.progress.message);
    if (worstTarget != nullptr && severity(status.code()) <= severity(worst.code())) continue;
    worst = status;
    worstTarget = &target;
  }
  if (job.cancelled)
    return absl::CancelledError(absl::StrCat("job ", job.order.id, " was cancelled"));
  if (worstTarget != nullptr) {
    const std::string name = members_.nameOf(worstTarget->node);
    const std::string who =
        job.targets.size() == 1
            ? name
            : absl::StrCat(failed, " of ", job.targets.size(), " nodes failed; ", name);
    return absl::Status(worst.code(), absl::StrCat(who, ": ", worst.message()));
  }
  if (!job.order.listing.complete) {
    return absl::OutOfRangeError(
        sentence(absl::StrCat(job.order.title, " was copied as far as any node shows it"),
                 "completeness unknown, because no node has the list of all its files",
                 "Run the warm again on a node that can reach the hub"));
  }
  return absl::OkStatus();
}

void Jobs::forgetOld() {
  size_t finished = jobs_.size() - running_;
  for (auto it = jobs_.begin(); it != jobs_.end() && finished > kJobsKept;) {
    if (!it->second.finished) {
      ++it;
      continue;
    }
    it = jobs_.erase(it);
    --finished;
  }
}

void Jobs::tick(Turn& turn) {
  if (running_ == 0) return;
  std::vector<uint64_t> ids;
  for (const auto& [id, job] : jobs_) {
    if (!job.finished) ids.push_back(id);
  }
  for (const uint64_t id : ids) {
    Job& job = jobs_.at(id);
    for (Target& target : job.targets) drive(turn, job, target);
    settle(turn, job);
  }
}

JobView Jobs::viewOf(const Job& job) const {
  JobView view{job.order, {}, job.finished, job.cancelled, job.result, job.finishedAt};
  for (const Target& target : job.targets) {
    view.targets.push_back({target.node, members_.nameOf(target.node), target.progress});
  }
  return view;
}

std::vector<JobView> Jobs::views() const {
  std::vector<JobView> views;
  for (auto it = jobs_.rbegin(); it != jobs_.rend(); ++it) views.push_back(viewOf(it->second));
  return views;
}

std::optional<JobView> Jobs::view(uint64_t id) const {
  const auto it = jobs_.find(id);
  if (it == jobs_.end()) return std::nullopt;
  return viewOf(it->second);
}

}  // namespace roost
