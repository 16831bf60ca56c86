#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <variant>

#include "absl/strings/str_cat.h"
#include "node/cli/commands.h"
#include "node/cli/document.h"
#include "node/cli/render.h"
#include "node/cli/text.h"

namespace roost {
namespace {

nlohmann::json argumentsOf(const RepoQuery& query) {
  nlohmann::json arguments = {{"repo", query.repo.toString()}};
  if (query.revision) arguments["revision"] = revisionText(*query.revision);
  return arguments;
}

// Each value of `key` in the entries, once, in their order.
std::string distinctLines(const nlohmann::json& entries, const char* key) {
  std::string text;
  std::set<std::string> seen;
  for (const auto& entry : entries) {
    const std::string value = textAt(entry, key);
    if (seen.insert(value).second) absl::StrAppend(&text, value, "\n");
  }
  return text;
}

}  // namespace

absl::StatusOr<ExitCode> run(const CliContext& context, const WhereCommand& command) {
  ROOST_ASSIGN_OR_RETURN(auto agent, connectAgent(context, command.output.agent));
  std::string name;
  nlohmann::json arguments;
  if (const auto* repo = std::get_if<RepoQuery>(&command.what)) {
    name = repo->repo.toString();
    arguments = argumentsOf(*repo);
  } else if (const auto* wheels = std::get_if<PipRequirement>(&command.what)) {
    name = wheels->toString();
    arguments = {{"type", "pip"}, {"repo", name}};
  } else {
    name = std::get<BlobId>(command.what).toString();
    arguments = {{"digest", name}};
  }
  if (command.explain) arguments["explain"] = true;
  ROOST_ASSIGN_OR_RETURN(const nlohmann::json where, agent->call("where", arguments));
  const auto& nodes = listAt(where, "nodes");
  const auto& plans = listAt(where, "plans");
  const bool ways = std::any_of(plans.begin(), plans.end(), [](const nlohmann::json& plan) {
    return textAt(plan, "lane") != "none";
  });
  if (command.output.json) {
    context.print(dumped(where) + "\n");
  } else if (command.output.quiet) {
    context.print(distinctLines(nodes, "name"));
  } else if (!nodes.empty() || command.explain) {
    const TextStyle style = context.seams.out.style();
    context.print((nodes.empty() ? "" : renderWhere(where, style)) + renderPlans(where, style));
  }
  if (!nodes.empty() || ways) return ExitCode::kOk;
  return absl::NotFoundError(absl::StrCat("no node holds ", name));
}

absl::StatusOr<ExitCode> run(const CliContext& context, const LsCommand& command) {
  ROOST_ASSIGN_OR_RETURN(auto agent, connectAgent(context, command.output.agent));
  if (command.representations) {
    ROOST_ASSIGN_OR_RETURN(const nlohmann::json held,
                           agent->call("ls", {{"type", "representation"}}));
    context.print(command.output.json    ? dumped(held) + "\n"
                  : command.output.quiet ? distinctLines(listAt(held, "representations"), "model")
                                         : renderRepresentations(held, context.seams.out.style()));
    return ExitCode::kOk;
  }
  if (command.wheels) {
    ROOST_ASSIGN_OR_RETURN(const nlohmann::json held, agent->call("ls", {{"type", "pip"}}));
    context.print(command.output.json    ? dumped(held) + "\n"
                  : command.output.quiet ? distinctLines(listAt(held, "wheels"), "project")
                                         : renderWheels(held, context.seams.out.style()));
    return ExitCode::kOk;
  }
  ROOST_ASSIGN_OR_RETURN(const nlohmann::json ls, agent->call("ls", nlohmann::json::object()));
  if (command.output.json) {
    context.print(dumped(ls) + "\n");
  } else if (command.output.quiet) {
    context.print(distinctLines(listAt(ls, "repos"), "repo"));
  } else {
    context.print(renderLs(ls, context.seams.out.style()));
  }
  return ExitCode::kOk;
}

absl::StatusOr<ExitCode> run(const CliContext& context, const EvictCommand& command) {
  ROOST_ASSIGN_OR_RETURN(auto agent, connectAgent(context, command.output.agent));
  nlohmann::json arguments = {{"type", "representation"}, {"keys", command.keys}};
  if (command.freeBytes) arguments["free_bytes"] = *command.freeBytes;
  ROOST_ASSIGN_OR_RETURN(const nlohmann::json evicted, agent->call("evict", arguments));
  const uint64_t count = numberAt(evicted, "evicted");
  if (command.output.json) {
    context.print(dumped(evicted) + "\n");
  } else if (!command.output.quiet) {
    context.print(absl::StrCat(counted(count, "representation", "representations"), " given up, ",
                               formatBytes(numberAt(evicted, "bytes")), "\n"));
  }
  if (!command.keys.empty() && count < command.keys.size()) {
    return absl::NotFoundError(
        absl::StrCat("this node keeps ", count, " of the ", command.keys.size(), " keys"));
  }
  return ExitCode::kOk;
}

absl::StatusOr<ExitCode> run(const CliContext& context, const VerifyCommand& command) {
  ROOST_ASSIGN_OR_RETURN(auto agent, connectAgent(context, command.output.agent));
  ROOST_ASSIGN_OR_RETURN(
      const nlohmann::json verify,
      agent->call("verify", command.repo ? argumentsOf(*command.repo) : nlohmann::json::object()));
  bool wrong = false;
  bool missing = false;
  std::string wrongPaths;
  for (const auto& repo : listAt(verify, "repos")) {
    for (const auto& file : listAt(repo, "wrong")) {
      wrong = true;
      absl::StrAppend(&wrongPaths, textAt(repo, "repo"), " ", textAt(file, "path"), "\n");
    }
    missing = missing || !listAt(repo, "missing").empty();
  }
  context.print(command.output.json    ? dumped(verify) + "\n"
                : command.output.quiet ? wrongPaths
                                       : renderVerify(verify, context.seams.out.style()));
  if (wrong) return ExitCode::kVerificationFailed;
  // Holding a part of a repo is ordinary; a repo that was asked for by name should be all there.
  return missing && command.repo ? ExitCode::kPartial : ExitCode::kOk;
}

}  // namespace roost
