#include "node/cli/command_line.h"

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <algorithm>
#include <functional>
#include <memory>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "node/byte_rate.h"
#include "node/byte_size.h"
#include "node/spelling.h"
#include "protocol/errors.h"
#include "protocol/representation_key.h"

namespace roost {
namespace {

using Finish = std::function<absl::StatusOr<Command>()>;

// One command while it is parsed: CLI11 writes into `typed`, `finish` makes the plain struct of it.
struct Parser {
  CLI::App app{"roost: one node's Hugging Face cache is every node's cache", "roost"};
  std::vector<std::pair<CLI::App*, Finish>> commands;
  std::vector<std::string> behindDashes;  // of exec: the command to run, which CLI11 never sees

  template <typename Typed>
  Typed& add(const std::string& name, const std::string& text,
             const std::function<void(CLI::App&, Typed&)>& options,
             const std::function<absl::StatusOr<Command>(Typed&)>& finish) {
    CLI::App* command = app.add_subcommand(name, text);
    auto typed = std::make_shared<Typed>();
    options(*command, *typed);
    commands.emplace_back(command, [typed, finish] { return finish(*typed); });
    return *typed;
  }
};

constexpr char kRepresentation[] = "representation";
constexpr char kWheels[] = "pip";
constexpr char kForceText[] = "Replace a HF_ENDPOINT that is set to something else";

// The origin of what is typed is not known here: the agent's own hub is meant, and only the name
// travels.
HubOrigin anyOrigin() {
  return HubOrigin::huggingFace();
}

void addAgentAddress(CLI::App& command, std::string& agent) {
  command.add_option("--agent", agent, "Socket of the agent to ask")->type_name("ADDR");
}

void addOutput(CLI::App& command, OutputOptions& output, bool quiet = true) {
  addAgentAddress(command, output.agent);
  CLI::Option* json = command.add_flag("--json", output.json, "Print the JSON document");
  if (quiet) command.add_flag("-q,--quiet", output.quiet, "Print ids only")->excludes(json);
}

CLI::Option* addMany(CLI::App& command, const std::string& name, std::vector<std::string>& values,
                     const std::string& text) {
  return command.add_option(name, values, text)->type_size(1)->allow_extra_args(false);
}

struct TypedOrder {
  std::string repo, type, revision, from = "any";
  std::vector<std::string> include, exclude;
};

constexpr char kRepoText[] = "ORG/NAME, datasets/ORG/NAME or spaces/ORG/NAME[@REVISION]";
constexpr char kTypeText[] = "model, dataset, space, dataset-cache or tree, if REPO has no prefix";
const std::vector<std::string> kTypeNames = {"model", "dataset", "space", "dataset-cache", "tree"};
constexpr char kWheelsText[] = "; or pip: NAME[==VERSION]";

std::vector<std::string> orWheels(std::vector<std::string> types) {
  types.push_back(kWheels);
  return types;
}

void addOrder(CLI::App& command, TypedOrder& order) {
  command.add_option("--revision", order.revision, "Branch, tag or commit (default: main)")
      ->type_name("REVISION");
  addMany(command, "--include", order.include, "Only files that match (repeatable)")
      ->type_name("GLOB");
  addMany(command, "--exclude", order.exclude, "No files that match (repeatable)")
      ->type_name("GLOB");
  command.add_option("--from", order.from, "Where bytes may come from: cluster, hub or any")
      ->check(CLI::IsMember({"any", "cluster", "hub"}))
      ->type_name("SOURCE");
}

absl::StatusOr<RepoQuery> queryOf(const std::string& repo, const std::string& type) {
  std::optional<RepoType> wanted;
  if (!type.empty()) {
    ROOST_ASSIGN_OR_RETURN(wanted, parseRepoType(type));
  }
  return parseRepoQuery(anyOrigin(), repo, wanted);
}

// They have no revisions, and come from wherever they are.
absl::StatusOr<FileOrder> finishWheelOrder(const TypedOrder& typed) {
  ROOST_ASSIGN_OR_RETURN(const PipRequirement what, parsePipRequirement(typed.repo));
  if (!typed.revision.empty()) {
    return absl::InvalidArgumentError("--revision is not for wheels. Name a version: NAME==1.0");
  }
  if (typed.from != "any") {
    return absl::InvalidArgumentError("--from is not for wheels. Leave it out");
  }
  FileOrder order;
  order.repo = what.toString();
  order.include = typed.include;
  order.exclude = typed.exclude;
  order.wheels = true;
  return order;
}

absl::StatusOr<FileOrder> finishOrder(const TypedOrder& typed) {
  if (typed.type == kWheels) return finishWheelOrder(typed);
  ROOST_ASSIGN_OR_RETURN(const RepoQuery query, queryOf(typed.repo, typed.type));
  FileOrder order;
  order.repo = query.repo.toString();
  if (query.revision) order.revision = revisionText(*query.revision);
  if (!typed.revision.empty()) {
    if (query.revision) {
      return absl::InvalidArgumentError(
          "two revisions: REPO has one after '@', and --revision another. Leave out one");
    }
    ROOST_ASSIGN_OR_RETURN(const Revision revision, parseRevision(typed.revision));
    order.revision = revisionText(revision);
  }
  order.include = typed.include;
  order.exclude = typed.exclude;
  order.from = typed.from;
  return order;
}

void addAgent(Parser& parser) {
  parser.add<AgentArguments>(
      "agent", "Run this node's agent in the foreground",
      [](CLI::App& command, AgentArguments& arguments) {
        for (const AgentOption& option : agentOptions()) {
          const std::string name = option.option;
          const std::string text = option.variable.empty() || !option.supported
                                       ? option.text
                                       : absl::StrCat(option.text, " [", option.variable, "]");
          CLI::Option* added = command.add_option_function<std::string>(
              absl::StrCat("--", name),
              [&arguments, name](const std::string& value) { arguments.options[name] = value; },
              text);
          added->type_name(option.placeholder)->type_size(1)->allow_extra_args(false);
          // Known, so that the refusal can say that a later version has it.
          if (!option.supported) added->group("");
        }
        addMany(command, "--root", arguments.roots,
                "A further folder to share, layout hub, flat, datasets or representations; or "
                "PATH:tree:SCOPE:NAME (repeatable)")
            ->type_name("PATH:LAYOUT");
      },
      [](AgentArguments& arguments) -> absl::StatusOr<Command> { return AgentCommand{arguments}; });
}

void addStatus(Parser& parser) {
  parser.add<StatusCommand>(
      "status", "Nodes, bytes, transfers, and what the hub was spared",
      [](CLI::App& command, StatusCommand& typed) {
        command.add_flag("-w,--watch", typed.watch, "Stay, and redraw each second");
        command.add_flag("--nodes", typed.allNodes, "Every node, also above 20");
        addOutput(command, typed.output);
      },
      [](StatusCommand& typed) -> absl::StatusOr<Command> { return typed; });
}

absl::StatusOr<uint64_t> rateOf(const char* option, const std::string& text) {
  auto rate = parseByteRate(text);
  if (rate.ok()) return rate;
  return absl::InvalidArgumentError(absl::StrCat(option, ": ", rate.status().message()));
}

absl::StatusOr<uint64_t> jobNumber(const std::string& text) {
  uint64_t id = 0;
  if (absl::SimpleAtoi(absl::StripPrefix(text, "#"), &id) && id > 0) return id;
  return absl::InvalidArgumentError(
      absl::StrCat("not a job: ", roost::quoted(text), ": expected a number, as in 12"));
}

absl::StatusOr<Command> finishRepresentations(const WarmCommand& warm, const TypedOrder& order,
                                              const std::string& nodes,
                                              const std::vector<std::string>& keys) {
  if (!nodes.empty() && nodes != "self") {
    return absl::InvalidArgumentError(
        "--nodes: representations are brought to this node only. Run it on the others too");
  }
  if (!order.revision.empty() || !order.include.empty() || !order.exclude.empty() ||
      order.from == "hub" || warm.dryRun || warm.noWait || warm.limit != 0) {
    return absl::InvalidArgumentError(
        "--type representation takes keys and --json or --quiet, and no other option");
  }
  for (const std::string& key : keys) {
    ROOST_RETURN_IF_ERROR(RepresentationKey::parse(key).status());
  }
  return WarmRepresentationsCommand{warm.output, keys};
}

void addWarm(Parser& parser) {
  struct Typed {
    WarmCommand command;
    TypedOrder order;
    std::string nodes, limit;
    std::vector<std::string> words;
  };
  parser.add<Typed>(
      "warm", "Bring a repo into the caches of nodes, from each other where possible",
      [](CLI::App& command, Typed& typed) {
        command.add_option("REPO", typed.words, absl::StrCat(kRepoText, "; or KEY…"));
        std::vector<std::string> types = kTypeNames;
        types.push_back(kRepresentation);
        command
            .add_option(
                "--type", typed.order.type,
                absl::StrCat(kTypeText, kWheelsText, "; or representation: KEY…, or all of them"))
            ->check(CLI::IsMember(orWheels(types)))
            ->type_name("TYPE");
        addOrder(command, typed.order);
        command
            .add_option("--nodes", typed.nodes,
                        "all (default), self, or a list of names, ranges and zone=ZONE: "
                        "gpu-[001-128],zone=a")
            ->type_name("NODES");
        command
            .add_option("--limit", typed.limit,
                        "At most so many bytes a second on each node: 50MB (default: none)")
            ->type_name("RATE");
        CLI::Option* dry =
            command.add_flag("--dry-run", typed.command.dryRun, "Say what would be copied");
        command
            .add_flag("--no-wait", typed.command.noWait,
                      "Print the job's id and do not wait for it")
            ->excludes(dry);
        addOutput(command, typed.command.output);
      },
      [](Typed& typed) -> absl::StatusOr<Command> {
        if (!typed.limit.empty()) {
          ROOST_ASSIGN_OR_RETURN(typed.command.limit, rateOf("--limit", typed.limit));
        }
        if (typed.order.type == kRepresentation) {
          return finishRepresentations(typed.command, typed.order, typed.nodes, typed.words);
        }
        if (typed.words.empty()) {
          return absl::InvalidArgumentError("warm: which REPO? See roost warm --help");
        }
        if (typed.words.size() > 1) {
          return absl::InvalidArgumentError(absl::StrCat("warm: one REPO at a time, and ",
                                                         roost::quoted(typed.words[1]),
                                                         " is another. See roost warm --help"));
        }
        typed.order.repo = typed.words.front();
        ROOST_ASSIGN_OR_RETURN(typed.command.order, finishOrder(typed.order));
        if (typed.command.order.wheels && !typed.nodes.empty() && typed.nodes != "self") {
          return absl::InvalidArgumentError(
              "--nodes: wheels are put into pip's cache on this node alone. Leave it out");
        }
        if (typed.command.order.wheels && typed.command.noWait) {
          return absl::InvalidArgumentError("--no-wait is not for wheels. Leave it out");
        }
        if (typed.command.order.wheels && typed.command.limit != 0) {
          return absl::InvalidArgumentError("--limit is not for wheels. Leave it out");
        }
        auto nodes = NodeSelection::parse(typed.nodes.empty() ? "all" : typed.nodes);
        if (!nodes.ok()) {
          return absl::InvalidArgumentError(absl::StrCat("--nodes: ", nodes.status().message()));
        }
        typed.command.nodes = *std::move(nodes);
        return typed.command;
      });
}

void addGet(Parser& parser) {
  struct Typed {
    GetCommand command;
    TypedOrder order;
  };
  parser.add<Typed>(
      "get", "Bring a repo, or some files of it, into this node's cache; prints the snapshot path",
      [](CLI::App& command, Typed& typed) {
        command.add_option("REPO", typed.order.repo, kRepoText)->required();
        command.add_option("--type", typed.order.type, absl::StrCat(kTypeText, kWheelsText))
            ->check(CLI::IsMember(orWheels(kTypeNames)))
            ->type_name("TYPE");
        addOrder(command, typed.order);
        command.add_option("FILE", typed.command.files, "Only these files");
        addOutput(command, typed.command.output);
      },
      [](Typed& typed) -> absl::StatusOr<Command> {
        ROOST_ASSIGN_OR_RETURN(typed.command.order, finishOrder(typed.order));
        for (const std::string& file : typed.command.files) {
          ROOST_RETURN_IF_ERROR(RelativePath::parse(file).status());
        }
        return typed.command;
      });
}

void addJobs(Parser& parser) {
  struct Typed {
    JobsCommand command;
    std::string id;
  };
  parser.add<Typed>(
      "jobs", "Warm jobs: all, or one; --cancel stops it",
      [](CLI::App& command, Typed& typed) {
        command.add_option("ID", typed.id, "A job's number");
        command.add_flag("--cancel", typed.command.cancel, "Stop the job; what is there stays");
        addOutput(command, typed.command.output);
      },
      [](Typed& typed) -> absl::StatusOr<Command> {
        if (!typed.id.empty()) {
          ROOST_ASSIGN_OR_RETURN(typed.command.id, jobNumber(typed.id));
        }
        if (typed.command.cancel && !typed.command.id) {
          return absl::InvalidArgumentError("--cancel: which job? roost jobs lists them");
        }
        return typed.command;
      });
}

void addWhere(Parser& parser) {
  struct Typed {
    OutputOptions output;
    std::string what, type;
    bool explain = false;
  };
  parser.add<Typed>(
      "where", "Which nodes hold a repo or a blob",
      [](CLI::App& command, Typed& typed) {
        command.add_option("REPO", typed.what, "A repo[@REVISION], or a digest: sha256:… or hex")
            ->required();
        command.add_option("--type", typed.type, absl::StrCat(kTypeText, kWheelsText))
            ->check(CLI::IsMember(orWheels(kTypeNames)))
            ->type_name("TYPE");
        command.add_flag("--explain", typed.explain,
                         "Also which way and whom this node would ask for it now, and why");
        addOutput(command, typed.output);
      },
      [](Typed& typed) -> absl::StatusOr<Command> {
        if (typed.type == kWheels) {
          if (typed.explain) {
            return absl::InvalidArgumentError("--explain is not for wheels. Leave it out");
          }
          ROOST_ASSIGN_OR_RETURN(PipRequirement wheels, parsePipRequirement(typed.what));
          return WhereCommand{typed.output, std::move(wheels)};
        }
        const bool named =
            absl::StartsWith(typed.what, "sha256:") || absl::StartsWith(typed.what, "git-sha1:");
        if (auto digest = BlobId::parse(typed.what); named || digest.ok()) {
          if (!digest.ok()) return digest.status();
          return WhereCommand{typed.output, *digest, typed.explain};
        }
        ROOST_ASSIGN_OR_RETURN(RepoQuery query, queryOf(typed.what, typed.type));
        return WhereCommand{typed.output, std::move(query), typed.explain};
      });
}

void addLs(Parser& parser) {
  struct Typed {
    LsCommand command;
    std::string type = "repo";
  };
  parser.add<Typed>(
      "ls", "What this node holds, and how many nodes hold it too",
      [](CLI::App& command, Typed& typed) {
        command.add_option("--type", typed.type, "repo (default), representation or pip: wheels")
            ->check(CLI::IsMember({"repo", kRepresentation, kWheels}))
            ->type_name("TYPE");
        addOutput(command, typed.command.output);
      },
      [](Typed& typed) -> absl::StatusOr<Command> {
        typed.command.representations = typed.type == kRepresentation;
        typed.command.wheels = typed.type == kWheels;
        return typed.command;
      });
}

void addEvict(Parser& parser) {
  struct Typed {
    EvictCommand command;
    std::string type, free;
  };
  parser.add<Typed>(
      "evict", "Give up what this node keeps of representations: --type representation",
      [](CLI::App& command, Typed& typed) {
        command.add_option("KEY", typed.command.keys, "Keys of representations");
        command.add_option("--type", typed.type, "representation, the only one in this version")
            ->required()
            ->check(CLI::IsMember({kRepresentation}))
            ->type_name("TYPE");
        command
            .add_option("--free", typed.free,
                        "Those used longest ago, until so much is free: 2GB, 500MiB")
            ->type_name("SIZE");
        addOutput(command, typed.command.output);
      },
      [](Typed& typed) -> absl::StatusOr<Command> {
        if (typed.command.keys.empty() == typed.free.empty()) {
          return absl::InvalidArgumentError("evict: which? Name keys, or --free SIZE");
        }
        for (const std::string& key : typed.command.keys) {
          ROOST_RETURN_IF_ERROR(RepresentationKey::parse(key).status());
        }
        if (!typed.free.empty()) {
          auto size = parseByteSize(typed.free);
          if (!size.ok()) {
            return absl::InvalidArgumentError(absl::StrCat("--free: ", size.status().message()));
          }
          typed.command.freeBytes = *size;
        }
        return typed.command;
      });
}

void addLimit(Parser& parser) {
  struct Typed {
    LimitCommand command;
    std::string upload, download;
    std::vector<std::string> job;
  };
  parser.add<Typed>(
      "limit", "Show or change how much of the network this agent and its jobs may take",
      [](CLI::App& command, Typed& typed) {
        command.add_option("--upload", typed.upload, "To peers: 200MB, 50MB/s, or none")
            ->type_name("RATE");
        command.add_option("--download", typed.download, "From peers and hub together")
            ->type_name("RATE");
        command.add_option("--job", typed.job, "A running job's number, and its rate: 12 20MB")
            ->type_size(1)
            ->expected(2)
            ->type_name("ID RATE");
        addOutput(command, typed.command.output, false);
      },
      [](Typed& typed) -> absl::StatusOr<Command> {
        if (!typed.upload.empty()) {
          ROOST_ASSIGN_OR_RETURN(typed.command.upload, rateOf("--upload", typed.upload));
        }
        if (!typed.download.empty()) {
          ROOST_ASSIGN_OR_RETURN(typed.command.download, rateOf("--download", typed.download));
        }
        if (!typed.job.empty()) {
          ROOST_ASSIGN_OR_RETURN(const uint64_t id, jobNumber(typed.job.front()));
          ROOST_ASSIGN_OR_RETURN(const uint64_t rate, rateOf("--job", typed.job.back()));
          typed.command.job = LimitCommand::Job{id, rate};
        }
        return typed.command;
      });
}

void addVerify(Parser& parser) {
  struct Typed {
    OutputOptions output;
    std::string repo, type;
  };
  parser.add<Typed>(
      "verify", "Read and hash what this node holds, and name what is wrong",
      [](CLI::App& command, Typed& typed) {
        command.add_option("REPO", typed.repo, "A repo[@REVISION] (default: everything)");
        command.add_option("--type", typed.type, kTypeText)
            ->check(CLI::IsMember(kTypeNames))
            ->type_name("TYPE");
        addOutput(command, typed.output);
      },
      [](Typed& typed) -> absl::StatusOr<Command> {
        VerifyCommand command{typed.output, std::nullopt};
        if (!typed.repo.empty()) {
          ROOST_ASSIGN_OR_RETURN(command.repo, queryOf(typed.repo, typed.type));
        }
        return command;
      });
}

void addSmallCommands(Parser& parser) {
  parser.add<EnvCommand>(
      "env", "Print the exports that make clients use this agent: eval \"$(roost env)\"",
      [](CLI::App& command, EnvCommand& typed) {
        command.add_flag("--force", typed.force, kForceText);
        addOutput(command, typed.output, false);
      },
      [](EnvCommand& typed) -> absl::StatusOr<Command> { return typed; });
  parser.add<ExecCommand>(
      "exec", "Run a command that uses this agent, or the hub if none answers: exec -- CMD…",
      [](CLI::App& command, ExecCommand& typed) {
        command.add_flag("--force", typed.force, kForceText);
        addAgentAddress(command, typed.agent);
      },
      [&parser](ExecCommand& typed) -> absl::StatusOr<Command> {
        typed.words = parser.behindDashes;
        if (typed.words.empty()) {
          return absl::InvalidArgumentError(
              "exec: which command? It stands after two dashes: roost exec -- python train.py");
        }
        return typed;
      });
  parser.add<KeyCommand>(
      "key", "Make a cluster key: (umask 077; roost key > FILE)", [](CLI::App&, KeyCommand&) {},
      [](KeyCommand& typed) -> absl::StatusOr<Command> { return typed; });
  parser.add<std::string>(
      "completion", "Print the completions of a shell: bash, zsh or fish",
      [](CLI::App& command, std::string& shell) {
        command.add_option("SHELL", shell, "bash, zsh or fish")
            ->required()
            ->check(CLI::IsMember({"bash", "zsh", "fish"}));
      },
      [](std::string& shell) -> absl::StatusOr<Command> {
        return CompletionCommand{shell == "bash"  ? Shell::kBash
                                 : shell == "zsh" ? Shell::kZsh
                                                  : Shell::kFish};
      });
  parser.add<VersionCommand>(
      "version", "The version of this program and of the agent",
      [](CLI::App& command, VersionCommand& typed) { addOutput(command, typed.output, false); },
      [](VersionCommand& typed) -> absl::StatusOr<Command> { return typed; });
}

void addTorrent(Parser& parser) {
  struct Typed {
    OutputOptions output;
    std::string repo, type, revision, folder = ".";
  };
  parser.add<Typed>(
      "torrent", "Write .torrent files and magnet links of a public repo that this node holds",
      [](CLI::App& command, Typed& typed) {
        command.add_option("REPO", typed.repo, kRepoText)->required();
        command.add_option("--type", typed.type, kTypeText)
            ->check(CLI::IsMember(kTypeNames))
            ->type_name("TYPE");
        command.add_option("--revision", typed.revision, "Branch, tag or commit (default: main)");
        command.add_option("--out", typed.folder, "Folder for the files (default: this one)")
            ->type_name("DIR");
        addOutput(command, typed.output);
      },
      [](Typed& typed) -> absl::StatusOr<Command> {
        ROOST_ASSIGN_OR_RETURN(RepoQuery query, queryOf(typed.repo, typed.type));
        if (!typed.revision.empty()) {
          ROOST_ASSIGN_OR_RETURN(query.revision, parseRevision(typed.revision));
        }
        return TorrentCommand{typed.output, std::move(query), typed.folder};
      });
}

std::unique_ptr<Parser> makeParser() {
  auto parser = std::make_unique<Parser>();
  parser->app.require_subcommand(1);
  parser->app.set_help_flag("-h,--help", "Print help and exit");
  addAgent(*parser);
  addStatus(*parser);
  addWarm(*parser);
  addGet(*parser);
  addWhere(*parser);
  addLs(*parser);
  addEvict(*parser);
  addLimit(*parser);
  addJobs(*parser);
  addVerify(*parser);
  addTorrent(*parser);
  addSmallCommands(*parser);
  return parser;
}

const std::vector<std::string>& laterCommands() {
  static const std::vector<std::string> names = {"keep",  "unkeep", "wait",    "pin",    "unpin",
                                                 "evict", "drain",  "undrain", "reload", "doctor"};
  return names;
}

// CLI11's own message for a mistyped command names neither the word nor what was meant.
absl::Status unknownCommand(const Parser& parser, const std::string& word) {
  const auto& later = laterCommands();
  if (std::find(later.begin(), later.end(), word) != later.end()) {
    return absl::InvalidArgumentError(
        absl::StrCat("roost ", word, " is not in this version. roost --help lists what is"));
  }
  std::vector<std::string> known;
  for (const auto& [command, finish] : parser.commands) known.push_back(command->get_name());
  const auto nearest = likelyWord(word, known);
  return absl::InvalidArgumentError(absl::StrCat(
      "unknown command ", roost::quoted(word), ". ",
      nearest ? absl::StrCat("Did you mean ", *nearest, "?") : "roost --help lists them"));
}

std::string helpOf(const Parser& parser) {
  for (const auto& [command, finish] : parser.commands) {
    if (command->parsed()) return command->help("roost");
  }
  return parser.app.help();
}

std::string usageHint(const Parser& parser) {
  for (const auto& [command, finish] : parser.commands) {
    if (command->parsed()) return absl::StrCat("See roost ", command->get_name(), " --help");
  }
  return "See roost --help";
}

bool hasName(const CLI::Option& option, absl::string_view name) {
  const auto names = option.get_lnames();
  return std::find(names.begin(), names.end(), std::string(name)) != names.end();
}

std::vector<std::string> choicesOf(const CLI::App& command, const CLI::Option& option) {
  if (hasName(option, "type") && command.get_name() == "ls") {
    return {"repo", kRepresentation, kWheels};
  }
  if (hasName(option, "type")) {
    const bool wheels = command.get_name() != "verify" && command.get_name() != "evict";
    return wheels ? orWheels(kTypeNames) : kTypeNames;
  }
  if (hasName(option, "from")) return {"any", "cluster", "hub"};
  if (hasName(option, "nodes") && command.get_name() == "warm") return {"all", "self"};
  if (hasName(option, "catalog")) return {"mesh"};
  return {};
}

OptionShape shapeOf(const CLI::App& command, const CLI::Option& option) {
  OptionShape shape;
  for (const std::string& name : option.get_snames()) shape.names.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) shape.names.push_back("--" + name);
  shape.text = option.get_description();
  shape.takesValue = option.get_items_expected_max() > 0;
  shape.choices = choicesOf(command, option);
  const std::string type = option.get_type_name();
  shape.isPath =
      type == "FILE" || type == "DIR" || type == "PATH:LAYOUT" || hasName(option, "agent");
  return shape;
}

}  // namespace

absl::StatusOr<std::variant<Command, HelpText>> parseCommandLine(
    const std::vector<std::string>& words) {
  const auto parser = makeParser();
  const auto help = [&] { return std::variant<Command, HelpText>(HelpText{helpOf(*parser)}); };
  if (words.empty()) return absl::InvalidArgumentError(parser->app.help());
  if (words[0] == "--version") {
    return std::variant<Command, HelpText>(Command(VersionCommand{}));
  }
  if (words[0] == "help") return help();
  const auto isCommand = [&](const auto& entry) { return entry.first->get_name() == words[0]; };
  if (!absl::StartsWith(words[0], "-") &&
      std::none_of(parser->commands.begin(), parser->commands.end(), isCommand)) {
    return unknownCommand(*parser, words[0]);
  }
  std::vector<std::string> own = words;
  if (words[0] == "exec") {
    const auto dashes = std::find(own.begin(), own.end(), "--");
    if (dashes != own.end()) parser->behindDashes.assign(dashes + 1, own.end());
    own.erase(dashes, own.end());
  }
  try {
    // CLI11 takes the words from the back.
    parser->app.parse(std::vector<std::string>(own.rbegin(), own.rend()));
  } catch (const CLI::CallForHelp&) {
    return help();
  } catch (const CLI::Error& error) {
    return absl::InvalidArgumentError(absl::StrCat(error.what(), ". ", usageHint(*parser)));
  }
  for (const auto& [command, finish] : parser->commands) {
    if (!command->parsed()) continue;
    ROOST_ASSIGN_OR_RETURN(Command result, finish());
    return std::variant<Command, HelpText>(std::move(result));
  }
  return absl::InvalidArgumentError(parser->app.help());
}

std::vector<CommandShape> commandShapes() {
  const auto parser = makeParser();
  std::vector<CommandShape> shapes;
  for (const auto& [command, finish] : parser->commands) {
    CommandShape shape{command->get_name(), command->get_description(), {}, false, {}};
    for (const CLI::Option* option : std::as_const(*command).get_options()) {
      if (option->get_positional()) {
        shape.takesRepo = shape.takesRepo || option->get_name(true) == "REPO";
      } else if (!option->get_group().empty()) {
        shape.options.push_back(shapeOf(*command, *option));
      }
    }
    if (shape.name == "completion") shape.choices = {"bash", "zsh", "fish"};
    shapes.push_back(std::move(shape));
  }
  return shapes;
}

}  // namespace roost
