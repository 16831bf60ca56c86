#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "node/cli/commands.h"
#include "node/cli/document.h"
#include "node/cli/live.h"
#include "node/cli/render.h"

namespace roost {
namespace {

nlohmann::json argumentsOf(const FileOrder& order) {
  nlohmann::json arguments = {{"repo", order.repo}, {"from", order.from}};
  if (order.wheels) arguments["type"] = "pip";
  if (!order.revision.empty()) arguments["revision"] = order.revision;
  if (!order.include.empty()) arguments["include"] = order.include;
  if (!order.exclude.empty()) arguments["exclude"] = order.exclude;
  return arguments;
}

std::string idLine(const nlohmann::json& job) {
  return absl::StrCat(numberAt(job, "id"), "\n");
}

// The reason why a job did not do all: a sentence for stderr, empty if it did.
std::string failureOf(const nlohmann::json& job) {
  const std::string state = textAt(job, "state");
  if (state == "done" || state == "running") return "";
  const std::string message = textAt(job, "message");
  return sentence(absl::StrCat("job ", numberAt(job, "id"), " is ", state), message, "");
}

absl::StatusOr<ExitCode> plan(const CliContext& context, ControlClient& agent,
                              const WarmCommand& command, nlohmann::json arguments) {
  arguments["dry_run"] = true;
  ROOST_ASSIGN_OR_RETURN(const nlohmann::json document, agent.call("warm", arguments));
  if (command.output.json) {
    context.print(dumped(document) + "\n");
  } else if (command.output.quiet) {
    for (const auto& node : listAt(document, "nodes")) {
      if (numberAt(node, "missing_files") > 0) context.print(textAt(node, "name") + "\n");
    }
  } else {
    context.print(renderPlan(document, context.seams.out.style()));
  }
  return ExitCode::kOk;
}

}  // namespace

absl::StatusOr<ExitCode> run(const CliContext& context, const WarmCommand& command) {
  ROOST_ASSIGN_OR_RETURN(auto agent, connectAgent(context, command.output.agent));
  nlohmann::json arguments = argumentsOf(command.order);
  if (command.order.wheels) {
    if (command.dryRun) arguments["dry_run"] = true;
    return bringWheels(context, *agent, command.output, arguments);
  }
  arguments["nodes"] = command.nodes.terms();
  if (command.limit != 0) arguments["limit"] = command.limit;
  if (command.dryRun) return plan(context, *agent, command, std::move(arguments));

  ROOST_ASSIGN_OR_RETURN(nlohmann::json job, agent->call("warm", arguments));
  const bool plain = !command.output.json && !command.output.quiet;
  if (command.output.quiet) context.print(idLine(job));
  if (!command.noWait) {
    ROOST_ASSIGN_OR_RETURN(job, followJob(context, *agent, std::move(job), plain));
  }
  if (command.output.json) context.print(dumped(job) + "\n");
  if (plain) {
    context.print(command.noWait ? renderProgress(job, context.seams.out.style()) + "\n"
                                 : renderJob(job, context.seams.out.style()));
  } else if (const std::string failure = failureOf(job); !failure.empty()) {
    context.message(failure);
  }
  return exitCodeOfJob(job);
}

// The agent brings some at a time: asked until nothing is left, or nothing more comes.
absl::StatusOr<ExitCode> run(const CliContext& context, const WarmRepresentationsCommand& command) {
  ROOST_ASSIGN_OR_RETURN(auto agent, connectAgent(context, command.output.agent));
  const Console& console = context.seams.err;
  const bool draw = console.terminal && !command.output.json && !command.output.quiet;
  LiveArea area(console);
  context.seams.catchInterrupts();
  uint64_t fetched = 0, bytes = 0;
  nlohmann::json round;
  do {
    ROOST_ASSIGN_OR_RETURN(round, agent->call("warm-representations", {{"keys", command.keys}}));
    fetched += numberAt(round, "fetched");
    bytes += numberAt(round, "bytes");
    if (draw) {
      area.show(absl::StrCat(counted(fetched, "representation", "representations"), ", ",
                             formatBytes(bytes), "; ", numberAt(round, "left"), " left\n"));
    }
    if (!context.seams.pause(absl::ZeroDuration())) {
      return absl::CancelledError(absl::StrCat("stopped; ", fetched, " came, and stay"));
    }
  } while (numberAt(round, "left") > 0 && numberAt(round, "fetched") > 0);
  area.clear();
  round["fetched"] = fetched;
  round["bytes"] = bytes;
  if (command.output.json) {
    context.print(dumped(round) + "\n");
  } else if (!command.output.quiet) {
    context.print(absl::StrCat(counted(fetched, "representation", "representations"),
                               " brought here, ", formatBytes(bytes), "\n"));
  }
  std::vector<std::string> missing;
  const auto note = [&](uint64_t count, absl::string_view why) {
    if (count > 0) missing.push_back(absl::StrCat(count, " ", why));
  };
  note(listAt(round, "unknown").size(), "that no node has");
  note(numberAt(round, "failed"), "that no holder gave");
  note(numberAt(round, "no_room"), "for which representations_quota leaves no room");
  if (missing.empty()) return ExitCode::kOk;
  context.message(absl::StrCat("not brought here: ", absl::StrJoin(missing, ", ")));
  return ExitCode::kPartial;
}

absl::StatusOr<ExitCode> run(const CliContext& context, const GetCommand& command) {
  ROOST_ASSIGN_OR_RETURN(auto agent, connectAgent(context, command.output.agent));
  nlohmann::json arguments = argumentsOf(command.order);
  if (!command.files.empty()) arguments["files"] = command.files;
  if (command.order.wheels) return bringWheels(context, *agent, command.output, arguments);
  ROOST_ASSIGN_OR_RETURN(nlohmann::json job, agent->call("get", arguments));
  const bool bars = !command.output.json && !command.output.quiet;
  ROOST_ASSIGN_OR_RETURN(job, followJob(context, *agent, std::move(job), bars));
  if (command.output.json) {
    context.print(dumped(job) + "\n");
  } else if (const std::string state = textAt(job, "state");
             state == "done" || state == "partial") {
    context.print(textAt(job, "snapshot") + "\n");
  }
  if (const std::string failure = failureOf(job); !failure.empty()) context.message(failure);
  return exitCodeOfJob(job);
}

}  // namespace roost
