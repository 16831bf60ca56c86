// One function a command: asks the agent, prints, and says the exit code.
//
// Threads: one. Errors: a status is what the user must read; the caller prints it and maps its code
// to the exit code.
#ifndef ROOST_NODE_CLI_COMMANDS_H_
#define ROOST_NODE_CLI_COMMANDS_H_

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "node/cli/command_line.h"
#include "node/cli/seams.h"
#include "node/environment.h"
#include "protocol/errors.h"

namespace roost {

// What a command works with.
struct CliContext {
  const Environment& environment;
  const CliSeams& seams;

  void print(const std::string& text) const;    // data, to stdout
  void message(const std::string& text) const;  // a sentence, to stderr
};

// The agent of --agent, ROOST_AGENT, the state folder or /run/roost, the first that answers.
// kFailedPrecondition says where was looked, and how an agent is started.
absl::StatusOr<std::unique_ptr<ControlClient>> connectAgent(const CliContext& context,
                                                            const std::string& address);

absl::StatusOr<ExitCode> run(const CliContext& context, const AgentCommand& command);
absl::StatusOr<ExitCode> run(const CliContext& context, const StatusCommand& command);
absl::StatusOr<ExitCode> run(const CliContext& context, const WarmCommand& command);
absl::StatusOr<ExitCode> run(const CliContext& context, const GetCommand& command);
absl::StatusOr<ExitCode> run(const CliContext& context, const JobsCommand& command);
absl::StatusOr<ExitCode> run(const CliContext& context, const WhereCommand& command);
absl::StatusOr<ExitCode> run(const CliContext& context, const LsCommand& command);
absl::StatusOr<ExitCode> run(const CliContext& context, const WarmRepresentationsCommand& command);
absl::StatusOr<ExitCode> run(const CliContext& context, const EvictCommand& command);
absl::StatusOr<ExitCode> run(const CliContext& context, const LimitCommand& command);
absl::StatusOr<ExitCode> run(const CliContext& context, const VerifyCommand& command);
absl::StatusOr<ExitCode> run(const CliContext& context, const TorrentCommand& command);
absl::StatusOr<ExitCode> run(const CliContext& context, const EnvCommand& command);
absl::StatusOr<ExitCode> run(const CliContext& context, const ExecCommand& command);
absl::StatusOr<ExitCode> run(const CliContext& context, const KeyCommand& command);
absl::StatusOr<ExitCode> run(const CliContext& context, const CompletionCommand& command);
absl::StatusOr<ExitCode> run(const CliContext& context, const VersionCommand& command);

// warm and get of wheels, with these arguments of the method: into pip's cache of the agent's node.
absl::StatusOr<ExitCode> bringWheels(const CliContext& context, ControlClient& agent,
                                     const OutputOptions& output, const nlohmann::json& arguments);

// Watches a job until it ends, with bars on a terminal. The result is its last document; kCancelled
// if the user pressed Ctrl-C: the job goes on.
absl::StatusOr<nlohmann::json> followJob(const CliContext& context, ControlClient& agent,
                                         nlohmann::json job, bool bars);
// What the end of a job means for the exit code.
ExitCode exitCodeOfJob(const nlohmann::json& job);

}  // namespace roost

#endif  // ROOST_NODE_CLI_COMMANDS_H_
