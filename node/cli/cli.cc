#include "node/cli/cli.h"

#include <variant>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "node/cli/commands.h"

namespace roost {
namespace {

// What a shell reports for a command that Ctrl-C ended.
constexpr int kInterruptedExit = 130;

int exitWith(const CliContext& context, const absl::Status& status) {
  context.message(std::string(status.message()));
  if (absl::IsCancelled(status)) return kInterruptedExit;
  return static_cast<int>(exitCodeOf(status));
}

std::vector<std::string> agentPlaces(const Environment& environment, const std::string& address) {
  if (!address.empty()) return {address};
  if (auto named = lookUp(environment, "ROOST_AGENT")) return {*std::move(named)};
  std::vector<std::string> places;
  if (const auto home = stateHome(environment)) {
    places.push_back(absl::StrCat(*home, "/roost/", kAgentSocketName));
  }
  places.push_back(kServiceSocket);
  return places;
}

}  // namespace

void CliContext::print(const std::string& text) const {
  *seams.out.stream << text << std::flush;
}

void CliContext::message(const std::string& text) const {
  *seams.err.stream << "roost: " << text << (absl::EndsWith(text, "\n") ? "" : "\n") << std::flush;
}

absl::StatusOr<std::unique_ptr<ControlClient>> connectAgent(const CliContext& context,
                                                            const std::string& address) {
  std::vector<std::string> others;
  absl::Status first;
  for (const std::string& place : agentPlaces(context.environment, address)) {
    auto client = context.seams.connect(place);
    // Only a missing agent is a reason to look further: an agent that refuses is the answer.
    if (client.ok() || !absl::IsFailedPrecondition(client.status())) return client;
    if (first.ok()) {
      first = client.status();
    } else {
      others.push_back(place);
    }
  }
  if (others.empty()) return first;
  return absl::FailedPreconditionError(
      absl::StrCat(first.message(), " (Nor at ", absl::StrJoin(others, ", "), ".)"));
}

int cliMain(const std::vector<std::string>& words, const Environment& environment,
            const CliSeams& seams) {
  const CliContext context{environment, seams};
  const auto parsed = parseCommandLine(words);
  if (words.empty()) {
    *seams.err.stream << parsed.status().message() << std::flush;  // the list of commands
    return static_cast<int>(ExitCode::kUsage);
  }
  if (!parsed.ok()) return exitWith(context, parsed.status());
  if (const auto* help = std::get_if<HelpText>(&*parsed)) {
    context.print(help->text);
    return 0;
  }
  const auto code = std::visit([&](const auto& command) { return run(context, command); },
                               std::get<Command>(*parsed));
  if (!code.ok()) return exitWith(context, code.status());
  // A full disk or a closed pipe: what was asked for was not delivered.
  if (!*seams.out.stream) return static_cast<int>(ExitCode::kError);
  return static_cast<int>(*code);
}

}  // namespace roost
