#include <algorithm>
#include <array>
#include <limits>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "node/cli/document.h"
#include "node/cli/render.h"
#include "protocol/errors.h"

namespace roost {
namespace {

// In the order in which counts are shown.
constexpr std::array<const char*, 8> kStates = {"ready",    "warming", "checking",  "starting",
                                                "draining", "full",    "suspected", "gone"};

Tone toneOf(const std::string& state) {
  if (state == "ready") return Tone::kGood;
  if (state == "gone" || state == "full") return Tone::kBad;
  if (state == "suspected" || state == "draining") return Tone::kBold;
  return Tone::kBusy;
}

std::string contents(const nlohmann::json& cluster) {
  std::vector<std::string> parts;
  const auto add = [&](const char* key, absl::string_view one, absl::string_view many) {
    if (const uint64_t count = numberAt(cluster, key)) parts.push_back(counted(count, one, many));
  };
  add("models", "model", "models");
  add("datasets", "dataset", "datasets");
  add("spaces", "space", "spaces");
  add("dataset_caches", "processed dataset", "processed datasets");
  add("trees", "tree", "trees");
  return parts.empty() ? "nothing cached yet" : absl::StrJoin(parts, ", ");
}

std::string savings(const nlohmann::json& cluster) {
  const uint64_t total = numberAt(cluster, "saved_bytes");
  const uint64_t day = numberAt(cluster, "saved_bytes_24h");
  return absl::StrCat(
      "hub traffic saved: ", formatBytes(total),
      day > 0 && day != total ? absl::StrCat(" (", formatBytes(day), " in 24 h)") : "");
}

// The parts in one line, or in as many as the screen needs.
std::string headline(const nlohmann::json& status, const TextStyle& style) {
  const auto& cluster = objectAt(status, "cluster");
  const std::vector<std::string> parts = {
      counted(numberAt(cluster, "nodes"), "node", "nodes"), contents(cluster),
      absl::StrCat(formatBytes(numberAt(cluster, "unique_bytes")), " unique, ",
                   formatBytes(numberAt(cluster, "held_bytes")), " held"),
      savings(cluster)};
  const std::string separator = absl::StrCat(" ", dot(style), " ");
  std::string text, line;
  for (const std::string& part : parts) {
    const std::string longer = line.empty() ? part : absl::StrCat(line, separator, part);
    if (!line.empty() && style.columns > 0 &&
        displayWidth(longer) > static_cast<size_t>(style.columns)) {
      absl::StrAppend(&text, fitted(line, style), "\n");
      line = part;
    } else {
      line = longer;
    }
  }
  return absl::StrCat(text, fitted(line, style), "\n");
}

std::string seenText(const nlohmann::json& node, const TextStyle& style) {
  if (flagAt(node, "self")) return "now";
  const auto seconds = secondsAt(node, "seen");
  return seconds ? formatSpan(*seconds) : std::string(dash(style));
}

std::string nodeTable(const std::vector<const nlohmann::json*>& nodes, const TextStyle& style) {
  const std::vector<Column> columns = {
      {"NODE", false, 8, 0}, {"STATE", false, 8, 0}, {"BLOBS", true, 5, 6}, {"HELD", true, 7, 3},
      {"FREE", true, 7, 5},  {"IN", true, 8, 2},     {"OUT", true, 9, 1},   {"SEEN", false, 4, 4}};
  const std::string none(dash(style));
  std::vector<std::vector<Cell>> rows;
  for (const nlohmann::json* node : nodes) {
    const std::string state = textAt(*node, "state");
    const bool gone = state == "gone";
    const auto figure = [&](const std::string& text) { return Cell{gone ? none : text}; };
    const auto rate = [&](const char* key) {
      const uint64_t perSecond = numberAt(*node, key);
      return figure(perSecond == 0 ? none : formatRate(perSecond));
    };
    rows.push_back({{absl::StrCat(textAt(*node, "name"), flagAt(*node, "self") ? " *" : "")},
                    {state, toneOf(state)},
                    figure(formatCount(numberAt(*node, "blobs"))),
                    figure(formatBytes(numberAt(*node, "held_bytes"))),
                    figure(formatBytes(numberAt(*node, "free_bytes"))),
                    rate("in_bytes_per_second"),
                    rate("out_bytes_per_second"),
                    {seenText(*node, style)}});
  }
  return table(columns, rows, style);
}

std::string stateCounts(const nlohmann::json& nodes) {
  std::vector<std::string> parts;
  size_t known = 0;
  for (const char* state : kStates) {
    const auto count =
        static_cast<size_t>(std::count_if(nodes.begin(), nodes.end(), [&](const auto& node) {
          return textAt(node, "state") == state;
        }));
    known += count;
    if (count > 0) parts.push_back(absl::StrCat(formatCount(count), " ", state));
  }
  if (known < nodes.size()) parts.push_back(absl::StrCat(nodes.size() - known, " other"));
  return absl::StrJoin(parts, ", ");
}

// Nodes that are getting bytes, slowest first; then those that were heard of longest ago. Gone ones
// are no longer slow.
std::vector<const nlohmann::json*> slowest(const nlohmann::json& nodes) {
  std::vector<const nlohmann::json*> candidates;
  for (const auto& node : nodes) {
    if (textAt(node, "state") != "gone") candidates.push_back(&node);
  }
  const auto rank = [](const nlohmann::json* node) {
    const bool warming = textAt(*node, "state") == "warming";
    const double rate = warming ? static_cast<double>(numberAt(*node, "in_bytes_per_second"))
                                : std::numeric_limits<double>::infinity();
    return std::make_pair(rate, -secondsAt(*node, "seen").value_or(0));
  };
  std::stable_sort(candidates.begin(), candidates.end(),
                   [&](const auto* a, const auto* b) { return rank(a) < rank(b); });
  if (candidates.size() > kSlowestListed) candidates.resize(kSlowestListed);
  return candidates;
}

// "gpu-03 checking 312 GB of 2.1 TB, 14 min left"
std::string checkLines(const nlohmann::json& nodes, const TextStyle& style) {
  std::string text;
  for (const auto& node : nodes) {
    const uint64_t total = numberAt(node, "check_bytes_total");
    const uint64_t left = std::min(total, numberAt(node, "check_bytes_left"));
    if (left == 0 || textAt(node, "state") == "gone") continue;
    const uint64_t rate = numberAt(node, "check_bytes_per_second");
    std::string line = absl::StrCat(textAt(node, "name"), " checking ", formatBytes(total - left),
                                    " of ", formatBytes(total));
    if (rate > 0) {
      const double seconds = static_cast<double>(left) / static_cast<double>(rate);
      absl::StrAppend(&line, ", ", formatSpan(seconds), " left");
    }
    absl::StrAppend(&text, wrapped(line, 8, style));
  }
  return text;
}

// "TREE triton: 12 files, 3.4 MB, also on 2 other nodes. Scope gpu=sm_90/torch=2.6.0"
std::string treeLines(const nlohmann::json& status, const TextStyle& style) {
  std::string text;
  for (const auto& tree : listAt(status, "trees")) {
    const uint64_t others = numberAt(tree, "other_nodes");
    const std::string why = textAt(tree, "why");
    const std::string line = absl::StrCat(
        "TREE ", textAt(tree, "name"), ": ", counted(numberAt(tree, "files"), "file", "files"),
        ", ", formatBytes(numberAt(tree, "bytes")), ", ",
        others > 0 ? absl::StrCat("also on ", counted(others, "other node", "other nodes"))
                   : absl::StrCat("nothing from other nodes: ", why),
        ". Scope ", textAt(tree, "scope"));
    absl::StrAppend(&text, wrapped(line, 8, style));
  }
  return text;
}

std::string problemLines(const nlohmann::json& status, const TextStyle& style) {
  std::string text;
  for (const auto& problem : listAt(status, "problems")) {
    const std::string why = textAt(problem, "why");
    const std::string fix = textAt(problem, "fix");
    const std::string line = absl::StrCat(toned("PROBLEM", Tone::kBad, style), " ",
                                          sentence(textAt(problem, "what"), why, fix));
    absl::StrAppend(&text, wrapped(line, 8, style));
  }
  return text;
}

std::string runningJobs(const nlohmann::json& status, const TextStyle& style) {
  std::string text;
  for (const auto& job : listAt(status, "jobs")) {
    if (textAt(job, "state") == "running") {
      absl::StrAppend(&text, renderProgress(job, style), "\n");
    }
  }
  return text;
}

}  // namespace

std::string renderStatus(const nlohmann::json& status, const TextStyle& style, bool allNodes) {
  const auto& nodes = listAt(status, "nodes");
  std::string text = headline(status, style);
  std::vector<const nlohmann::json*> listed;
  if (nodes.size() > kNodesListedMax && !allNodes) {
    listed = slowest(nodes);
    absl::StrAppend(
        &text, fitted(stateCounts(nodes), style), "\n",
        fitted(absl::StrCat("The slowest ", listed.size(), " (--nodes for all):"), style), "\n");
  } else {
    for (const auto& node : nodes) listed.push_back(&node);
  }
  absl::StrAppend(&text, nodeTable(listed, style), runningJobs(status, style),
                  checkLines(nodes, style), treeLines(status, style), problemLines(status, style));
  return text;
}

}  // namespace roost
