#include "node/limit_commands.h"

#include <nlohmann/json.hpp>
#include <optional>

#include "absl/strings/str_cat.h"
#include "node/byte_rate.h"
#include "protocol/errors.h"

namespace roost {

using nlohmann::json;

namespace {

absl::StatusOr<std::optional<uint64_t>> numberIn(const json& arguments, const char* key) {
  const auto found = arguments.find(key);
  if (found == arguments.end()) return std::optional<uint64_t>();
  if (!found->is_number_unsigned()) {
    return absl::InvalidArgumentError(absl::StrCat("the argument \"", key, "\" is no number"));
  }
  return std::optional<uint64_t>(found->get<uint64_t>());
}

absl::StatusOr<std::optional<uint64_t>> optionalRateIn(const json& arguments, const char* key) {
  ROOST_ASSIGN_OR_RETURN(const auto rate, numberIn(arguments, key));
  if (rate) ROOST_RETURN_IF_ERROR(checkByteRate(*rate));
  return rate;
}

absl::Status checkJob(const Core& core, uint64_t id) {
  const auto job = core.job(id);
  if (!job) return absl::NotFoundError(absl::StrCat("there is no job ", id));
  if (job->finished) {
    return absl::InvalidArgumentError(
        absl::StrCat("job ", id, " has ended: there is nothing to limit"));
  }
  return absl::OkStatus();
}

json documentOf(const LimitSeams& seams, const Core& core) {
  json jobs = json::array();
  for (const JobView& job : core.jobs()) {
    if (job.finished || job.order.limit == 0) continue;
    jobs.push_back(
        {{"id", job.order.id}, {"title", job.order.title}, {"bytes_per_second", job.order.limit}});
  }
  return {{"schema", "roost.limit.1"},
          {"upload_bytes_per_second", seams.uploads->rate()},
          {"download_bytes_per_second", seams.downloads->rate()},
          {"jobs", std::move(jobs)}};
}

}  // namespace

absl::StatusOr<uint64_t> rateIn(const json& arguments, const char* key) {
  ROOST_ASSIGN_OR_RETURN(const auto rate, optionalRateIn(arguments, key));
  return rate.value_or(0);
}

absl::StatusOr<json> limit(const LimitSeams& seams, const Core& core, absl::Time now,
                           const json& arguments) {
  if (seams.uploads == nullptr || seams.downloads == nullptr) {
    return absl::UnimplementedError("no limits here");
  }
  ROOST_ASSIGN_OR_RETURN(const auto upload, optionalRateIn(arguments, "upload"));
  ROOST_ASSIGN_OR_RETURN(const auto download, optionalRateIn(arguments, "download"));
  ROOST_ASSIGN_OR_RETURN(const auto job, numberIn(arguments, "job"));
  ROOST_ASSIGN_OR_RETURN(const auto jobRate, optionalRateIn(arguments, "job_rate"));
  if (job.has_value() != jobRate.has_value()) {
    return absl::InvalidArgumentError("\"job\" and \"job_rate\" go together");
  }
  if (job) ROOST_RETURN_IF_ERROR(checkJob(core, *job));
  if (upload) seams.uploads->set(*upload, now);
  if (download) seams.downloads->set(*download, now);
  if (job) seams.limitJob(*job, *jobRate);
  return documentOf(seams, core);
}

}  // namespace roost
