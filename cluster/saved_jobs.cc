#include "cluster/saved_jobs.h"

#include <utility>

#include "protocol/convert.h"
#include "protocol/errors.h"
#include "protocol/flat_message.h"
#include "protocol/limits.h"

namespace roost {
namespace {

absl::StatusOr<JobView> read(wire::SavedJob::Reader from) {
  ROOST_ASSIGN_OR_RETURN(ObtainRequest obtain, fromWire(from.getObtain()));
  JobView job{.order = {.id = obtain.job,
                        .title = std::string(toView(from.getTitle())),
                        .listing = std::move(obtain.listing),
                        .manifestOnly = std::move(obtain.manifestOnly),
                        .refs = std::move(obtain.refs),
                        .from = obtain.from,
                        .targets = {},
                        .created = absl::FromUnixMillis(from.getCreatedMs()),
                        .limit = obtain.limit}};
  if (from.getTargets().size() > kMembersMax) {
    return absl::InvalidArgumentError("a saved job names too many nodes");
  }
  for (auto id : from.getTargets()) {
    ROOST_ASSIGN_OR_RETURN(NodeId target, nodeIdFromWire(id));
    job.order.targets.push_back(target);
  }
  if (!from.getFinished()) return job;
  job.finished = true;
  job.cancelled = from.getCancelled();
  // A code of a later version is no code of this one.
  const auto code = from.getResultCode() <= 16 ? static_cast<absl::StatusCode>(from.getResultCode())
                                               : absl::StatusCode::kUnknown;
  job.result = absl::Status(code, toView(from.getResultMessage()));
  job.finishedAt = absl::FromUnixMillis(from.getFinishedMs());
  if (from.getProgress().size() != job.order.targets.size()) {
    return absl::InvalidArgumentError("a saved job lacks how its nodes ended");
  }
  for (uint32_t i = 0; i < from.getProgress().size(); ++i) {
    ROOST_ASSIGN_OR_RETURN(ObtainProgress progress, fromWire(from.getProgress()[i]));
    job.targets.push_back({job.order.targets[i], "", std::move(progress)});
  }
  return job;
}

}  // namespace

std::string encodeJob(const JobView& job, const NodeId& coordinator) {
  const JobOrder& order = job.order;
  capnp::MallocMessageBuilder message;
  auto saved = message.initRoot<wire::SavedJob>();
  toWire(ObtainRequest{coordinator, order.id, order.listing, order.manifestOnly, order.refs,
                       order.from, order.limit},
         saved.initObtain());
  saved.setTitle(order.title);
  saved.setCreatedMs(absl::ToUnixMillis(order.created));
  const auto writeTargets = [&](const auto& nodes, auto idOf) {
    auto targets = saved.initTargets(static_cast<uint32_t>(nodes.size()));
    for (uint32_t i = 0; i < targets.size(); ++i) targets.set(i, toData(idOf(nodes[i]).bytes()));
  };
  if (!job.finished) {
    writeTargets(order.targets, [](const NodeId& node) { return node; });
    return toFlat(message);
  }
  writeTargets(job.targets, [](const TargetView& target) { return target.node; });
  saved.setFinished(true);
  saved.setCancelled(job.cancelled);
  saved.setResultCode(static_cast<uint16_t>(job.result.code()));
  saved.setResultMessage(std::string(job.result.message()));
  saved.setFinishedMs(absl::ToUnixMillis(job.finishedAt));
  auto progress = saved.initProgress(static_cast<uint32_t>(job.targets.size()));
  for (uint32_t i = 0; i < progress.size(); ++i) toWire(job.targets[i].progress, progress[i]);
  return toFlat(message);
}

absl::StatusOr<JobView> decodeJob(absl::string_view bytes) {
  return readFlat<wire::SavedJob>(bytes, read);
}

}  // namespace roost
