#include <algorithm>
#include <map>
#include <set>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "node/cli/document.h"
#include "node/cli/render.h"

namespace roost {
namespace {

constexpr size_t kCommitShown = 12;  // hex digits, enough to copy and to tell apart

std::string shortCommit(const std::string& commit) {
  return commit.substr(0, kCommitShown);
}

// "12 of 14", or only the count where the total is not known or reached.
std::string countOf(uint64_t have, uint64_t total) {
  if (total <= have) return formatCount(have);
  return absl::StrCat(formatCount(have), " of ", formatCount(total));
}
std::string bytesOf(uint64_t have, uint64_t total) {
  if (total <= have) return formatBytes(have);
  return absl::StrCat(formatBytes(have), " of ", formatBytes(total));
}

// Whether a node has everything: only a manifest tells.
Cell completeness(const nlohmann::json& entry) {
  if (flagAt(entry, "complete")) return {"complete", Tone::kGood};
  const bool noManifest = entry.contains("manifest") && !flagAt(entry, "manifest");
  return noManifest ? Cell{"unknown", Tone::kDim} : Cell{"partial", Tone::kBold};
}

std::string repoHolders(const nlohmann::json& where, const TextStyle& style) {
  std::map<std::string, std::set<std::string>> refsOf;  // commit → names
  for (const auto& ref : listAt(where, "refs")) {
    refsOf[textAt(ref, "commit")].insert(textAt(ref, "name"));
  }
  std::vector<std::vector<Cell>> rows;
  for (const auto& node : listAt(where, "nodes")) {
    const std::string commit = textAt(node, "commit");
    const uint64_t unverified = numberAt(node, "unverified");
    rows.push_back(
        {{textAt(node, "name")},
         {shortCommit(commit)},
         {absl::StrJoin(refsOf[commit], ",")},
         completeness(node),
         {countOf(numberAt(node, "files"), numberAt(node, "files_total"))},
         {bytesOf(numberAt(node, "bytes"), numberAt(node, "bytes_total"))},
         {unverified == 0 ? ""
                          : absl::StrCat(counted(unverified, "file", "files"), " unverified")}});
  }
  return table({{"NODE", false, 8, 0},
                {"COMMIT", false, kCommitShown, 3},
                {"REFS", false, 4, 2},
                {"HAS", false, 8, 0},
                {"FILES", true, 5, 4},
                {"BYTES", true, 7, 1},
                {"", false, 0, 5}},
               rows, style);
}

std::string blobHolders(const nlohmann::json& where, const TextStyle& style) {
  std::vector<std::vector<Cell>> rows;
  for (const auto& node : listAt(where, "nodes")) {
    rows.push_back(
        {{textAt(node, "name")},
         flagAt(node, "complete") ? Cell{"complete", Tone::kGood} : Cell{"partial", Tone::kBold},
         {flagAt(node, "unverified") ? "unverified" : ""}});
  }
  return table({{"NODE", false, 8, 0}, {"HAS", false, 8, 0}, {"", false, 0, 1}}, rows, style);
}

std::string wheelHolders(const nlohmann::json& where, const TextStyle& style) {
  std::vector<std::vector<Cell>> rows;
  for (const auto& node : listAt(where, "nodes")) {
    rows.push_back({{textAt(node, "name")},
                    {formatCount(numberAt(node, "files"))},
                    {formatBytes(numberAt(node, "bytes"))},
                    {absl::StrJoin(textsAt(node, "wheels"), ",")}});
  }
  return table({{"NODE", false, 8, 0},
                {"FILES", true, 5, 2},
                {"BYTES", true, 7, 1},
                {"WHEELS", false, 20, 0}},
               rows, style);
}

// "already there", "from other nodes": what became of a wheel that was ordered.
Cell outcome(const nlohmann::json& wheel) {
  if (textAt(wheel, "state") == "failed") return {"failed", Tone::kBad};
  const std::string from = textAt(wheel, "from");
  if (from == "cache") return {"was there"};
  if (from == "here") return {"from this node", Tone::kGood};
  if (from == "peers") return {"from other nodes", Tone::kGood};
  if (from == "index") return {"from the index", Tone::kGood};
  return {""};
}

}  // namespace

std::string renderWheels(const nlohmann::json& document, const TextStyle& style) {
  std::vector<std::vector<Cell>> rows;
  for (const auto& wheel : listAt(document, "wheels")) {
    const std::string file = textAt(wheel, "file");
    rows.push_back({{textAt(wheel, "project")},
                    {textAt(wheel, "version")},
                    {file.empty() ? std::string(dash(style)) : file},
                    {formatBytes(numberAt(wheel, "bytes"))},
                    {absl::StrJoin(textsAt(wheel, "holders"), ",")},
                    outcome(wheel)});
  }
  return table({{"PROJECT", false, 8, 0},
                {"VERSION", false, 6, 0},
                {"FILE", false, 20, 1},
                {"BYTES", true, 7, 2},
                {"NODES", false, 8, 3},
                {"", false, 0, 0}},
               rows, style);
}

std::string renderWhere(const nlohmann::json& where, const TextStyle& style) {
  if (where.contains("project")) return wheelHolders(where, style);
  return where.contains("digest") ? blobHolders(where, style) : repoHolders(where, style);
}

std::string renderLs(const nlohmann::json& ls, const TextStyle& style) {
  std::vector<std::vector<Cell>> rows;
  for (const auto& repo : listAt(ls, "repos")) {
    const uint64_t unverified = numberAt(repo, "unverified_bytes");
    rows.push_back({{textAt(repo, "repo")},
                    {shortCommit(textAt(repo, "commit"))},
                    {absl::StrJoin(textsAt(repo, "refs"), ",")},
                    completeness(repo),
                    {formatCount(numberAt(repo, "files"))},
                    {formatBytes(numberAt(repo, "bytes"))},
                    {unverified == 0 ? std::string(dash(style)) : formatBytes(unverified)},
                    {formatCount(numberAt(repo, "nodes"))},
                    {textAt(repo, "root")}});
  }
  return table({{"REPO", false, 4, 0},
                {"COMMIT", false, kCommitShown, 3},
                {"REFS", false, 4, 4},
                {"HAS", false, 8, 2},
                {"FILES", true, 5, 5},
                {"BYTES", true, 7, 0},
                {"UNCHECKED", true, 7, 6},
                {"NODES", true, 5, 1},
                {"ROOT", false, 4, 7}},
               rows, style);
}

std::string renderRepresentations(const nlohmann::json& held, const TextStyle& style) {
  std::vector<std::vector<Cell>> rows;
  for (const auto& group : listAt(held, "representations")) {
    rows.push_back({{textAt(group, "kind")},
                    {textAt(group, "model")},
                    {textAt(group, "namespace")},
                    {formatCount(numberAt(group, "count"))},
                    {formatBytes(numberAt(group, "bytes"))}});
  }
  std::string text = table({{"KIND", false, 9, 0},
                            {"MODEL", false, 8, 0},
                            {"NAMESPACE", false, 9, 1},
                            {"COUNT", true, 5, 0},
                            {"BYTES", true, 7, 2}},
                           rows, style);
  absl::StrAppend(&text, formatBytes(numberAt(held, "own_bytes")), " of ",
                  formatBytes(numberAt(held, "quota_bytes")), " that the agent may keep\n");
  for (const auto& conflict : listAt(held, "conflicts")) {
    absl::StrAppend(&text, "CONFLICT ", textAt(conflict, "key"), ": ", textAt(conflict, "used"),
                    " is used, not ", absl::StrJoin(textsAt(conflict, "others"), ", "), "\n");
  }
  return text;
}

std::string renderVerify(const nlohmann::json& verify, const TextStyle& style) {
  std::string text;
  for (const auto& repo : listAt(verify, "repos")) {
    const auto& wrong = listAt(repo, "wrong");
    const std::vector<std::string> missing = textsAt(repo, "missing");
    const std::string name = textAt(repo, "repo");
    absl::StrAppend(
        &text, name, "  ", counted(numberAt(repo, "files_ok"), "file", "files"), ", ",
        formatBytes(numberAt(repo, "bytes_ok")), " ", toned("ok", Tone::kGood, style),
        wrong.empty() ? "" : toned(absl::StrCat("  ", wrong.size(), " wrong"), Tone::kBad, style),
        missing.empty() ? "" : absl::StrCat("  ", missing.size(), " missing"), "\n");
    for (const auto& file : wrong) {
      absl::StrAppend(&text, toned("  WRONG", Tone::kBad, style), " ", textAt(file, "path"),
                      "\n    expected ", textAt(file, "expected"), "\n    found    ",
                      textAt(file, "found"), "\n");
    }
    for (const std::string& path : missing) absl::StrAppend(&text, "  MISSING ", path, "\n");
  }
  return text;
}

std::string renderPlan(const nlohmann::json& plan, const TextStyle& style) {
  const auto& nodes = listAt(plan, "nodes");
  std::string line = absl::StrCat(
      textAt(plan, "repo"), "@", shortCommit(textAt(plan, "commit")), "  ",
      counted(numberAt(plan, "files"), "file", "files"), ", ", formatBytes(numberAt(plan, "bytes")),
      textAt(plan, "completeness") == "complete" ? "" : "  completeness unknown: no complete list");
  std::string text = fitted(line, style) + "\n";
  std::vector<std::vector<Cell>> rows;
  const std::string none(dash(style));
  const auto bytes = [&](const nlohmann::json& node, const char* key) {
    const uint64_t value = numberAt(node, key);
    return Cell{value == 0 ? none : formatBytes(value)};
  };
  for (const auto& node : nodes) {
    const uint64_t missing = numberAt(node, "missing_bytes");
    const uint64_t files = numberAt(node, "missing_files");
    const uint64_t free = numberAt(node, "free_bytes");
    const Cell verdict = files == 0       ? Cell{"has it all", Tone::kGood}
                         : missing > free ? Cell{"not enough space", Tone::kBad}
                                          : Cell{""};
    rows.push_back({{textAt(node, "name")},
                    {files == 0 ? none : formatCount(files)},
                    bytes(node, "missing_bytes"),
                    bytes(node, "from_cluster_bytes"),
                    bytes(node, "from_hub_bytes"),
                    {formatBytes(free)},
                    verdict});
  }
  absl::StrAppend(&text, table({{"NODE", false, 8, 0},
                                {"FILES", true, 5, 3},
                                {"MISSING", true, 7, 0},
                                {"CLUSTER", true, 7, 1},
                                {"HUB", true, 7, 1},
                                {"FREE", true, 7, 2},
                                {"", false, 0, 0}},
                               rows, style));
  return text;
}

}  // namespace roost
