// Each command against an agent of our own making: what is asked, what is printed where, and the
// exit code.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <sstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "node/cli/cli.h"
#include "tests/cache/temp_folder.h"
#include "tests/node/cli/documents.h"

namespace roost {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

// What was asked of the agent, and what it answers in turn; the last answer is repeated.
struct Script {
  std::map<std::string, std::deque<absl::StatusOr<json>>> answers;
  std::vector<std::pair<std::string, json>> asked;
  std::vector<std::string> methods() const {
    std::vector<std::string> names;
    for (const auto& [method, arguments] : asked) names.push_back(method);
    return names;
  }
};

class ScriptedAgent : public ControlClient {
 public:
  explicit ScriptedAgent(Script& script) : script_(script) {}
  absl::StatusOr<json> call(absl::string_view method, const json& arguments) override {
    script_.asked.emplace_back(std::string(method), arguments);
    auto& answers = script_.answers[std::string(method)];
    if (answers.empty()) return absl::UnimplementedError(absl::StrCat("no answer to ", method));
    absl::StatusOr<json> answer = answers.front();
    if (answers.size() > 1) answers.pop_front();
    return answer;
  }

 private:
  Script& script_;
};

class Commands : public ::testing::Test {
 protected:
  // Runs a command line; what it printed is in out and err.
  int run(const std::string& line) {
    CliSeams seams;
    seams.connect =
        [this](const std::string& address) -> absl::StatusOr<std::unique_ptr<ControlClient>> {
      addresses.push_back(address);
      if (!absl::EndsWith(address, agentAt)) {
        return absl::FailedPreconditionError(
            absl::StrCat("no agent answers at ", address, ". Start one with `roost agent`."));
      }
      return std::make_unique<ScriptedAgent>(script);
    };
    seams.newClusterKey = [] { return std::string("a-new-key"); };
    seams.runAgent = [this](const AgentConfig& config) {
      started = config;
      return 7;
    };
    seams.readFile = [](const std::string& path) -> absl::StatusOr<std::string> {
      return absl::NotFoundError(path);
    };
    seams.host = {"gpu-01", "/work", false};
    std::ostringstream outStream, errStream;
    TextStyle style;
    style.columns = terminal ? 100 : 0;
    seams.out = {&outStream, terminal, [style] { return style; }};
    seams.err = {&errStream, terminal, [style] { return style; }};
    seams.catchInterrupts = [this] { interruptsCaught = true; };
    seams.endpointIs = [this](const std::string& url, const std::string& node, absl::Duration) {
      checked = absl::StrCat(url, " ", node);
      return endpointLives;
    };
    seams.execute = [this](const std::vector<std::string>& ran, const Environment& changed) {
      executed = ran;
      changes = changed;
      return ENOENT;  // the real one comes back with an error only
    };
    seams.pause = [this](absl::Duration) { return pauses-- > 0; };
    const std::vector<std::string> words = absl::StrSplit(line, ' ', absl::SkipEmpty());
    const int code = cliMain(words, environment, seams);
    out = outStream.str();
    err = errStream.str();
    return code;
  }
  void answer(const std::string& method, absl::StatusOr<json> document) {
    script.answers[method].push_back(std::move(document));
  }

  Environment environment = {{"HOME", "/home/ann"}};
  std::string agentAt = "agent.sock";  // how an address ends at which an agent listens
  Script script;
  bool terminal = false;
  int pauses = 100;  // before Ctrl-C
  bool interruptsCaught = false;
  std::vector<std::string> addresses;
  std::optional<AgentConfig> started;
  bool endpointLives = true;
  std::string checked;  // which endpoint, for which node
  std::vector<std::string> executed;
  Environment changes;
  std::string out, err;
};

// --- Which agent. ---
TEST_F(Commands, WithoutAnAgentSayHowToStartOneAndExit9) {
  agentAt = "nowhere";
  for (const char* line :
       {"status", "warm org/m", "get org/m", "where org/m", "ls", "jobs", "verify", "env"}) {
    EXPECT_EQ(run(line), 9) << line;
    EXPECT_THAT(err, AllOf(StartsWith("roost: no agent answers"), HasSubstr("`roost agent`")));
    EXPECT_THAT(out, IsEmpty());
  }
}

TEST_F(Commands, LookForTheAgentInTheStateFolderThenInRun) {
  agentAt = "nowhere";
  run("status");
  EXPECT_THAT(addresses,
              ElementsAre("/home/ann/.local/state/roost/agent.sock", "/run/roost/agent.sock"));
  addresses.clear();
  EXPECT_THAT(err, AllOf(HasSubstr("no agent answers at /home/ann/.local/state/roost/agent.sock"),
                         HasSubstr("(Nor at /run/roost/agent.sock.)")));
  environment["XDG_STATE_HOME"] = "/state";
  agentAt = "/run/roost/agent.sock";
  answer("status", statusDocument());
  EXPECT_EQ(run("status"), 0);
  EXPECT_THAT(addresses, ElementsAre("/state/roost/agent.sock", "/run/roost/agent.sock"));
}

TEST_F(Commands, ANamedAgentIsTheOnlyOneAsked) {
  agentAt = "nowhere";
  environment["ROOST_AGENT"] = "/from/env";
  EXPECT_EQ(run("status"), 9);
  EXPECT_THAT(addresses, ElementsAre("/from/env"));
  addresses.clear();
  EXPECT_EQ(run("status --agent /typed"), 9);
  EXPECT_THAT(addresses, ElementsAre("/typed"));
}

TEST_F(Commands, TheAgentsErrorIsTheExitCodeAndTheSentence) {
  const std::vector<std::pair<absl::Status, int>> cases = {
      {absl::InvalidArgumentError("why"), 2},  {absl::NotFoundError("why"), 3},
      {absl::PermissionDeniedError("why"), 4}, {absl::UnavailableError("why"), 5},
      {absl::DataLossError("why"), 6},         {absl::ResourceExhaustedError("why"), 7},
      {absl::DeadlineExceededError("why"), 8}, {absl::FailedPreconditionError("why"), 9},
      {absl::OutOfRangeError("why"), 10},      {absl::InternalError("why"), 1}};
  for (const auto& [status, code] : cases) {
    script.answers.clear();
    answer("warm", status);
    EXPECT_EQ(run("warm org/m"), code);
    EXPECT_EQ(err, "roost: why\n");
    EXPECT_THAT(out, IsEmpty());
  }
}

TEST_F(Commands, ABadCommandLineIsExit2AndAsksNobody) {
  EXPECT_EQ(run("warm ../x"), 2);
  EXPECT_EQ(run("frobnicate"), 2);
  EXPECT_EQ(run(""), 2);
  EXPECT_THAT(addresses, IsEmpty());
}

TEST_F(Commands, JsonIsTheDocumentAsItIs) {
  const json document = {{"schema", "roost.x.1"}, {"nodes", {{{"name", "a"}, {"new", 1}}}}};
  for (const char* command : {"status", "where org/m", "ls", "jobs", "jobs 3", "verify", "env",
                              "warm org/m --dry-run", "warm org/m --no-wait", "get org/m"}) {
    script = Script();
    for (const char* method :
         {"status", "where", "ls", "jobs", "job", "verify", "env", "warm", "get"}) {
      json answerDocument = document;
      answerDocument["state"] = "done";
      answer(method, answerDocument);
    }
    EXPECT_EQ(run(absl::StrCat(command, " --json")), 0) << command;
    const json printed = json::parse(out, nullptr, false);
    EXPECT_EQ(printed["nodes"], document["nodes"]) << command;
    EXPECT_THAT(err, IsEmpty());
  }
}

// --- agent, key, completion, version, env. ---
TEST_F(Commands, AgentRunsWithItsConfiguration) {
  EXPECT_EQ(run("agent --name me"), 7);
  EXPECT_EQ(started->name, "me");
}

TEST_F(Commands, AgentWithAnOpenDoorAndNoKeyIsRefused) {
  EXPECT_EQ(run("agent --listen 0.0.0.0:8376"), 2);
  EXPECT_THAT(err, HasSubstr("roost key > FILE"));
  EXPECT_FALSE(started);
}

TEST_F(Commands, KeyPrintsANewKey) {
  EXPECT_EQ(run("key"), 0);
  EXPECT_EQ(out, "a-new-key\n");
}

TEST_F(Commands, VersionNeedsNoAgent) {
  agentAt = "nowhere";
  EXPECT_EQ(run("version"), 0);
  EXPECT_EQ(out, absl::StrCat("roost ", ROOST_VERSION, "\n"));
  EXPECT_EQ(run("version --json"), 0);
  EXPECT_EQ(json::parse(out)["version"], ROOST_VERSION);
  EXPECT_EQ(json::parse(out)["agent"], nullptr);
  EXPECT_EQ(run("version --agent /typed"), 9);
}

TEST_F(Commands, VersionTellsTheAgentsToo) {
  answer("version", json{{"schema", "roost.version.1"}, {"version", "9.9"}});
  EXPECT_EQ(run("version"), 0);
  EXPECT_THAT(out, HasSubstr("agent 9.9\n"));
}

TEST_F(Commands, EnvPrintsExportsThatAShellCanRead) {
  answer("env", json{{"exports", {{"HF_ENDPOINT", "http://127.0.0.1:8377"}, {"A", "it's; rm"}}}});
  EXPECT_EQ(run("env"), 0);
  EXPECT_EQ(out, "export A='it'\\''s; rm'\nexport HF_ENDPOINT='http://127.0.0.1:8377'\n");
}

TEST_F(Commands, EnvPrintsNothingWhereThereIsNothingToSet) {
  answer("env", json{{"exports", json::object()}});
  EXPECT_EQ(run("env"), 0);
  EXPECT_THAT(out, IsEmpty());
  EXPECT_THAT(err, HasSubstr("nothing to set"));
}

TEST_F(Commands, EnvLeavesOutNamesThatAreNoVariables) {
  answer("env", json{{"exports", {{"A;rm", "x"}, {"1A", "x"}, {"OK_1", "x"}}}});
  run("env");
  EXPECT_EQ(out, "export OK_1='x'\n");
}

json liveAgent() {
  return {{"node", "0a"},
          {"hub", "https://hub.example"},
          {"exports", {{"HF_ENDPOINT", "http://127.0.0.1:8377"}}}};
}

TEST_F(Commands, EnvPrintsNothingIfTheEndpointIsNotThisAgents) {
  answer("env", liveAgent());
  endpointLives = false;
  EXPECT_EQ(run("env"), 9);
  EXPECT_EQ(checked, "http://127.0.0.1:8377 0a");
  EXPECT_THAT(out, IsEmpty());
  EXPECT_THAT(err, HasSubstr("http://127.0.0.1:8377"));
}

TEST_F(Commands, EnvLeavesAnEndpointOfTheUsersOwn) {
  answer("env", liveAgent());
  environment["HF_ENDPOINT"] = "https://mirror.example";
  EXPECT_EQ(run("env"), 0);
  EXPECT_THAT(out, IsEmpty());
  EXPECT_THAT(err, AllOf(HasSubstr("https://mirror.example"), HasSubstr("--force")));
  EXPECT_EQ(run("env --force"), 0);
  EXPECT_EQ(out, "export HF_ENDPOINT='http://127.0.0.1:8377'\n");
}

json agentWithIndex() {
  json agent = liveAgent();
  agent["pip_index"] = "https://index.example/simple";
  agent["exports"] = {{"PIP_INDEX_URL", "http://127.0.0.1:8377/pip/simple/"},
                      {"PIP_TRUSTED_HOST", "127.0.0.1"}};
  return agent;
}

TEST_F(Commands, EnvReplacesThePipIndexThatTheAgentStandsForWhateverItsPassword) {
  answer("env", agentWithIndex());
  environment["PIP_INDEX_URL"] = "https://me:secret@index.example/simple/";
  environment["PIP_TRUSTED_HOST"] = "other.example";
  EXPECT_EQ(run("env"), 0);
  EXPECT_EQ(out,
            "export PIP_INDEX_URL='http://127.0.0.1:8377/pip/simple/'\n"
            "export PIP_TRUSTED_HOST='other.example 127.0.0.1'\n");
}

TEST_F(Commands, EnvLeavesAPipIndexOfTheUsersOwnAndTellsNoPassword) {
  answer("env", agentWithIndex());
  environment["PIP_INDEX_URL"] = "https://me:secret@other.example/simple";
  EXPECT_EQ(run("env"), 0);
  EXPECT_THAT(out, Not(HasSubstr("PIP_INDEX_URL")));
  EXPECT_THAT(err, AllOf(HasSubstr("https://other.example/simple"), Not(HasSubstr("secret"))));
}

TEST_F(Commands, EnvWarnsOfASecondPipIndex) {
  answer("env", agentWithIndex());
  environment["PIP_EXTRA_INDEX_URL"] = "https://extra.example/simple";
  EXPECT_EQ(run("env"), 0);
  EXPECT_THAT(err, HasSubstr("PIP_EXTRA_INDEX_URL is set"));
}

TEST_F(Commands, EnvReplacesTheAgentsHubAndItself) {
  answer("env", liveAgent());
  for (const char* set : {"https://hub.example", "https://hub.example/", "http://127.0.0.1:8377"}) {
    environment["HF_ENDPOINT"] = set;
    EXPECT_EQ(run("env"), 0);
    EXPECT_THAT(out, HasSubstr("HF_ENDPOINT")) << set;
  }
}

// --- exec. ---
TEST_F(Commands, ExecRunsWithTheExports) {
  answer("env", liveAgent());
  EXPECT_EQ(run("exec -- python x"), 127);
  EXPECT_THAT(executed, ElementsAre("python", "x"));
  EXPECT_EQ(changes, (Environment{{"HF_ENDPOINT", "http://127.0.0.1:8377"}}));
}

TEST_F(Commands, ExecWithoutAnAgentRunsWithWhatThereIs) {
  agentAt = "nowhere";
  run("exec -- python x");
  EXPECT_THAT(executed, ElementsAre("python", "x"));
  EXPECT_THAT(changes, IsEmpty());
  EXPECT_THAT(err, HasSubstr("without an agent: no agent answers"));
}

TEST_F(Commands, ExecSetsNothingIfTheEndpointIsNotThisAgents) {
  answer("env", liveAgent());
  endpointLives = false;
  run("exec -- python x");
  EXPECT_THAT(executed, ElementsAre("python", "x"));
  EXPECT_THAT(changes, IsEmpty());
}

TEST_F(Commands, ExecLeavesAnEndpointOfTheUsersOwn) {
  answer("env", liveAgent());
  environment["HF_ENDPOINT"] = "https://mirror.example";
  run("exec -- python x");
  EXPECT_THAT(changes, IsEmpty());
  run("exec --force -- python x");
  EXPECT_THAT(changes, Not(IsEmpty()));
}

// --- status. ---
TEST_F(Commands, StatusPrintsThePicture) {
  answer("status", statusDocument());
  EXPECT_EQ(run("status"), 0);
  EXPECT_THAT(out, AllOf(StartsWith("4 nodes · 3 models"), HasSubstr("gpu-01 *")));
  EXPECT_FALSE(interruptsCaught);
  EXPECT_EQ(run("status -q"), 0);
  EXPECT_EQ(out, "gpu-01\ngpu-02\ngpu-03\ngpu-04\n");
}

TEST_F(Commands, WatchRedrawsInPlaceUntilCtrlC) {
  terminal = true;
  pauses = 2;
  answer("status", statusDocument());
  EXPECT_EQ(run("status --watch"), 0);
  EXPECT_TRUE(interruptsCaught);
  EXPECT_THAT(script.methods(), ElementsAre("status", "status", "status"));
  // Seven lines up, and no alternate screen.
  EXPECT_THAT(out, AllOf(StartsWith("4 nodes"), HasSubstr("\x1b[7F4 nodes"),
                         Not(HasSubstr("\x1b[?1049h"))));
}

TEST_F(Commands, WatchIntoAPipeHasNoTerminalCodes) {
  pauses = 1;
  answer("status", statusDocument());
  EXPECT_EQ(run("status --watch"), 0);
  EXPECT_THAT(out, Not(HasSubstr("\x1b")));
  EXPECT_EQ(run("status --watch --json"), 0);
  EXPECT_EQ(std::count(out.begin(), out.end(), '\n'), 1) << "one document a line";
}

TEST_F(Commands, WatchEndsWithTheAgent) {
  answer("status", statusDocument());
  answer("status", absl::FailedPreconditionError("the agent went away"));
  EXPECT_EQ(run("status --watch"), 9);
  EXPECT_EQ(err, "roost: the agent went away\n");
}

// --- warm. ---
TEST_F(Commands, WarmWaitsAndPrintsWhatCameOfIt) {
  answer("warm", runningJob());
  answer("job", runningJob());
  answer("job", endedJob("done", 0, ""));
  EXPECT_EQ(run("warm datasets/org/d@v1 --nodes gpu-[1-2],zone=a --include *.json --from cluster"),
            0);
  EXPECT_EQ(script.asked[0].second, (json{{"repo", "datasets/org/d"},
                                          {"revision", "v1"},
                                          {"include", {"*.json"}},
                                          {"from", "cluster"},
                                          {"nodes", {"gpu-1", "gpu-2", "zone=a"}}}));
  EXPECT_THAT(script.methods(), ElementsAre("warm", "job", "job"));
  EXPECT_EQ(script.asked[1].second, (json{{"id", 12}}));
  EXPECT_THAT(out, HasSubstr("gpu-03    done"));
  EXPECT_THAT(err, IsEmpty()) << "bars are for terminals";
}

TEST_F(Commands, WarmDrawsABarOnATerminalAndTakesItAway) {
  terminal = true;
  answer("warm", runningJob());
  answer("job", endedJob("done", 0, ""));
  EXPECT_EQ(run("warm org/m"), 0);
  EXPECT_THAT(err, AllOf(HasSubstr("━━╺━━"), HasSubstr("0:15 left"), HasSubstr("\x1b[1F\x1b[J")));
  EXPECT_THAT(out, Not(HasSubstr("\x1b")));
}

TEST_F(Commands, CtrlCLeavesTheJobAloneAndSaysHowToCancelIt) {
  pauses = 1;
  answer("warm", runningJob());
  answer("job", runningJob());
  EXPECT_EQ(run("warm org/m"), 130);
  EXPECT_THAT(err, AllOf(HasSubstr("job 12 goes on"), HasSubstr("roost jobs 12 --cancel")));
  EXPECT_THAT(script.methods(), Not(::testing::Contains("cancel")));
}

TEST_F(Commands, WarmEndsWithTheJobsExitCode) {
  struct Case {
    const char* state;
    int jobCode, exit;
  };
  for (const Case& c :
       {Case{"failed", 6, 6}, Case{"failed", 7, 7}, Case{"failed", 0, 1}, Case{"failed", 99, 1},
        Case{"partial", 10, 10}, Case{"partial", 0, 10}, Case{"cancelled", 0, 1}}) {
    script = Script();
    answer("warm", endedJob(c.state, c.jobCode, "because of this"));
    EXPECT_EQ(run("warm org/m"), c.exit) << c.state << c.jobCode;
    EXPECT_THAT(out, HasSubstr("because of this"));
    EXPECT_EQ(run("warm org/m -q"), c.exit);
    EXPECT_EQ(out, "12\n");
    EXPECT_THAT(err, AllOf(HasSubstr(c.state), HasSubstr("because of this")));
  }
}

TEST_F(Commands, WarmWithoutWaitingPrintsTheJob) {
  answer("warm", runningJob());
  EXPECT_EQ(run("warm org/m --no-wait"), 0);
  EXPECT_THAT(out, StartsWith("WARM #12 org/model-70b"));
  EXPECT_EQ(run("warm org/m --no-wait -q"), 0);
  EXPECT_EQ(out, "12\n");
  EXPECT_THAT(script.methods(), ElementsAre("warm", "warm"));
}

TEST_F(Commands, AnAgentThatGoesAwayWhileWarmingIsExit9) {
  answer("warm", runningJob());
  answer("job", absl::FailedPreconditionError("connection closed"));
  EXPECT_EQ(run("warm org/m"), 9);
  EXPECT_THAT(err, AllOf(HasSubstr("lost sight of job 12"), HasSubstr("goes on")));
}

TEST_F(Commands, DryRunPrintsThePlan) {
  answer("warm", json{{"schema", "roost.plan.1"},
                      {"repo", "org/m"},
                      {"completeness", "complete"},
                      {"nodes",
                       {{{"name", "gpu-01"}, {"missing_files", 0}},
                        {{"name", "gpu-02"}, {"missing_files", 2}, {"missing_bytes", 5}}}}});
  EXPECT_EQ(run("warm org/m --dry-run"), 0);
  EXPECT_EQ(script.asked[0].second["dry_run"], true);
  EXPECT_THAT(out, HasSubstr("gpu-01        –"));
  EXPECT_EQ(run("warm org/m --dry-run -q"), 0);
  EXPECT_EQ(out, "gpu-02\n") << "who would get something";
}

// --- get. ---
TEST_F(Commands, GetPrintsOnlyTheSnapshotPath) {
  terminal = true;
  json done = endedJob("done", 0, "");
  done["snapshot"] = "/home/ann/.cache/huggingface/hub/models--org--m/snapshots/abc";
  answer("get", runningJob());
  answer("job", done);
  EXPECT_EQ(run("get org/m config.json --exclude *.bin"), 0);
  EXPECT_EQ(out, "/home/ann/.cache/huggingface/hub/models--org--m/snapshots/abc\n");
  EXPECT_EQ(
      script.asked[0].second,
      (json{
          {"repo", "org/m"}, {"files", {"config.json"}}, {"exclude", {"*.bin"}}, {"from", "any"}}));
}

TEST_F(Commands, GetThatFailsPrintsNoPath) {
  nlohmann::json failed = endedJob("failed", 6, "no good copy of model.bin");
  failed["snapshot"] = "/where/it/would/be";
  answer("get", failed);
  EXPECT_EQ(run("get org/m"), 6);
  EXPECT_THAT(out, IsEmpty());
  EXPECT_THAT(err, HasSubstr("no good copy of model.bin"));
}

// --- jobs. ---
TEST_F(Commands, JobsListsShowsAndCancels) {
  answer("jobs", json{{"jobs", {runningJob()}}});
  answer("job", runningJob());
  answer("cancel", endedJob("cancelled", 0, ""));
  EXPECT_EQ(run("jobs"), 0);
  EXPECT_THAT(out, HasSubstr(" 12  running"));
  EXPECT_EQ(run("jobs -q"), 0);
  EXPECT_EQ(out, "12\n");
  EXPECT_EQ(run("jobs 12"), 0);
  EXPECT_THAT(out, HasSubstr("gpu-03    running"));
  EXPECT_EQ(run("jobs 12 --cancel"), 0);
  EXPECT_THAT(out, HasSubstr("cancelled"));
  EXPECT_EQ(script.asked.back(), (std::pair<std::string, json>("cancel", {{"id", 12}})));
}

// --- where, ls, verify. ---
TEST_F(Commands, WhereAsksForARepoOrADigest) {
  answer("where", json{{"nodes", {{{"name", "gpu-01"}, {"commit", "a"}}, {{"name", "gpu-01"}}}}});
  EXPECT_EQ(run("where datasets/org/d@v1 -q"), 0);
  EXPECT_EQ(out, "gpu-01\n") << "once, although it has two commits";
  EXPECT_EQ(script.asked[0].second, (json{{"repo", "datasets/org/d"}, {"revision", "v1"}}));
  const std::string hex(64, 'a');
  run("where " + hex);
  EXPECT_EQ(script.asked[1].second, (json{{"digest", "sha256:" + hex}}));
}

TEST_F(Commands, WhatNobodyHoldsIsExit3) {
  answer("where", json{{"nodes", json::array()}});
  EXPECT_EQ(run("where org/m"), 3);
  EXPECT_THAT(err, HasSubstr("no node holds org/m"));
  EXPECT_EQ(run("where org/m --json"), 3);
  EXPECT_EQ(json::parse(out)["nodes"], json::array());
}

TEST_F(Commands, WhereExplainsFromWhomAndWhy) {
  const json source = {{"name", "gpu-01"}, {"why", "hashed there"}};
  const json passed = {{"name", "gpu-02"}, {"why", "draining, and others have it"}};
  answer("where", json{{"nodes", json::array()},
                       {"plans",
                        {{{"lane", "direct"},
                          {"why", {"no other wants it"}},
                          {"bytes", 3 * kMB},
                          {"sources", {source}},
                          {"passed_over", {passed}},
                          {"files", {{{"path", "a.bin"}}, {{"path", "b.bin"}}}}}}}});
  EXPECT_EQ(run("where org/m --explain"), 0) << "there is a way";
  EXPECT_EQ(script.asked[0].second, (json{{"repo", "org/m"}, {"explain", true}}));
  EXPECT_THAT(out, AllOf(HasSubstr("2 files, 3.0 MB: direct\n  no other wants it\n"),
                         HasSubstr("  from gpu-01: hashed there\n"),
                         HasSubstr("  not from gpu-02: draining, and others have it\n")));
}

TEST_F(Commands, WhatCannotBeHadIsExit3AlsoWhenExplained) {
  answer("where", json{{"nodes", json::array()}, {"plans", {{{"lane", "none"}}}}});
  EXPECT_EQ(run("where org/m --explain"), 3);
}

TEST_F(Commands, LimitShowsAndChanges) {
  answer("limit", json{{"upload_bytes_per_second", 50 * kMB},
                       {"download_bytes_per_second", 0},
                       {"jobs", {{{"id", 12}, {"title", "org/m"}, {"bytes_per_second", kMB}}}}});
  EXPECT_EQ(run("limit"), 0);
  EXPECT_EQ(script.asked[0].second, json::object());
  EXPECT_THAT(out, AllOf(HasSubstr("upload    50.0 MB/s\n"), HasSubstr("download  none\n"),
                         HasSubstr("job #12 org/m  1.0 MB/s\n")));
  EXPECT_EQ(run("limit --upload none --job 12 2MB --json"), 0);
  EXPECT_EQ(script.asked[1].second, (json{{"upload", 0}, {"job", 12}, {"job_rate", 2'000'000}}));
  EXPECT_EQ(json::parse(out)["upload_bytes_per_second"], 50 * kMB);
}

TEST_F(Commands, LsPrintsEachRepoOnceWhenQuiet) {
  answer("ls", json{{"repos",
                     {{{"repo", "org/m"}, {"commit", "a"}},
                      {{"repo", "org/m"}, {"commit", "b"}},
                      {{"repo", "datasets/org/d"}}}}});
  EXPECT_EQ(run("ls -q"), 0);
  EXPECT_EQ(out, "org/m\ndatasets/org/d\n");
}

TEST_F(Commands, VerifyExitsWithWhatItFound) {
  const json good = {
      {"repo", "org/m"}, {"files_ok", 2}, {"wrong", json::array()}, {"missing", json::array()}};
  json missing = good;
  missing["missing"] = {"x.json"};
  json wrong = missing;
  wrong["wrong"] = {{{"path", "w.bin"}, {"expected", "a"}, {"found", "b"}}};
  answer("verify", json{{"repos", {good}}});
  EXPECT_EQ(run("verify org/m"), 0);
  script = Script();
  answer("verify", json{{"repos", {missing}}});
  EXPECT_EQ(run("verify org/m"), 10);
  EXPECT_EQ(run("verify"), 0) << "to hold a part is ordinary";
  script = Script();
  answer("verify", json{{"repos", {wrong}}});
  EXPECT_EQ(run("verify"), 6);
  EXPECT_EQ(run("verify -q"), 6);
  EXPECT_EQ(out, "org/m w.bin\n");
}

// --- torrent. ---
json torrentOf(const std::string& path) {
  return {{"path", path}, {"magnet", "magnet:?xt=" + path}, {"torrent", "ZDQ6aW5mb2VlCg=="}};
}

TEST_F(Commands, TorrentWritesAFileForEachAndSaysTheLinks) {
  const TempFolder folder;
  answer("torrent", json{{"files", {torrentOf("a.bin"), torrentOf("sub/b.bin")}},
                         {"skipped", {{{"path", "empty"}, {"why", "it is empty"}}}}});
  EXPECT_EQ(run("torrent org/m@v1 --out " + folder / "new"), 0);
  EXPECT_EQ(script.asked[0].second, (json{{"repo", "org/m"}, {"revision", "v1"}}));
  EXPECT_EQ(contentOf(folder / "new/a.bin.torrent"), "d4:infoee\n");
  EXPECT_EQ(contentOf(folder / "new/sub/b.bin.torrent"), "d4:infoee\n");
  EXPECT_THAT(out, AllOf(HasSubstr(folder / "new/sub/b.bin.torrent"), HasSubstr("xt=a.bin")));
  EXPECT_THAT(err, HasSubstr("empty"));
  EXPECT_EQ(run("torrent org/m -q --out " + folder / "new"), 0);
  EXPECT_EQ(out, "magnet:?xt=a.bin\nmagnet:?xt=sub/b.bin\n");
}

TEST_F(Commands, TorrentOfAFileThatIsNotHereIsPartial) {
  const TempFolder folder;
  answer("torrent", json{{"files", {torrentOf("a.bin")}},
                         {"skipped", {{{"path", "b.bin"}, {"why", "it is not here"}}}}});
  EXPECT_EQ(run("torrent org/m --out " + folder.path()), 10);
  EXPECT_THAT(err, HasSubstr("b.bin"));
}

TEST_F(Commands, TorrentWritesNothingOutsideItsFolder) {
  const TempFolder folder;
  answer("torrent", json{{"files", {torrentOf("../a.bin")}}, {"skipped", json::array()}});
  EXPECT_NE(run("torrent org/m --out " + folder / "new"), 0);
  EXPECT_FALSE(std::filesystem::exists(folder / "a.bin.torrent"));
}

}  // namespace
}  // namespace roost
