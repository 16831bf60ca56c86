// What was typed becomes plain structs, or a sentence.
#include "node/cli/command_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace roost {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::vector<std::string> words(absl::string_view line) {
  return absl::StrSplit(line, ' ', absl::SkipEmpty());
}

template <typename T>
T parsed(absl::string_view line) {
  const auto result = parseCommandLine(words(line));
  EXPECT_TRUE(result.ok()) << line << ": " << result.status();
  return std::get<T>(std::get<Command>(result.value()));
}

std::string refusal(absl::string_view line) {
  const auto result = parseCommandLine(words(line));
  EXPECT_EQ(result.status().code(), absl::StatusCode::kInvalidArgument) << line;
  return std::string(result.status().message());
}

std::string helpFor(absl::string_view line) {
  const auto result = parseCommandLine(words(line));
  EXPECT_TRUE(result.ok()) << result.status();
  return std::get<HelpText>(*result).text;
}

TEST(CommandLine, WarmHasAllItsOptions) {
  const auto warm = parsed<WarmCommand>(
      "warm datasets/org/d --revision v1 --include *.json --include *.bin --exclude *.h5 "
      "--nodes gpu-[01-02],zone=a --from cluster --no-wait --json --agent /s");
  EXPECT_EQ(warm.order.repo, "datasets/org/d");
  EXPECT_EQ(warm.order.revision, "v1");
  EXPECT_THAT(warm.order.include, ElementsAre("*.json", "*.bin"));
  EXPECT_THAT(warm.order.exclude, ElementsAre("*.h5"));
  EXPECT_EQ(warm.order.from, "cluster");
  EXPECT_THAT(warm.nodes.terms(), ElementsAre("gpu-01", "gpu-02", "zone=a"));
  EXPECT_TRUE(warm.noWait);
  EXPECT_FALSE(warm.dryRun);
  EXPECT_TRUE(warm.output.json);
  EXPECT_EQ(warm.output.agent, "/s");
}

TEST(CommandLine, WheelsAreOrderedByNameAndVersion) {
  const auto warm = parsed<WarmCommand>("warm --type pip My_Leaf==1.0 --include *cp311*");
  EXPECT_TRUE(warm.order.wheels);
  EXPECT_EQ(warm.order.repo, "my-leaf==1.0");
  EXPECT_THAT(warm.order.include, ElementsAre("*cp311*"));
  EXPECT_TRUE(parsed<WarmCommand>("warm --type pip leaf --nodes self").order.wheels);
  EXPECT_TRUE(parsed<GetCommand>("get --type pip leaf leaf-1.0-py3-none-any.whl").order.wheels);
  EXPECT_TRUE(parsed<LsCommand>("ls --type pip").wheels);
  const auto where = parsed<WhereCommand>("where --type pip leaf");
  EXPECT_EQ(std::get<PipRequirement>(where.what).project, "leaf");
}

TEST(CommandLine, WhatIsNotForWheelsIsRefused) {
  EXPECT_THAT(refusal("warm --type pip leaf>=1"), HasSubstr("NAME==VERSION"));
  EXPECT_THAT(refusal("warm --type pip leaf --nodes all"), HasSubstr("--nodes"));
  EXPECT_THAT(refusal("warm --type pip leaf --revision main"), HasSubstr("--revision"));
  EXPECT_THAT(refusal("warm --type pip leaf --from hub"), HasSubstr("--from"));
  EXPECT_THAT(refusal("warm --type pip leaf --no-wait"), HasSubstr("--no-wait"));
  EXPECT_THAT(refusal("verify --type pip leaf"), HasSubstr("--type"));
}

TEST(CommandLine, WarmDefaultsToAllNodesAndAnySource) {
  const auto warm = parsed<WarmCommand>("warm org/m");
  EXPECT_TRUE(warm.nodes.all);
  EXPECT_EQ(warm.order.from, "any");
  EXPECT_EQ(warm.order.revision, "");
}

TEST(CommandLine, AnOptionMayStandBeforeTheRepo) {
  const auto warm = parsed<WarmCommand>("warm --include *.json org/m");
  EXPECT_EQ(warm.order.repo, "org/m");
  EXPECT_THAT(warm.order.include, ElementsAre("*.json"));
}

TEST(CommandLine, TheTypeMayStandInAnOption) {
  EXPECT_EQ(parsed<WarmCommand>("warm org/d --type dataset").order.repo, "datasets/org/d");
  EXPECT_EQ(parsed<GetCommand>("get org/d --type space").order.repo, "spaces/org/d");
  EXPECT_EQ(parsed<WarmCommand>("warm org___d --type dataset-cache").order.repo,
            "dataset-caches/org/d");
  EXPECT_THAT(refusal("warm datasets/org/d --type model"), HasSubstr("--type"));
  EXPECT_THAT(refusal("warm org/d --type thing"), HasSubstr("--type"));
}

TEST(CommandLine, TheRevisionMayStandAfterAnAt) {
  EXPECT_EQ(parsed<WarmCommand>("warm org/m@v2").order.revision, "v2");
  EXPECT_THAT(refusal("warm org/m@v2 --revision v2"), HasSubstr("two revisions"));
  EXPECT_THAT(refusal("warm org/m --revision ../x"), HasSubstr("../x"));
}

TEST(CommandLine, GetTakesFiles) {
  const auto get = parsed<GetCommand>("get org/m config.json sub/tokenizer.json --from hub");
  EXPECT_THAT(get.files, ElementsAre("config.json", "sub/tokenizer.json"));
  EXPECT_THAT(refusal("get org/m ../../etc/passwd"), HasSubstr("'..'"));
  EXPECT_THAT(refusal("get org/m /etc/passwd"), HasSubstr("absolute"));
}

TEST(CommandLine, WhereTakesARepoOrADigest) {
  const std::string hex(64, 'a');
  EXPECT_EQ(std::get<BlobId>(parsed<WhereCommand>("where " + hex).what).toString(),
            "sha256:" + hex);
  EXPECT_EQ(std::get<BlobId>(parsed<WhereCommand>("where sha256:" + hex).what).hex(), hex);
  EXPECT_EQ(std::get<RepoQuery>(parsed<WhereCommand>("where org/m@v1").what).repo.toString(),
            "org/m");
  EXPECT_THAT(refusal("where sha256:123"), HasSubstr("64 hex digits"));
}

TEST(CommandLine, WhereExplains) {
  EXPECT_TRUE(parsed<WhereCommand>("where org/m --explain").explain);
  EXPECT_TRUE(parsed<WhereCommand>("where " + std::string(64, 'a') + " --explain").explain);
  EXPECT_FALSE(parsed<WhereCommand>("where org/m").explain);
  EXPECT_THAT(refusal("where --type pip leaf --explain"), HasSubstr("--explain"));
}

TEST(CommandLine, LimitTakesRates) {
  EXPECT_EQ(parsed<LimitCommand>("limit").upload, std::nullopt);
  const auto limit = parsed<LimitCommand>("limit --upload 200MB --download none --job 12 50MB/s");
  EXPECT_EQ(limit.upload, 200'000'000u);
  EXPECT_EQ(limit.download, 0u);
  EXPECT_EQ(limit.job->id, 12u);
  EXPECT_EQ(limit.job->rate, 50'000'000u);
  EXPECT_THAT(refusal("limit --upload fast"), AllOf(HasSubstr("--upload"), HasSubstr("\"fast\"")));
  EXPECT_THAT(refusal("limit --upload 10"), HasSubstr("The least is 100kB"));
  EXPECT_THAT(refusal("limit --job twelve 1MB"), HasSubstr("\"twelve\""));
  refusal("limit --job 12");
}

TEST(CommandLine, WarmTakesALimit) {
  EXPECT_EQ(parsed<WarmCommand>("warm org/m").limit, 0u);
  EXPECT_EQ(parsed<WarmCommand>("warm org/m --limit 20MiB/s").limit, 20u << 20);
  EXPECT_THAT(refusal("warm org/m --limit 1B"), HasSubstr("--limit"));
  EXPECT_THAT(refusal("warm --type pip leaf --limit 1MB"), HasSubstr("--limit"));
  refusal("warm --type representation --limit 1MB");
}

TEST(CommandLine, JobsTakesAnId) {
  EXPECT_EQ(parsed<JobsCommand>("jobs").id, std::nullopt);
  EXPECT_EQ(parsed<JobsCommand>("jobs 12").id, 12u);
  EXPECT_TRUE(parsed<JobsCommand>("jobs #12 --cancel").cancel);
  EXPECT_THAT(refusal("jobs --cancel"), HasSubstr("which job?"));
  EXPECT_THAT(refusal("jobs twelve"), HasSubstr("\"twelve\""));
  EXPECT_THAT(refusal("jobs 0"), HasSubstr("expected a number"));
}

TEST(CommandLine, TheOthersHaveTheirOptions) {
  EXPECT_TRUE(parsed<StatusCommand>("status --watch --nodes").watch);
  EXPECT_TRUE(parsed<StatusCommand>("status --watch --nodes").allNodes);
  EXPECT_TRUE(parsed<LsCommand>("ls -q").output.quiet);
  EXPECT_EQ(parsed<VerifyCommand>("verify").repo, std::nullopt);
  const auto torrent = parsed<TorrentCommand>("torrent datasets/org/d --revision v2 --out there");
  EXPECT_EQ(torrent.repo.repo.toString(), "datasets/org/d");
  EXPECT_EQ(revisionText(*torrent.repo.revision), "v2");
  EXPECT_EQ(torrent.folder, "there");
  EXPECT_EQ(parsed<TorrentCommand>("torrent org/m").folder, ".");
  EXPECT_EQ(parsed<VerifyCommand>("verify org/m").repo->repo.toString(), "org/m");
  EXPECT_TRUE(parsed<EnvCommand>("env --json").output.json);
  parsed<KeyCommand>("key");
  EXPECT_EQ(parsed<CompletionCommand>("completion zsh").shell, Shell::kZsh);
  EXPECT_THAT(refusal("completion csh"), HasSubstr("csh"));
  EXPECT_TRUE(parsed<VersionCommand>("version --json").output.json);
  parsed<VersionCommand>("--version");
}

TEST(CommandLine, ExecKeepsEveryWordBehindTheDashes) {
  const auto exec = parsed<ExecCommand>("exec --force --agent /a.sock -- python -c x --json -- y");
  EXPECT_THAT(exec.words, ElementsAre("python", "-c", "x", "--json", "--", "y"));
  EXPECT_TRUE(exec.force);
  EXPECT_EQ(exec.agent, "/a.sock");
}

TEST(CommandLine, ExecWithoutACommandBehindDashesIsRefused) {
  EXPECT_THAT(refusal("exec"), HasSubstr("roost exec -- "));
  EXPECT_THAT(refusal("exec --"), HasSubstr("roost exec -- "));
  EXPECT_THAT(refusal("exec python x"), HasSubstr("python"));
}

TEST(CommandLine, AgentKeepsWhatWasTypedForTheConfiguration) {
  const auto agent = parsed<AgentCommand>(
      "agent --listen [::1]:1 --join a:1,b:2 --root /a:hub --root /b:flat --state-dir=/s --hub "
      "none");
  EXPECT_EQ(agent.arguments.options.at("listen"), "[::1]:1");
  EXPECT_EQ(agent.arguments.options.at("join"), "a:1,b:2");
  EXPECT_EQ(agent.arguments.options.at("state-dir"), "/s");
  EXPECT_EQ(agent.arguments.options.at("hub"), "none");
  EXPECT_EQ(agent.arguments.options.size(), 4u);
  EXPECT_THAT(agent.arguments.roots, ElementsAre("/a:hub", "/b:flat"));
}

TEST(CommandLine, AgentAcceptsEveryOptionOfTheTable) {
  for (const AgentOption& option : agentOptions()) {
    EXPECT_THAT(parsed<AgentCommand>("agent --" + option.option + " x").arguments.options,
                ElementsAre(std::pair<const std::string, std::string>(option.option, "x")));
  }
}

TEST(CommandLine, BadReposAreRefusedWithASentence) {
  for (const char* command : {"warm", "get", "where", "verify"}) {
    for (const char* repo : {"../x", "a/b/c/d", "org/..", "/abs", "org/m@"}) {
      EXPECT_THAT(refusal(absl::StrCat(command, " ", repo)), HasSubstr("not a re")) << command;
    }
  }
}

TEST(CommandLine, BadNodesAreRefusedWithASentence) {
  EXPECT_THAT(refusal("warm org/m --nodes gpu-[1"), AllOf(HasSubstr("--nodes"), HasSubstr("]")));
}

TEST(CommandLine, ContradictionsAreRefused) {
  refusal("ls -q --json");
  refusal("warm org/m --dry-run --no-wait");
}

TEST(CommandLine, AMistypedCommandNamesTheNearest) {
  EXPECT_THAT(refusal("stauts"), HasSubstr("Did you mean status?"));
  EXPECT_THAT(refusal("frobnicate"), HasSubstr("roost --help"));
}

TEST(CommandLine, CommandsOfLaterVersionsAreNamedAsSuch) {
  EXPECT_THAT(refusal("keep org/m"), HasSubstr("not in this version"));
}

TEST(CommandLine, UnknownOptionsAndMissingArgumentsAreNamed) {
  EXPECT_THAT(refusal("status --bogus"), AllOf(HasSubstr("--bogus"), HasSubstr("status --help")));
  EXPECT_THAT(refusal("warm"), AllOf(HasSubstr("REPO"), HasSubstr("warm --help")));
  EXPECT_THAT(refusal("warm org/m org/n"), HasSubstr("org/n"));
  EXPECT_THAT(refusal("warm --type representation org/m"), HasSubstr("64"));
  EXPECT_THAT(refusal("warm --type representation --nodes all"), HasSubstr("this node only"));
  EXPECT_THAT(refusal("warm --type representation --dry-run"), HasSubstr("no other option"));
  EXPECT_THAT(refusal(""), HasSubstr("status"));
}

TEST(CommandLine, HelpIsNoError) {
  EXPECT_THAT(helpFor("--help"), AllOf(HasSubstr("warm"), HasSubstr("completion")));
  EXPECT_THAT(helpFor("help"), HasSubstr("warm"));
  EXPECT_THAT(helpFor("warm --help"), AllOf(HasSubstr("roost warm"), HasSubstr("--dry-run")));
  EXPECT_THAT(helpFor("agent -h"), AllOf(HasSubstr("ROOST_LISTEN"), HasSubstr("--swarm"),
                                         ::testing::Not(HasSubstr("--metrics"))));
}

TEST(CommandShapes, KnowEveryCommandAndWhatItTakes) {
  std::vector<std::string> names;
  for (const CommandShape& command : commandShapes()) {
    names.push_back(command.name);
    EXPECT_FALSE(command.text.empty());
    EXPECT_EQ(command.takesRepo, command.name == "warm" || command.name == "get" ||
                                     command.name == "where" || command.name == "verify" ||
                                     command.name == "torrent")
        << command.name;
    for (const OptionShape& option : command.options) {
      EXPECT_THAT(option.names, ::testing::Not(IsEmpty()));
      EXPECT_FALSE(option.text.empty()) << command.name << " " << option.names[0];
    }
  }
  EXPECT_THAT(names,
              ElementsAre("agent", "status", "warm", "get", "where", "ls", "evict", "limit", "jobs",
                          "verify", "torrent", "env", "exec", "key", "completion", "version"));
}

}  // namespace
}  // namespace roost
