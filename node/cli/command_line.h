// What was typed, as one plain struct a command. Everything in it is parsed and checked.
//
// Threads: any (pure). Errors: kInvalidArgument with a sentence (exit 2).
#ifndef ROOST_NODE_CLI_COMMAND_LINE_H_
#define ROOST_NODE_CLI_COMMAND_LINE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "node/config.h"
#include "node/node_selection.h"
#include "node/pip_requirement.h"
#include "node/repo_query.h"
#include "protocol/blob_id.h"

namespace roost {

// Of every command that prints data.
struct OutputOptions {
  std::string agent;   // --agent; empty: the default places
  bool json = false;   // --json: the document as it is
  bool quiet = false;  // -q: ids only
};

struct AgentCommand {
  AgentArguments arguments;
};
struct StatusCommand {
  OutputOptions output;
  bool watch = false;
  bool allNodes = false;
};
// Which files of a repo, and where they may come from: what warm and get share.
struct FileOrder {
  std::string repo;      // as in documents: org/name, datasets/org/name
  std::string revision;  // empty: main
  std::vector<std::string> include;
  std::vector<std::string> exclude;
  std::string from = "any";  // any | cluster | hub
  bool wheels = false;       // of the pip index: `repo` is NAME or NAME==VERSION
};
struct WarmCommand {
  OutputOptions output;
  FileOrder order;
  NodeSelection nodes;
  uint64_t limit = 0;  // bytes per second on each node; 0: none
  bool dryRun = false;
  bool noWait = false;
};
// From peers to this node.
struct WarmRepresentationsCommand {
  OutputOptions output;
  std::vector<std::string> keys;  // empty: all
};
struct GetCommand {
  OutputOptions output;
  FileOrder order;
  std::vector<std::string> files;
};
struct JobsCommand {
  OutputOptions output;
  std::optional<uint64_t> id;
  bool cancel = false;
};
struct WhereCommand {
  OutputOptions output;
  std::variant<RepoQuery, BlobId, PipRequirement> what;
  bool explain = false;  // whom this node would ask, and why; not of wheels
};
struct LsCommand {
  OutputOptions output;
  bool representations = false;  // these, and not repos
  bool wheels = false;           // or these
};
// Of representations: these keys, or those used longest ago.
struct EvictCommand {
  OutputOptions output;
  std::vector<std::string> keys;
  std::optional<uint64_t> freeBytes;
};
// Shows the limits, changed as far as something is given. Bytes per second; 0: none.
struct LimitCommand {
  OutputOptions output;
  std::optional<uint64_t> upload;
  std::optional<uint64_t> download;
  struct Job {
    uint64_t id;
    uint64_t rate;
  };
  std::optional<Job> job;
};
struct VerifyCommand {
  OutputOptions output;
  std::optional<RepoQuery> repo;
};
struct TorrentCommand {
  OutputOptions output;
  RepoQuery repo;
  std::string folder;
};
struct EnvCommand {
  OutputOptions output;
  bool force = false;  // a variable that the user has set is replaced too
};
struct ExecCommand {
  std::string agent;  // as OutputOptions
  bool force = false;
  std::vector<std::string> words;  // at least one
};
struct KeyCommand {};
enum class Shell { kBash, kZsh, kFish };
struct CompletionCommand {
  Shell shell = Shell::kBash;
};
struct VersionCommand {
  OutputOptions output;
};

using Command = std::variant<AgentCommand, StatusCommand, WarmCommand, WarmRepresentationsCommand,
                             GetCommand, JobsCommand, WhereCommand, LsCommand, EvictCommand,
                             LimitCommand, VerifyCommand, TorrentCommand, EnvCommand, ExecCommand,
                             KeyCommand, CompletionCommand, VersionCommand>;

// --help was asked for.
struct HelpText {
  std::string text;
};

// `words` are the arguments without the program's name.
absl::StatusOr<std::variant<Command, HelpText>> parseCommandLine(
    const std::vector<std::string>& words);

// The commands and options that parseCommandLine() knows, for completions and for tests of the
// documentation.
struct OptionShape {
  std::vector<std::string> names;  // with dashes: "-q", "--quiet"
  std::string text;
  bool takesValue = false;
  std::vector<std::string> choices;
  bool isPath = false;
};
struct CommandShape {
  std::string name;
  std::string text;
  std::vector<OptionShape> options;
  bool takesRepo = false;
  std::vector<std::string> choices;  // of its first argument
};
std::vector<CommandShape> commandShapes();

}  // namespace roost

#endif  // ROOST_NODE_CLI_COMMAND_LINE_H_
