#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "node/cli/commands.h"
#include "node/cli/document.h"
#include "node/cli/live.h"
#include "node/cli/render.h"

namespace roost {
namespace {

constexpr absl::Duration kRedrawPeriod = absl::Seconds(1);

std::string nodeNames(const nlohmann::json& status) {
  std::string text;
  for (const auto& node : listAt(status, "nodes")) {
    absl::StrAppend(&text, textAt(node, "name"), "\n");
  }
  return text;
}

std::string pictureOf(const CliContext& context, const StatusCommand& command,
                      const nlohmann::json& status) {
  // A watched document is one line, so that a reader of lines can follow.
  if (command.output.json) return dumped(status, !command.watch) + "\n";
  if (command.output.quiet) return nodeNames(status);
  return renderStatus(status, context.seams.out.style(), command.allNodes);
}

}  // namespace

absl::StatusOr<ExitCode> run(const CliContext& context, const StatusCommand& command) {
  ROOST_ASSIGN_OR_RETURN(auto agent, connectAgent(context, command.output.agent));
  ROOST_ASSIGN_OR_RETURN(nlohmann::json status, agent->call("status", nlohmann::json::object()));
  if (!command.watch) {
    context.print(pictureOf(context, command, status));
    return ExitCode::kOk;
  }
  context.seams.catchInterrupts();
  LiveArea area(context.seams.out);
  area.show(pictureOf(context, command, status));
  while (context.seams.pause(kRedrawPeriod)) {
    ROOST_ASSIGN_OR_RETURN(status, agent->call("status", nlohmann::json::object()));
    area.show(pictureOf(context, command, status));
    if (!*context.seams.out.stream) break;  // the reader went away
  }
  return ExitCode::kOk;
}

}  // namespace roost
