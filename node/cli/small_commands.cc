#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "node/cli/commands.h"
#include "node/cli/completion.h"
#include "node/cli/document.h"
#include "protocol/messages.h"

namespace roost {

absl::StatusOr<ExitCode> run(const CliContext& context, const KeyCommand&) {
  context.print(context.seams.newClusterKey() + "\n");
  return ExitCode::kOk;
}

absl::StatusOr<ExitCode> run(const CliContext& context, const CompletionCommand& command) {
  context.print(completionScript(command.shell, commandShapes()));
  return ExitCode::kOk;
}

absl::StatusOr<ExitCode> run(const CliContext& context, const VersionCommand& command) {
  nlohmann::json document = {
      {"schema", "roost.version.1"},
      {"version", ROOST_VERSION},
      {"protocol", {{"min", kProtocolVersionMin}, {"max", kProtocolVersion}}},
      {"agent", nullptr}};
  // No agent is no error here, unless one was named.
  if (auto agent = connectAgent(context, command.output.agent); agent.ok()) {
    auto answer = (*agent)->call("version", nlohmann::json::object());
    if (answer.ok()) document["agent"] = *std::move(answer);
  } else if (!command.output.agent.empty()) {
    return agent.status();
  }
  if (command.output.json) {
    context.print(dumped(document) + "\n");
    return ExitCode::kOk;
  }
  context.print(absl::StrCat("roost ", ROOST_VERSION, "\n"));
  const std::string running = textAt(objectAt(document, "agent"), "version");
  if (!running.empty()) context.print(absl::StrCat("agent ", running, "\n"));
  return ExitCode::kOk;
}

}  // namespace roost
