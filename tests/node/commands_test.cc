#include "node/commands.h"

#include <nlohmann/json.hpp>
#include <random>
#include <set>

#include "absl/strings/str_cat.h"
#include "cluster/peer_links.h"
#include "gmock/gmock.h"
#include "tests/node/folders_at_work.h"
#include "tests/protocol/loop.h"

namespace roost {
namespace {

using nlohmann::json;
using testing::commitOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::HubFolder;
using ::testing::IsEmpty;
using testing::repoNamed;
using testing::sha256Of;
using ::testing::SizeIs;

MemberInfo member(uint64_t number, const std::string& name, const std::string& zone) {
  MemberInfo info{NodeId::ofNumber(number)};
  info.epoch = 1;
  info.instance = number;
  info.name = name;
  info.zone = zone;
  return info;
}

// gpu-01 (this node, zone a), gpu-02 (zone a) and gpu-03 (zone b); no hub. This node holds
// org/tiny: config.json (2 bytes), data/a.bin and data/b.bin (7 each), with the list of all files.
class CommandsTest : public ::testing::Test {
 protected:
  CommandsTest() {
    hub_.file(repo_, commit_, "config.json", "{}", true);
    hub_.file(repo_, commit_, "data/a.bin", "weights", true);
    hub_.file(repo_, commit_, "data/b.bin", "weighty", true);
    hub_.ref(repo_, "main", commit_.hex());
    hub_.tree(repo_, commit_,
              {{"config.json", "{}", true},
               {"data/a.bin", "weights", true},
               {"data/b.bin", "weighty", true}});
    for (uint64_t number : {2, 3}) {
      core_.on(LinkUp{member(number, absl::StrCat("gpu-0", number), number == 2 ? "a" : "b"),
                      std::nullopt},
               now_);
    }
    folders_.onChanged = [this](const std::vector<AdvertChange>& changes) {
      core_.on(LocalChanged{changes}, now_);
    };
    folders_.start();
    core_.on(Tick{}, now_);
    pass(absl::Seconds(3));
  }
  ~CommandsTest() override {
    links_.stop();
    resolver_.stop();
  }

  // Longer than peers may take to say what they hold: it is known.
  void pass(absl::Duration time) {
    now_ += time;
    core_.on(Tick{}, now_);
  }
  absl::StatusOr<json> call(const std::string& method, const json& arguments = json::object()) {
    const auto text = folders_.run(commands_.call(method, arguments.dump()));
    if (!text.ok()) return text.status();
    return json::parse(*text);
  }
  // Of a command that must go well.
  json answer(const std::string& method, const json& arguments = json::object()) {
    const auto document = call(method, arguments);
    EXPECT_TRUE(document.ok()) << document.status();
    return document.ok() ? *document : json();
  }
  std::string refusal(const std::string& method, const json& arguments, absl::StatusCode code) {
    const absl::Status status = call(method, arguments).status();
    EXPECT_EQ(status.code(), code) << status;
    return std::string(status.message());
  }
  static std::vector<std::string> pathsOf(const std::vector<FileEntry>& files) {
    std::vector<std::string> paths;
    for (const FileEntry& file : files) paths.push_back(file.path.text());
    return paths;
  }
  std::set<std::string> targetsOf(const json& nodes) {
    json arguments = {{"repo", "org/tiny"}};
    if (!nodes.empty()) arguments["nodes"] = nodes;
    answer("warm", arguments);
    std::set<std::string> names;
    for (const NodeId& target : ordered_.back().targets) {
      names.insert(core_.node(target)->info.name);
    }
    return names;
  }

  absl::Time now_ = absl::FromUnixSeconds(1'000'000);
  HubFolder hub_;
  Loop loop_;
  FoldersAtWork folders_{loop_.io, {rootAt(hub_.root())}};
  std::mt19937_64 random_{1};
  Core core_{Core::Options{.self = member(1, "gpu-01", "a"), .logId = 1}, random_};
  PeerLinks links_{loop_.io, member(1, "gpu-01", "a"), nullptr, {}};
  Resolver resolver_{core_, links_, folders_->inventory(), nullptr, nullptr};
  std::vector<JobOrder> ordered_;
  RateLimit uploads_, downloads_;
  std::vector<uint64_t> cancelled_;
  Commands commands_{
      {.core = core_,
       .folders = *folders_,
       .resolver = resolver_,
       .origin = HubOrigin::huggingFace(),
       .now = [this] { return now_; },
       .order =
           [this](JobOrder order) {
             ordered_.push_back(order);
             uint64_t id = 0;
             for (const Effect& effect : core_.on(JobOrdered{AskId{1}, std::move(order)}, now_)) {
               if (const auto* accepted = std::get_if<JobAccepted>(&effect)) id = accepted->id;
             }
             return id;
           },
       .cancel =
           [this](uint64_t id) {
             cancelled_.push_back(id);
             core_.on(JobCancelled{id}, now_);
           },
       .problems =
           [] {
             return std::vector<Problem>{{"what", "why", "fix"}};
           },
       .limits = {.uploads = &uploads_,
                  .downloads = &downloads_,
                  .limitJob = [this](uint64_t id, uint64_t rate) {
                    core_.on(JobLimited{id, rate}, now_);
                  }}}};
  const RepoId repo_ = repoNamed("org/tiny");
  const Commit commit_ = commitOf('a');
};

// ---- What is asked

TEST_F(CommandsTest, AMethodOfAnotherVersionIsRefusedWithThisVersion) {
  const std::string said = refusal("dance", json::object(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(said, HasSubstr("\"dance\""));
  EXPECT_THAT(said, HasSubstr(ROOST_VERSION));
}

TEST_F(CommandsTest, ArgumentsThatAreNotAnObjectAreRefused) {
  for (const char* arguments : {"", "[]", "{"}) {
    EXPECT_EQ(folders_.run(commands_.call("ls", arguments)).status().code(),
              absl::StatusCode::kInvalidArgument);
  }
}

TEST_F(CommandsTest, MalformedArgumentsAreNamed) {
  const auto code = absl::StatusCode::kInvalidArgument;
  EXPECT_THAT(refusal("warm", json::object(), code), HasSubstr("\"repo\""));
  EXPECT_THAT(refusal("warm", {{"repo", "org/tiny"}, {"from", "moon"}}, code), HasSubstr("moon"));
  EXPECT_THAT(refusal("warm", {{"repo", "org/tiny"}, {"nodes", "all"}}, code), HasSubstr("nodes"));
  EXPECT_THAT(refusal("warm", {{"repo", "org/tiny"}, {"include", {1}}}, code),
              HasSubstr("include"));
  EXPECT_THAT(refusal("job", {{"id", "1"}}, code), HasSubstr("\"id\""));
  refusal("where", {{"digest", "123"}}, code);
  EXPECT_THAT(ordered_, IsEmpty());
}

// ---- What is shown

TEST_F(CommandsTest, LsShowsReposCommitsAndWhatWasNeverHashed) {
  const json repos = answer("ls").at("repos");

  ASSERT_THAT(repos, SizeIs(1));
  EXPECT_EQ(repos[0].at("repo"), "org/tiny");
  EXPECT_EQ(repos[0].at("commit"), commit_.hex());
  EXPECT_THAT(repos[0].at("refs"), ElementsAre("main"));
  EXPECT_EQ(repos[0].at("files"), 3);
  EXPECT_EQ(repos[0].at("bytes"), 16);
  EXPECT_EQ(repos[0].at("complete"), true);
  EXPECT_EQ(repos[0].at("unverified_bytes"), 16);
  EXPECT_EQ(repos[0].at("nodes"), 1);
  EXPECT_EQ(repos[0].at("root"), hub_.root().string());

  answer("verify");
  EXPECT_EQ(answer("ls").at("repos")[0].at("unverified_bytes"), 0);
}

TEST_F(CommandsTest, WhereNamesTheHoldersOfRepoAndBlob) {
  const json repo = answer("where", {{"repo", "org/tiny"}, {"revision", commit_.hex()}});
  ASSERT_THAT(repo.at("nodes"), SizeIs(1));
  EXPECT_EQ(repo.at("nodes")[0].at("name"), "gpu-01");
  EXPECT_THAT(answer("where", {{"digest", sha256Of("weights").toString()}}).at("nodes"), SizeIs(1));
  EXPECT_THAT(
      answer("where", {{"repo", "org/tiny"}, {"revision", std::string(40, 'b')}}).at("nodes"),
      IsEmpty());
}

TEST_F(CommandsTest, StatusCarriesTheProblems) {
  EXPECT_EQ(answer("status").at("problems")[0].at("what"), "what");
}

TEST_F(CommandsTest, VerifyTellsOfEachRepoAndOfOneThatIsNotHere) {
  HubFolder::write(hub_.at(repo_) / "blobs" / sha256Of("weighty").hex(), "WEIGHTY");

  const json repos = answer("verify", {{"repo", "org/tiny"}}).at("repos");

  ASSERT_THAT(repos, SizeIs(1));
  EXPECT_EQ(repos[0].at("files_ok"), 2);
  EXPECT_EQ(repos[0].at("bytes_ok"), 9);
  ASSERT_THAT(repos[0].at("wrong"), SizeIs(1));
  EXPECT_EQ(repos[0].at("wrong")[0].at("path"), "data/b.bin");
  EXPECT_EQ(repos[0].at("wrong")[0].at("found"), sha256Of("WEIGHTY").toString());
  EXPECT_THAT(refusal("verify", {{"repo", "org/other"}}, absl::StatusCode::kNotFound),
              HasSubstr("org/other"));
}

// ---- What is ordered

TEST_F(CommandsTest, WarmOrdersAllFilesForAllNodes) {
  const json job = answer("warm", {{"repo", "org/tiny"}});

  ASSERT_THAT(ordered_, SizeIs(1));
  const JobOrder& order = ordered_[0];
  EXPECT_THAT(pathsOf(order.listing.files), ElementsAre("config.json", "data/a.bin", "data/b.bin"));
  EXPECT_TRUE(order.listing.complete);
  EXPECT_THAT(order.refs, SizeIs(1));
  EXPECT_THAT(order.targets, SizeIs(3));
  EXPECT_EQ(job.at("repo"), "org/tiny");
  EXPECT_EQ(job.at("snapshot"), (*folders_).snapshotPath(repo_, commit_));
  EXPECT_EQ(answer("job", {{"id", job.at("id")}}).at("id"), job.at("id"));
  EXPECT_THAT(answer("jobs").at("jobs"), SizeIs(1));
}

TEST_F(CommandsTest, FilesThatAreNotAskedForStayInTheManifest) {
  answer("warm", {{"repo", "org/tiny"}, {"include", {"data/"}}, {"exclude", {"*b.bin"}}});
  EXPECT_THAT(pathsOf(ordered_[0].listing.files), ElementsAre("data/a.bin"));
  EXPECT_THAT(pathsOf(ordered_[0].manifestOnly), ElementsAre("config.json", "data/b.bin"));

  answer("warm", {{"repo", "org/tiny"}, {"files", {"config.json"}}});
  EXPECT_THAT(pathsOf(ordered_[1].listing.files), ElementsAre("config.json"));
}

TEST_F(CommandsTest, AFileThatIsNotThereIsNamedAndNothingIsOrdered) {
  EXPECT_THAT(refusal("warm", {{"repo", "org/tiny"}, {"files", {"model.bin"}}},
                      absl::StatusCode::kNotFound),
              HasSubstr("\"model.bin\""));
  refusal("warm", {{"repo", "org/tiny"}, {"include", {"*.gguf"}}}, absl::StatusCode::kNotFound);
  EXPECT_THAT(ordered_, IsEmpty());
}

TEST_F(CommandsTest, NodesAreNamedByNameZoneAndSelf) {
  EXPECT_EQ(targetsOf({}), (std::set<std::string>{"gpu-01", "gpu-02", "gpu-03"}));
  EXPECT_EQ(targetsOf({"self"}), (std::set<std::string>{"gpu-01"}));
  EXPECT_EQ(targetsOf({"gpu-[02-03]"}), (std::set<std::string>{"gpu-02", "gpu-03"}));
  EXPECT_EQ(targetsOf({"zone=a"}), (std::set<std::string>{"gpu-01", "gpu-02"}));
  EXPECT_EQ(targetsOf({"zone=b", "self"}), (std::set<std::string>{"gpu-01", "gpu-03"}));
  EXPECT_EQ(targetsOf({NodeId::ofNumber(3).hex()}), (std::set<std::string>{"gpu-03"}));
}

TEST_F(CommandsTest, ANodeThatIsNotThereIsNamedAndNothingIsOrdered) {
  EXPECT_THAT(refusal("warm", {{"repo", "org/tiny"}, {"nodes", {"gpu-01", "gpu-09"}}},
                      absl::StatusCode::kNotFound),
              HasSubstr("gpu-09"));
  refusal("warm", {{"repo", "org/tiny"}, {"nodes", {"zone=z"}}}, absl::StatusCode::kNotFound);
  EXPECT_THAT(ordered_, IsEmpty());
}

TEST_F(CommandsTest, ARepoOrRevisionThatNobodyHoldsIsTheResolversWord) {
  EXPECT_THAT(
      refusal("warm", {{"repo", "org/tiny"}, {"revision", "dev"}}, absl::StatusCode::kNotFound),
      HasSubstr("org/tiny@dev"));
  EXPECT_THAT(refusal("warm", {{"repo", "org/none"}}, absl::StatusCode::kNotFound),
              HasSubstr("org/none@main"));
}

TEST_F(CommandsTest, GetOrdersForThisNodeAlone) {
  const json job = answer("get", {{"repo", "org/tiny"}, {"nodes", {"gpu-03"}}});
  EXPECT_THAT(ordered_[0].targets, ElementsAre(NodeId::ofNumber(1)));
  EXPECT_TRUE(job.contains("snapshot"));
}

TEST_F(CommandsTest, AJobForOthersHasNoSnapshotHere) {
  EXPECT_FALSE(answer("warm", {{"repo", "org/tiny"}, {"nodes", {"gpu-03"}}}).contains("snapshot"));
}

// ---- Limits

TEST_F(CommandsTest, LimitsAreShownAndChangedAtOnce) {
  EXPECT_EQ(answer("limit").at("upload_bytes_per_second"), 0);
  const json now = answer("limit", {{"upload", 5'000'000}});
  EXPECT_EQ(now.at("schema"), "roost.limit.1");
  EXPECT_EQ(now.at("upload_bytes_per_second"), 5'000'000);
  EXPECT_EQ(now.at("download_bytes_per_second"), 0);
  EXPECT_EQ(uploads_.rate(), 5'000'000u);
  answer("limit", {{"download", 7'000'000}, {"upload", 0}});
  EXPECT_EQ(uploads_.rate(), 0u);
  EXPECT_EQ(downloads_.rate(), 7'000'000u);
}

TEST_F(CommandsTest, AJobHasTheLimitOfItsOrderAndItIsChanged) {
  const json job =
      answer("warm", {{"repo", "org/tiny"}, {"nodes", {"gpu-03"}}, {"limit", 20'000'000}});
  EXPECT_EQ(job.at("limit_bytes_per_second"), 20'000'000);
  EXPECT_EQ(ordered_[0].limit, 20'000'000u);
  const json shown = answer("limit", {{"job", job.at("id")}, {"job_rate", 200'000}});
  ASSERT_THAT(shown.at("jobs"), SizeIs(1));
  EXPECT_EQ(shown.at("jobs")[0].at("bytes_per_second"), 200'000);
  EXPECT_THAT(answer("limit", {{"job", job.at("id")}, {"job_rate", 0}}).at("jobs"), IsEmpty());
}

TEST_F(CommandsTest, WhatIsNoLimitIsRefusedAndNothingIsChanged) {
  const auto bad = absl::StatusCode::kInvalidArgument;
  EXPECT_THAT(refusal("limit", {{"download", 500'000}, {"upload", 12}}, bad),
              HasSubstr("The least is 100kB"));
  refusal("limit", {{"download", 500'000}, {"upload", -1}}, bad);
  refusal("limit", {{"download", 500'000}, {"job", 1}}, bad);
  refusal("limit", {{"download", 500'000}, {"job", 77}, {"job_rate", 0}},
          absl::StatusCode::kNotFound);
  refusal("warm", {{"repo", "org/tiny"}, {"limit", "fast"}}, bad);
  EXPECT_EQ(downloads_.rate(), 0u);
  EXPECT_THAT(ordered_, IsEmpty());
}

TEST_F(CommandsTest, AJobThatHasEndedHasNoLimit) {
  core_.on(LinkDown{NodeId::ofNumber(3)}, now_);
  const json job = answer("warm", {{"repo", "org/tiny"}, {"nodes", {"gpu-03"}}});
  answer("cancel", {{"id", job.at("id")}});
  ASSERT_NE(answer("job", {{"id", job.at("id")}}).at("state"), "running");
  EXPECT_THAT(refusal("limit", {{"job", job.at("id")}, {"job_rate", 200'000}},
                      absl::StatusCode::kInvalidArgument),
              HasSubstr("has ended"));
}

// ---- Why from there

TEST_F(CommandsTest, FilesWithTheSamePlanAreExplainedTogether) {
  const json where = answer("where", {{"repo", "org/tiny"}, {"explain", true}});
  ASSERT_THAT(where.at("plans"), SizeIs(1));
  const json& plan = where.at("plans")[0];
  EXPECT_EQ(plan.at("lane"), "none");
  EXPECT_EQ(plan.at("why")[0], "this node has it");
  EXPECT_THAT(plan.at("files"), SizeIs(3));
  EXPECT_EQ(plan.at("files")[0].at("path"), "config.json");
  EXPECT_EQ(plan.at("bytes"), 16);
  EXPECT_THAT(where.at("nodes"), SizeIs(1));
}

TEST_F(CommandsTest, ADigestIsExplainedToo) {
  const json where =
      answer("where", {{"digest", sha256Of("weights").toString()}, {"explain", true}});
  ASSERT_THAT(where.at("plans"), SizeIs(1));
  EXPECT_EQ(where.at("plans")[0].at("files")[0].at("bytes"), 7);
}

TEST_F(CommandsTest, WithoutTheWordNothingIsExplained) {
  EXPECT_FALSE(answer("where", {{"repo", "org/tiny"}}).contains("plans"));
}

TEST_F(CommandsTest, ADryRunSaysWhatIsMissingWhereAndOrdersNothing) {
  const json plan = answer("warm", {{"repo", "org/tiny"}, {"dry_run", true}});

  EXPECT_THAT(ordered_, IsEmpty());
  EXPECT_EQ(plan.at("files"), 3);
  EXPECT_EQ(plan.at("bytes"), 16);
  EXPECT_EQ(plan.at("completeness"), "complete");
  ASSERT_THAT(plan.at("nodes"), SizeIs(3));
  for (const json& node : plan.at("nodes")) {
    const bool self = node.at("name") == "gpu-01";
    EXPECT_EQ(node.at("missing_files"), self ? 0 : 3);
    EXPECT_EQ(node.at("from_cluster_bytes"), self ? 0 : 16);
    EXPECT_EQ(node.at("from_hub_bytes"), 0);
  }
}

TEST_F(CommandsTest, ADryRunCountsAStoreThatIsSharedOnce) {
  // gpu-01 and gpu-02 write to one folder.
  NodeSummary summary;
  summary.state = NodeState::kReady;
  summary.stores = (*folders_).stores();
  ASSERT_THAT(summary.stores, SizeIs(1));
  core_.on(SummaryChanged{summary}, now_);
  MemberInfo other = member(2, "gpu-02", "a");
  other.instance = 20;  // started again: it tells anew what it sees
  other.stores = summary.stores;
  core_.on(LinkDown{other.id}, now_);
  core_.on(LinkUp{other, std::nullopt}, now_);
  pass(absl::Seconds(3));

  const json plan = answer("warm", {{"repo", "org/tiny"}, {"dry_run", true}});

  ASSERT_THAT(plan.at("nodes"), SizeIs(3));
  for (const json& node : plan.at("nodes")) {
    EXPECT_EQ(node.at("missing_files"), node.at("name") == "gpu-03" ? 3 : 0) << node.at("name");
  }
}

TEST_F(CommandsTest, AJobIsCancelledOnlyIfThereIsOne) {
  refusal("cancel", {{"id", 77}}, absl::StatusCode::kNotFound);
  EXPECT_THAT(cancelled_, IsEmpty());

  const json job = answer("warm", {{"repo", "org/tiny"}, {"nodes", {"gpu-03"}}});
  EXPECT_EQ(answer("cancel", {{"id", job.at("id")}}).at("id"), job.at("id"));
  EXPECT_THAT(cancelled_, ElementsAre(job.at("id").get<uint64_t>()));
}

}  // namespace
}  // namespace roost
