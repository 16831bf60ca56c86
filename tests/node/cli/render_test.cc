// Documents as people read them.
#include "node/cli/render.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "tests/node/cli/documents.h"

namespace roost {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

const TextStyle kWide;

TextStyle narrow(int columns) {
  TextStyle style;
  style.columns = columns;
  return style;
}

void expectNoLineWiderThan(const std::string& text, size_t columns) {
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    EXPECT_LE(displayWidth(line), columns) << line;
  }
}

TEST(RenderStatus, IsThePictureOfTheDesign) {
  EXPECT_EQ(
      renderStatus(statusDocument(), kWide, false),
      "4 nodes · 3 models, 1 dataset · 41.2 GB unique, 139 GB held · hub traffic saved: 98.4 GB\n"
      "NODE      STATE     BLOBS     HELD     FREE        IN        OUT  SEEN\n"
      "gpu-01 *  ready     1,204  41.2 GB   1.1 TB         –   812 MB/s  now\n"
      "gpu-02    ready     1,204  41.2 GB   1.1 TB         –   310 MB/s  0.4 s\n"
      "gpu-03    warming     611  18.9 GB   1.4 TB  1.1 GB/s   220 MB/s  0.2 s\n"
      "gpu-04    gone          –        –        –         –          –  3 min\n"
      "WARM #12 org/model-70b → gpu-03  ━━━━━━━━━━╺━━━━━ 61 %  1.1 GB/s  from gpu-01 gpu-02  "
      "0:15 left\n");
}

TEST(RenderStatus, SpeaksAsciiWhereTheLocaleDoes) {
  TextStyle ascii;
  ascii.unicode = false;
  const std::string text = renderStatus(statusDocument(), ascii, false);
  for (char c : text) ASSERT_GE(c, 0) << text;
  EXPECT_THAT(text, HasSubstr("org/model-70b -> gpu-03  ==========>----- 61 %"));
}

TEST(RenderStatus, ShowsTheLastDaysSavingsWhereTheyDiffer) {
  nlohmann::json status = statusDocument();
  status["cluster"]["saved_bytes_24h"] = 12'100 * kMB;
  EXPECT_THAT(renderStatus(status, kWide, false),
              HasSubstr("hub traffic saved: 98.4 GB (12.1 GB in 24 h)\n"));
}

TEST(RenderStatus, SaysHowFarCheckingIs) {
  nlohmann::json status = statusDocument();
  auto& node = status["nodes"][1];
  node["state"] = "checking";
  node["check_bytes_total"] = 2'100 * kGB;
  node["check_bytes_left"] = 1'788 * kGB;
  EXPECT_THAT(renderStatus(status, kWide, false),
              HasSubstr("\ngpu-02 checking 312 GB of 2.1 TB\n"));
  node["check_bytes_per_second"] = 2'128 * kMB;
  EXPECT_THAT(renderStatus(status, kWide, false),
              HasSubstr("\ngpu-02 checking 312 GB of 2.1 TB, 14 min left\n"));
}

TEST(RenderStatus, TellsProblemsAsSentences) {
  nlohmann::json status = statusDocument();
  status["problems"] = {{{"what", "cannot write /d"}, {"why", "denied"}, {"fix", "chmod it"}}};
  EXPECT_THAT(renderStatus(status, kWide, false),
              HasSubstr("PROBLEM cannot write /d: denied. chmod it\n"));
}

TEST(RenderStatus, ManyNodesAreCountedAndTheSlowestFiveListed) {
  nlohmann::json status = statusDocument();
  status["nodes"] = nlohmann::json::array();
  for (int i = 1; i <= 22; ++i) {
    const bool warming = i > 16;
    status["nodes"].push_back(nodeDocument(absl::StrCat("n", i), warming ? "warming" : "ready", 1,
                                           1, 1, warming ? static_cast<uint64_t>(100 - i) * kMB : 0,
                                           0, 0.1));
  }
  const std::string text = renderStatus(status, kWide, false);
  EXPECT_THAT(text, HasSubstr("\n16 ready, 6 warming\nThe slowest 5 (--nodes for all):\n"));
  EXPECT_THAT(text, AllOf(HasSubstr("\nn22 "), HasSubstr("\nn18 "), Not(HasSubstr("\nn17 ")),
                          Not(HasSubstr("\nn1 "))));
  EXPECT_LT(text.find("\nn22 "), text.find("\nn18 "));
  EXPECT_THAT(renderStatus(status, kWide, true), AllOf(HasSubstr("\nn1 "), HasSubstr("\nn17 ")));
}

TEST(RenderStatus, TwentyNodesAreListed) {
  nlohmann::json status = statusDocument();
  while (status["nodes"].size() < 20) status["nodes"].push_back(status["nodes"][1]);
  EXPECT_THAT(renderStatus(status, kWide, false), Not(HasSubstr("slowest")));
}

TEST(RenderStatus, FitsEveryTerminal) {
  nlohmann::json status = statusDocument();
  status["problems"] = {{{"what", "cannot write /d"}, {"why", "denied"}, {"fix", "chmod it"}}};
  for (int columns : {100, 80, 60, 40, 24}) {
    expectNoLineWiderThan(renderStatus(status, narrow(columns), false),
                          static_cast<size_t>(columns));
  }
}

TEST(RenderStatus, ColorsDoNotMoveColumns) {
  TextStyle style = narrow(80);
  style.color = true;
  const std::string text = renderStatus(statusDocument(), style, false);
  EXPECT_THAT(text, HasSubstr("\x1b[32mready   \x1b[0m"));
  expectNoLineWiderThan(text, 80);
}

TEST(RenderStatus, ADocumentOfAnotherVersionIsNoCrash) {
  EXPECT_THAT(renderStatus(nlohmann::json::object(), kWide, false), HasSubstr("0 nodes"));
  EXPECT_THAT(renderStatus({{"nodes", {1, nullptr, "x"}}, {"jobs", {3}}}, kWide, false),
              HasSubstr("NODE"));
}

TEST(RenderStatus, ANameCannotTalkToTheTerminal) {
  nlohmann::json status = statusDocument();
  status["nodes"][1]["name"] = "\x1b]0;owned\x07";
  EXPECT_THAT(renderStatus(status, kWide, false), Not(HasSubstr("\x1b")));
}

TEST(RenderProgress, LeavesOutTheLeastOnNarrowScreens) {
  const nlohmann::json job = runningJob();
  EXPECT_EQ(renderProgress(job, narrow(80)),
            "WARM #12 org/model-70b → gpu-03  ━━━━━━━━━━╺━━━━━ 61 %  1.1 GB/s  0:15 left");
  EXPECT_EQ(renderProgress(job, narrow(60)),
            "WARM #12 org/model-70b  ━━━━━╺━━ 61 %  1.1 GB/s  0:15 left");
  EXPECT_EQ(renderProgress(job, narrow(30)), "WARM #12 org/model-70b  61 %");
}

TEST(RenderProgress, SumsNodesAndWaitsForTheSlowest) {
  nlohmann::json job = runningJob();
  job["nodes"].push_back(jobNode("gpu-04", "running", 0, 41'200 * kMB));
  job["nodes"][1]["bytes_per_second"] = 412 * kMB;
  job["nodes"][1]["sources"] = {{{"name", "hub"}, {"bytes", 1}}};
  EXPECT_EQ(renderProgress(job, kWide),
            "WARM #12 org/model-70b → gpu-03 gpu-04  ━━━━━╺━━━━━━━━━━ 30 %  1.5 GB/s  "
            "from gpu-01 gpu-02 hub  1:40 left");
}

TEST(RenderProgress, NamesTheFirstOfManyNodes) {
  nlohmann::json job = runningJob();
  for (int i = 4; i < 10; ++i) {
    job["nodes"].push_back(jobNode(absl::StrCat("gpu-0", i), "running", 0, 1));
  }
  EXPECT_THAT(renderProgress(job, kWide), HasSubstr("→ gpu-03 gpu-04 gpu-05 gpu-06 +3  "));
}

TEST(RenderProgress, AJobThatHasNothingYetIsAtZero) {
  nlohmann::json job = runningJob();
  job["nodes"] = {jobNode("gpu-03", "running", 0, 0)};
  job["nodes"][0]["files_done"] = 0;
  EXPECT_EQ(renderProgress(job, kWide), "WARM #12 org/model-70b → gpu-03  ╺━━━━━━━━━━━━━━━ 0 %");
}

TEST(RenderProgress, IsFullOnlyWhenEverythingIsThere) {
  nlohmann::json job = runningJob();
  job["nodes"] = {jobNode("gpu-03", "running", 99'999, 100'000)};
  EXPECT_THAT(renderProgress(job, kWide), HasSubstr("━━━━━━━━━━━━━━━╺ 99 %"));
}

TEST(RenderJob, HasALineForEachNodeAndTheReasons) {
  nlohmann::json job = endedJob("partial", 10, "1 of 2 nodes have it");
  job["nodes"][0] = jobNode("gpu-03", "done", kGB, kGB);
  job["nodes"][0]["files_done"] = 14;
  job["nodes"][0]["bytes_present"] = 500 * kMB;
  job["nodes"][0]["sources"] = {{{"name", "gpu-01"}, {"bytes", 500 * kMB}}};
  job["nodes"].push_back(jobNode("gpu-04", "failed", 0, kGB));
  job["nodes"][1]["message"] = "no space: 1.0 GB needed, 3 MB free";
  EXPECT_EQ(renderJob(job, kWide),
            "WARM #12 org/model-70b → gpu-03 gpu-04  partial  1.0 GB of 2.0 GB\n"
            "NODE      STATE       FILES          BYTES  FROM\n"
            "gpu-03    done           14         1.0 GB  gpu-01 500 MB, 500 MB already there\n"
            "gpu-04    failed    9 of 14  0 B of 1.0 GB  –\n"
            "gpu-04: no space: 1.0 GB needed, 3 MB free\n"
            "1 of 2 nodes have it\n");
}

TEST(RenderJobs, HasALineForEachJob) {
  EXPECT_EQ(renderJobs({{"jobs", {runningJob()}}}, kWide),
            " ID  STATE     DONE    BYTES  CREATED               REPO           NODES\n"
            " 12  running   61 %  41.2 GB  2026-01-02T03:04:05Z  org/model-70b  gpu-03\n");
}

TEST(RenderWhere, TellsCompletePartialAndUnknown) {
  const std::string commit = "0123456789abcdef0123456789abcdef01234567";
  const auto node = [&](const char* name, bool complete, bool manifest, int files, int unverified) {
    return nlohmann::json{{"name", name},
                          {"commit", commit},
                          {"complete", complete},
                          {"manifest", manifest},
                          {"files", files},
                          {"bytes", files * 100},
                          {"files_total", manifest ? 9 : 0},
                          {"bytes_total", manifest ? 900 : 0},
                          {"unverified", unverified}};
  };
  const nlohmann::json where = {
      {"repo", "org/m"},
      {"nodes",
       {node("gpu-01", true, true, 9, 0), node("gpu-02", false, true, 4, 1),
        node("gpu-03", false, false, 9, 0)}},
      {"refs",
       {{{"name", "main"}, {"commit", commit}, {"node", "gpu-01"}},
        {{"name", "main"}, {"commit", commit}, {"node", "gpu-02"}},
        {{"name", "v1"}, {"commit", commit}, {"node", "gpu-01"}}}}};
  EXPECT_EQ(renderWhere(where, kWide),
            "NODE      COMMIT        REFS     HAS        FILES           BYTES\n"
            "gpu-01    0123456789ab  main,v1  complete       9           900 B\n"
            "gpu-02    0123456789ab  main,v1  partial   4 of 9  400 B of 900 B  1 file unverified\n"
            "gpu-03    0123456789ab  main,v1  unknown        9           900 B\n");
}

TEST(RenderWhere, ListsTheHoldersOfABlob) {
  const nlohmann::json where = {
      {"digest", "sha256:00"},
      {"nodes",
       {{{"name", "gpu-01"}, {"complete", true}, {"unverified", false}},
        {{"name", "gpu-02"}, {"complete", true}, {"unverified", true}},
        {{"name", "gpu-03"}, {"complete", false}, {"unverified", false}}}}};
  EXPECT_EQ(renderWhere(where, kWide),
            "NODE      HAS\n"
            "gpu-01    complete\n"
            "gpu-02    complete  unverified\n"
            "gpu-03    partial\n");
}

TEST(RenderLs, HasALineForEachRevision) {
  const nlohmann::json ls = {{"repos",
                              {{{"type", "dataset"},
                                {"repo", "datasets/org/d"},
                                {"commit", std::string(40, 'a')},
                                {"refs", {"main", "v2"}},
                                {"files", 1204},
                                {"bytes", 41'200 * kMB},
                                {"complete", true},
                                {"unverified_bytes", kGB},
                                {"nodes", 3},
                                {"root", "/h"}}}}};
  EXPECT_EQ(renderLs(ls, kWide),
            "REPO            COMMIT        REFS     HAS       FILES    BYTES  UNCHECKED  NODES  "
            "ROOT\n"
            "datasets/org/d  aaaaaaaaaaaa  main,v2  complete  1,204  41.2 GB     1.0 GB      3  "
            "/h\n");
}

nlohmann::json wheel(const std::string& file, const nlohmann::json& more) {
  nlohmann::json document = {{"project", "leaf"},
                             {"version", "1.0"},
                             {"file", file},
                             {"bytes", 2 * kMB},
                             {"holders", {"gpu-01", "gpu-02"}}};
  document.update(more);
  return document;
}

TEST(RenderWheels, HasALineForEachWheel) {
  const nlohmann::json ls = {{"wheels",
                              {wheel("leaf-1.0-py3-none-any.whl", nlohmann::json::object()),
                               wheel("", nlohmann::json::object())}}};
  EXPECT_EQ(renderWheels(ls, kWide),
            "PROJECT   VERSION  FILE                         BYTES  NODES\n"
            "leaf      1.0      leaf-1.0-py3-none-any.whl   2.0 MB  gpu-01,gpu-02\n"
            "leaf      1.0      –                           2.0 MB  gpu-01,gpu-02\n");
}

TEST(RenderWheels, SaysWhatBecameOfAnOrder) {
  const nlohmann::json order = {{"wheels",
                                 {wheel("a.whl", {{"state", "done"}, {"from", "peers"}}),
                                  wheel("b.whl", {{"state", "done"}, {"from", "cache"}}),
                                  wheel("c.whl", {{"state", "failed"}, {"message", "why"}})}}};
  const std::string text = renderWheels(order, kWide);
  EXPECT_THAT(text, HasSubstr("from other nodes\n"));
  EXPECT_THAT(text, HasSubstr("was there\n"));
  EXPECT_THAT(text, HasSubstr("failed\n"));
}

TEST(RenderVerify, NamesEachWrongAndMissingFile) {
  const nlohmann::json verify = {
      {"repos",
       {{{"repo", "org/m"},
         {"files_ok", 1},
         {"bytes_ok", 1000},
         {"wrong", {{{"path", "w.bin"}, {"expected", "sha256:aa"}, {"found", "sha256:bb"}}}},
         {"missing", {"x.json"}}}}}};
  EXPECT_EQ(renderVerify(verify, kWide),
            "org/m  1 file, 1.0 kB ok  1 wrong  1 missing\n"
            "  WRONG w.bin\n"
            "    expected sha256:aa\n"
            "    found    sha256:bb\n"
            "  MISSING x.json\n");
}

TEST(RenderPlan, SaysWhoNeedsWhatAndWhoHasNoRoom) {
  const auto node = [](const char* name, int files, uint64_t missing, uint64_t free) {
    return nlohmann::json{
        {"name", name},       {"missing_files", files},        {"missing_bytes", missing},
        {"free_bytes", free}, {"from_cluster_bytes", missing}, {"from_hub_bytes", 0}};
  };
  nlohmann::json plan = {{"repo", "org/m"},
                         {"commit", std::string(40, 'a')},
                         {"completeness", "complete"},
                         {"files", 2},
                         {"bytes", 2 * kGB},
                         {"nodes",
                          {node("gpu-01", 0, 0, kGB), node("gpu-02", 2, 2 * kGB, 5 * kGB),
                           node("gpu-03", 2, 2 * kGB, kGB)}}};
  EXPECT_EQ(renderPlan(plan, kWide),
            "org/m@aaaaaaaaaaaa  2 files, 2.0 GB\n"
            "NODE      FILES  MISSING  CLUSTER      HUB     FREE\n"
            "gpu-01        –        –        –        –   1.0 GB  has it all\n"
            "gpu-02        2   2.0 GB   2.0 GB        –   5.0 GB\n"
            "gpu-03        2   2.0 GB   2.0 GB        –   1.0 GB  not enough space\n");
  plan["completeness"] = "unknown";
  EXPECT_THAT(renderPlan(plan, kWide), HasSubstr("completeness unknown"));
}

}  // namespace
}  // namespace roost
