#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "node/cli/commands.h"
#include "node/cli/document.h"
#include "node/cli/render.h"

namespace roost {
namespace {

std::string idLine(const nlohmann::json& job) {
  return absl::StrCat(numberAt(job, "id"), "\n");
}

}  // namespace

absl::StatusOr<ExitCode> run(const CliContext& context, const JobsCommand& command) {
  ROOST_ASSIGN_OR_RETURN(auto agent, connectAgent(context, command.output.agent));
  const TextStyle style = context.seams.out.style();
  if (command.id) {
    const nlohmann::json which = {{"id", *command.id}};
    ROOST_ASSIGN_OR_RETURN(const nlohmann::json job,
                           agent->call(command.cancel ? "cancel" : "job", which));
    context.print(command.output.json    ? dumped(job) + "\n"
                  : command.output.quiet ? idLine(job)
                                         : renderJob(job, style));
    return ExitCode::kOk;
  }
  ROOST_ASSIGN_OR_RETURN(const nlohmann::json jobs, agent->call("jobs", nlohmann::json::object()));
  if (command.output.json) {
    context.print(dumped(jobs) + "\n");
  } else if (command.output.quiet) {
    for (const auto& job : listAt(jobs, "jobs")) context.print(idLine(job));
  } else {
    context.print(renderJobs(jobs, style));
  }
  return ExitCode::kOk;
}

}  // namespace roost
