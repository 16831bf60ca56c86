#include <nlohmann/json.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "node/cli/commands.h"
#include "node/cli/completion.h"
#include "node/cli/document.h"
#include "protocol/messages.h"

namespace roost {
namespace {

// One word for a POSIX shell, whatever is in it.
std::string shellQuoted(const std::string& text) {
  return absl::StrCat("'", absl::StrReplaceAll(text, {{"'", "'\\''"}}), "'");
}

bool isVariableName(const std::string& name) {
  if (name.empty() || absl::ascii_isdigit(static_cast<unsigned char>(name[0]))) return false;
  for (char c : name) {
    if (c != '_' && !absl::ascii_isalnum(static_cast<unsigned char>(c))) return false;
  }
  return true;
}

}  // namespace

absl::StatusOr<ExitCode> run(const CliContext& context, const EnvCommand& command) {
  ROOST_ASSIGN_OR_RETURN(auto agent, connectAgent(context, command.output.agent));
  ROOST_ASSIGN_OR_RETURN(const nlohmann::json env, agent->call("env", nlohmann::json::object()));
  if (command.output.json) {
    context.print(dumped(env) + "\n");
    return ExitCode::kOk;
  }
  const auto& exports = objectAt(env, "exports");
  for (const auto& [name, value] : exports.items()) {
    if (!isVariableName(name) || !value.is_string()) continue;
    context.print(
        absl::StrCat("export ", name, "=", shellQuoted(value.get_ref<const std::string&>()), "\n"));
  }
  if (exports.empty()) {
    context.message(
        "nothing to set: this agent has no endpoint for clients, and what it fetches lies in the "
        "caches where clients look anyway");
  }
  return ExitCode::kOk;
}

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
