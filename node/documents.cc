#include "node/documents.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "protocol/errors.h"

namespace roost {
namespace {

using nlohmann::json;

std::string stateName(NodeState state) {
  switch (state) {
    case NodeState::kStarting:
      return "starting";
    case NodeState::kChecking:
      return "checking";
    case NodeState::kReady:
      return "ready";
    case NodeState::kWarming:
      return "warming";
    case NodeState::kFull:
      return "full";
    case NodeState::kDraining:
      return "draining";
    case NodeState::kSuspected:
      return "suspected";
    case NodeState::kGone:
      return "gone";
  }
  return "gone";
}

std::string obtainStateName(ObtainState state) {
  switch (state) {
    case ObtainState::kUnknown:
      return "waiting";
    case ObtainState::kRunning:
      return "running";
    case ObtainState::kDone:
      return "done";
    case ObtainState::kFailed:
      return "failed";
    case ObtainState::kCancelled:
      return "cancelled";
  }
  return "waiting";
}

std::string jobStateName(const JobView& job) {
  if (!job.finished) return "running";
  if (job.cancelled) return "cancelled";
  if (job.result.ok()) return "done";
  return exitCodeOf(job.result) == ExitCode::kPartial ? "partial" : "failed";
}

json nodeDocument(const NodeView& node, absl::Time now) {
  return {{"name", node.info.name},
          {"id", node.info.id.hex()},
          {"self", node.self},
          {"state", stateName(node.state)},
          {"blobs", node.summary.blobs},
          {"held_bytes", node.summary.heldBytes},
          {"free_bytes", node.summary.freeBytes},
          {"in_bytes_per_second", node.summary.inRate},
          {"out_bytes_per_second", node.summary.outRate},
          {"peer_bytes_in", node.summary.peerBytesIn},
          {"peer_bytes_out", node.summary.peerBytesOut},
          {"hub_bytes", node.summary.hubBytes},
          {"seen", node.self ? 0.0 : std::max(0.0, absl::ToDoubleSeconds(now - node.heard))},
          {"check_bytes_left", node.summary.checkBytesLeft},
          {"check_bytes_total", node.summary.checkBytesTotal},
          {"problems", node.summary.problems},
          {"hub_rest_seconds",
           absl::ToInt64Seconds(absl::Ceil(node.summary.hubRest, absl::Seconds(1)))},
          {"zone", node.info.zone}};
}

}  // namespace

std::string nameOf(const Core& core, const NodeId& id) {
  const auto node = core.node(id);
  return node ? node->info.name : id.shortHex();
}

std::string timeText(absl::Time time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", time, absl::UTCTimeZone());
}

json jobDocument(const JobView& job) {
  json nodes = json::array();
  for (const TargetView& target : job.targets) {
    const ObtainProgress& p = target.progress;
    json sources = json::array();
    for (const SourceShare& source : p.sources) {
      sources.push_back({{"name", source.name}, {"bytes", source.bytes}});
    }
    nodes.push_back({{"name", target.name},
                     {"id", target.node.hex()},
                     {"state", obtainStateName(p.state)},
                     {"files_done", p.filesDone},
                     {"files_total", p.filesTotal},
                     {"bytes_done", p.bytesDone},
                     {"bytes_total", p.bytesTotal},
                     {"bytes_present", p.bytesPresent},
                     {"bytes_per_second", p.rate},
                     {"sources", std::move(sources)},
                     {"message", p.message}});
  }
  json document = {{"schema", "roost.job.1"},
                   {"id", job.order.id},
                   {"title", job.order.title},
                   {"repo", job.order.listing.repo.toString()},
                   {"commit", job.order.listing.commit.hex()},
                   {"state", jobStateName(job)},
                   {"limit_bytes_per_second", job.order.limit},
                   {"created", timeText(job.order.created)},
                   {"exit_code", job.finished ? static_cast<int>(exitCodeOf(job.result)) : 0},
                   {"message", job.finished ? std::string(job.result.message()) : ""},
                   {"nodes", std::move(nodes)}};
  if (job.finished) document["finished"] = timeText(job.finishedAt);
  return document;
}

json jobsDocument(const std::vector<JobView>& jobs) {
  json list = json::array();
  for (const JobView& job : jobs) list.push_back(jobDocument(job));
  return {{"schema", "roost.jobs.1"}, {"jobs", std::move(list)}};
}

json statusDocument(const Core& core, const std::vector<Problem>& problems, absl::Time now) {
  json nodes = json::array();
  uint64_t saved = 0;
  uint64_t hub = 0;
  for (const NodeView& node : core.nodes()) {
    nodes.push_back(nodeDocument(node, now));
    saved += node.summary.savedBytes;
    hub += node.summary.hubBytes;
  }
  json jobs = json::array();
  for (const JobView& job : core.jobs()) {
    if (!job.finished) jobs.push_back(jobDocument(job));
  }
  json wrong = json::array();
  for (const Problem& problem : problems) {
    wrong.push_back({{"what", problem.what}, {"why", problem.why}, {"fix", problem.fix}});
  }
  const ClusterTotals totals = core.totals();
  return {{"schema", "roost.status.1"},
          {"time", timeText(now)},
          {"self", core.self().name},
          {"cluster",
           {{"nodes", nodes.size()},
            {"models", totals.models},
            {"datasets", totals.datasets},
            {"spaces", totals.spaces},
            {"dataset_caches", totals.datasetCaches},
            {"trees", totals.trees},
            {"unique_blobs", totals.uniqueBlobs},
            {"unique_bytes", totals.uniqueBytes},
            {"held_bytes", totals.heldBytes},
            {"hub_bytes", hub},
            {"saved_bytes", saved}}},
          {"nodes", std::move(nodes)},
          {"jobs", std::move(jobs)},
          {"problems", std::move(wrong)}};
}

json whereDocument(const Core& core, const RepoId& repo, const std::optional<Commit>& commit) {
  json nodes = json::array();
  for (const RepoHolderView& holder : core.repoHolders(repo)) {
    const RepoAdvert& advert = holder.advert;
    if (commit && advert.commit != *commit) continue;
    nodes.push_back({{"name", nameOf(core, holder.node)},
                     {"id", holder.node.hex()},
                     {"commit", advert.commit.hex()},
                     {"complete", advert.complete()},
                     {"manifest", advert.manifest},
                     {"files", advert.files},
                     {"bytes", advert.bytes},
                     {"files_total", advert.filesTotal},
                     {"bytes_total", advert.bytesTotal}});
  }
  json refs = json::array();
  for (const auto& [node, ref] : core.refs(repo)) {
    json entry = {
        {"name", ref.ref.text()}, {"commit", ref.commit.hex()}, {"node", nameOf(core, node)}};
    if (ref.hubTime) entry["hub_time"] = timeText(*ref.hubTime);
    refs.push_back(std::move(entry));
  }
  return {{"schema", "roost.where.1"},
          {"query", repo.toString()},
          {"repo", repo.toString()},
          {"nodes", std::move(nodes)},
          {"refs", std::move(refs)}};
}

json whereDocument(const Core& core, const BlobId& blob) {
  json nodes = json::array();
  for (const HolderView& holder : core.holders(blob)) {
    nodes.push_back({{"name", nameOf(core, holder.node)},
                     {"id", holder.node.hex()},
                     {"complete", true},
                     {"unverified", holder.unverified}});
  }
  for (const NodeId& wanter : core.wantersKnown(blob)) {
    nodes.push_back({{"name", nameOf(core, wanter)},
                     {"id", wanter.hex()},
                     {"complete", false},
                     {"unverified", true}});
  }
  return {{"schema", "roost.where.1"},
          {"query", blob.toString()},
          {"digest", blob.toString()},
          {"nodes", std::move(nodes)},
          {"refs", json::array()}};
}

}  // namespace roost
