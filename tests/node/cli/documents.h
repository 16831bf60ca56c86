// Documents as an agent sends them, for tests.
#ifndef ROOST_TESTS_NODE_CLI_DOCUMENTS_H_
#define ROOST_TESTS_NODE_CLI_DOCUMENTS_H_

#include <nlohmann/json.hpp>
#include <string>

namespace roost {

inline constexpr uint64_t kMB = 1'000'000;
inline constexpr uint64_t kGB = 1'000 * kMB;

inline nlohmann::json nodeDocument(const std::string& name, const std::string& state,
                                   uint64_t blobs, uint64_t held, uint64_t free, uint64_t in,
                                   uint64_t out, double seen) {
  return {{"name", name},
          {"id", std::string(32, '0')},
          {"self", false},
          {"state", state},
          {"blobs", blobs},
          {"held_bytes", held},
          {"free_bytes", free},
          {"in_bytes_per_second", in},
          {"out_bytes_per_second", out},
          {"seen", seen},
          {"check_bytes_left", 0},
          {"check_bytes_total", 0},
          {"hub_bytes", 0},
          {"problems", 0}};
}

inline nlohmann::json jobNode(const std::string& name, const std::string& state, uint64_t done,
                              uint64_t total) {
  return {{"name", name},       {"state", state},        {"files_done", 9},
          {"files_total", 14},  {"bytes_done", done},    {"bytes_total", total},
          {"bytes_present", 0}, {"bytes_per_second", 0}, {"sources", nlohmann::json::array()},
          {"message", ""}};
}

// Job 12: org/model-70b to gpu-03, 25.1 of 41.2 GB, from two nodes.
inline nlohmann::json runningJob() {
  nlohmann::json node = jobNode("gpu-03", "running", 25'100 * kMB, 41'200 * kMB);
  node["bytes_per_second"] = 1'100 * kMB;
  node["sources"] = {{{"name", "gpu-02"}, {"bytes", 8 * kGB}},
                     {{"name", "gpu-01"}, {"bytes", 17 * kGB}}};
  return {{"schema", "roost.job.1"},
          {"id", 12},
          {"title", "org/model-70b"},
          {"state", "running"},
          {"created", "2026-01-02T03:04:05.678Z"},
          {"exit_code", 0},
          {"message", ""},
          {"nodes", {node}}};
}

inline nlohmann::json endedJob(const std::string& state, int exitCode, const std::string& message) {
  nlohmann::json job = runningJob();
  job["state"] = state;
  job["exit_code"] = exitCode;
  job["message"] = message;
  auto& node = job["nodes"][0];
  node["state"] = state;
  node["bytes_per_second"] = 0;
  if (state == "done") {
    node["bytes_done"] = node["bytes_total"];
    node["files_done"] = node["files_total"];
  }
  return job;
}

// The picture of the design: four nodes, one is being warmed, one is gone.
inline nlohmann::json statusDocument() {
  nlohmann::json self =
      nodeDocument("gpu-01", "ready", 1204, 41'200 * kMB, 1'100 * kGB, 0, 812 * kMB, 0);
  self["self"] = true;
  return {
      {"schema", "roost.status.1"},
      {"time", "2026-01-02T03:04:05Z"},
      {"self", "gpu-01"},
      {"cluster",
       {{"nodes", 4},
        {"models", 3},
        {"datasets", 1},
        {"spaces", 0},
        {"unique_bytes", 41'200 * kMB},
        {"held_bytes", 139 * kGB},
        {"saved_bytes", 98'400 * kMB},
        {"saved_bytes_24h", 98'400 * kMB}}},
      {"nodes",
       {self, nodeDocument("gpu-02", "ready", 1204, 41'200 * kMB, 1'100 * kGB, 0, 310 * kMB, 0.4),
        nodeDocument("gpu-03", "warming", 611, 18'900 * kMB, 1'400 * kGB, 1'100 * kMB, 220 * kMB,
                     0.2),
        nodeDocument("gpu-04", "gone", 7, 7, 7, 0, 0, 180)}},
      {"jobs", {runningJob()}},
      {"problems", nlohmann::json::array()}};
}

}  // namespace roost

#endif  // ROOST_TESTS_NODE_CLI_DOCUMENTS_H_
