#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "node/cli/commands.h"
#include "node/cli/document.h"
#include "node/cli/live.h"
#include "node/cli/render.h"

namespace roost {
namespace {

constexpr absl::Duration kPollPeriod = absl::Milliseconds(250);

bool running(const nlohmann::json& job) {
  return textAt(job, "state") == "running";
}

absl::Status detached(const nlohmann::json& job) {
  const uint64_t id = numberAt(job, "id");
  return absl::CancelledError(
      absl::StrCat("job ", id, " goes on without this command. See it with `roost jobs ", id,
                   "`, stop it with `roost jobs ", id, " --cancel`"));
}

}  // namespace

absl::StatusOr<nlohmann::json> followJob(const CliContext& context, ControlClient& agent,
                                         nlohmann::json job, bool bars) {
  const nlohmann::json which = {{"id", numberAt(job, "id")}};
  const Console& console = context.seams.err;
  const bool draw = bars && console.terminal;
  LiveArea area(console);
  context.seams.catchInterrupts();
  while (running(job)) {
    if (draw) area.show(renderProgress(job, console.style()) + "\n");
    if (!context.seams.pause(kPollPeriod)) {
      if (draw) *console.stream << "\n";  // after the terminal's own ^C
      return detached(job);
    }
    auto next = agent.call("job", which);
    if (!next.ok()) {
      // The job is the cluster's, not this command's.
      return absl::Status(
          next.status().code(),
          sentence(absl::StrCat("lost sight of job ", numberAt(job, "id")), next.status().message(),
                   "The job goes on where its agent runs"));
    }
    job = *std::move(next);
  }
  area.clear();
  return job;
}

ExitCode exitCodeOfJob(const nlohmann::json& job) {
  const std::string state = textAt(job, "state");
  if (state == "done" || state == "running") return ExitCode::kOk;
  const uint64_t code = numberAt(job, "exit_code");
  if (code > 0 && code <= static_cast<uint64_t>(ExitCode::kPartial)) {
    return static_cast<ExitCode>(code);
  }
  return state == "partial" ? ExitCode::kPartial : ExitCode::kError;
}

}  // namespace roost
