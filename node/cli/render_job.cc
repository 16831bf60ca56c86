#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "node/cli/document.h"
#include "node/cli/render.h"

namespace roost {
namespace {

constexpr size_t kNamesShown = 4;  // nodes or sources named in one line
constexpr int kBarColumns = 16;
constexpr int kBarColumnsNarrow = 8;

struct Progress {
  uint64_t bytesDone = 0, bytesTotal = 0, bytesPresent = 0;
  uint64_t filesDone = 0, filesTotal = 0;
  uint64_t rate = 0;                                      // bytes per second, all nodes
  std::optional<double> secondsLeft;                      // of the slowest node that moves
  std::vector<std::pair<std::string, uint64_t>> sources;  // most bytes first
};

void addSources(const nlohmann::json& node, std::map<std::string, uint64_t>& sources) {
  for (const auto& source : listAt(node, "sources")) {
    sources[textAt(source, "name")] += numberAt(source, "bytes");
  }
}

std::vector<std::pair<std::string, uint64_t>> mostFirst(
    const std::map<std::string, uint64_t>& sources) {
  std::vector<std::pair<std::string, uint64_t>> sorted(sources.begin(), sources.end());
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const auto& a, const auto& b) { return a.second > b.second; });
  return sorted;
}

Progress progressOf(const nlohmann::json& job) {
  Progress sum;
  std::map<std::string, uint64_t> sources;
  for (const auto& node : listAt(job, "nodes")) {
    const uint64_t total = numberAt(node, "bytes_total");
    const uint64_t done = std::min(total, numberAt(node, "bytes_done"));
    const uint64_t rate = numberAt(node, "bytes_per_second");
    sum.bytesTotal += total;
    sum.bytesDone += done;
    sum.bytesPresent += numberAt(node, "bytes_present");
    sum.filesTotal += numberAt(node, "files_total");
    sum.filesDone += numberAt(node, "files_done");
    sum.rate += rate;
    if (rate > 0 && done < total) {
      const double left = static_cast<double>(total - done) / static_cast<double>(rate);
      sum.secondsLeft = std::max(left, sum.secondsLeft.value_or(0));
    }
    addSources(node, sources);
  }
  sum.sources = mostFirst(sources);
  return sum;
}

double partDone(const Progress& progress) {
  if (progress.bytesTotal > 0) {
    return static_cast<double>(progress.bytesDone) / static_cast<double>(progress.bytesTotal);
  }
  if (progress.filesTotal == 0) return 0;
  return static_cast<double>(progress.filesDone) / static_cast<double>(progress.filesTotal);
}

// "61 %"; 100 only when everything is there.
std::string percentText(double part) {
  const long percent = std::lround(part * 100);
  return absl::StrCat(part < 1 ? std::min(percent, 99L) : 100, " %");
}

// The first few, then how many more.
std::string named(const std::vector<std::string>& names) {
  const size_t shown = std::min(names.size(), kNamesShown);
  std::string text = absl::StrJoin(names.begin(), names.begin() + static_cast<long>(shown), " ");
  if (shown < names.size()) absl::StrAppend(&text, " +", names.size() - shown);
  return text;
}

std::string targets(const nlohmann::json& job) {
  std::vector<std::string> names;
  for (const auto& node : listAt(job, "nodes")) names.push_back(textAt(node, "name"));
  return named(names);
}

std::string sourceNames(const Progress& progress) {
  std::vector<std::string> names;
  for (const auto& [name, bytes] : progress.sources) names.push_back(name);
  return names.empty() ? "" : absl::StrCat("from ", named(names));
}

std::string heading(const nlohmann::json& job) {
  return absl::StrCat("WARM #", numberAt(job, "id"), " ", textAt(job, "title"));
}

Tone toneOf(const std::string& state) {
  if (state == "done") return Tone::kGood;
  if (state == "failed") return Tone::kBad;
  if (state == "partial" || state == "cancelled") return Tone::kBold;
  return Tone::kBusy;
}

// "41.2 GB" or "18.9 GB of 41.2 GB".
std::string bytesText(uint64_t done, uint64_t total) {
  if (done >= total) return formatBytes(total);
  return absl::StrCat(formatBytes(done), " of ", formatBytes(total));
}

std::string filesText(const nlohmann::json& node) {
  const uint64_t done = numberAt(node, "files_done");
  const uint64_t total = numberAt(node, "files_total");
  if (done >= total) return formatCount(total);
  return absl::StrCat(formatCount(done), " of ", formatCount(total));
}

// "gpu-01 30.1 GB, hub 1.2 GB, 2 kB there" of one node.
std::string originText(const nlohmann::json& node, const TextStyle& style) {
  std::map<std::string, uint64_t> sources;
  addSources(node, sources);
  std::vector<std::string> parts;
  for (const auto& [name, bytes] : mostFirst(sources)) {
    if (parts.size() == kNamesShown) {
      parts.push_back(absl::StrCat("+", sources.size() - kNamesShown));
      break;
    }
    parts.push_back(absl::StrCat(name, " ", formatBytes(bytes)));
  }
  if (const uint64_t present = numberAt(node, "bytes_present")) {
    parts.push_back(absl::StrCat(formatBytes(present), " already there"));
  }
  return parts.empty() ? std::string(dash(style)) : absl::StrJoin(parts, ", ");
}

// "2026-01-02T03:04:05.678Z" without the fraction.
std::string toTheSecond(const std::string& time) {
  const size_t point = time.find('.');
  return point == std::string::npos ? time : time.substr(0, point) + "Z";
}

}  // namespace

std::string renderProgress(const nlohmann::json& job, const TextStyle& style) {
  const Progress progress = progressOf(job);
  const double part = partDone(progress);
  const std::string head = heading(job);
  const std::string to = absl::StrCat(" ", arrow(style), " ", targets(job));
  const std::string rate = progress.rate > 0 ? "  " + formatRate(progress.rate) : "";
  const std::string from = progress.sources.empty() ? "" : "  " + sourceNames(progress);
  const std::string left =
      progress.secondsLeft ? absl::StrCat("  ", formatClock(*progress.secondsLeft), " left") : "";
  const std::string percent = absl::StrCat(" ", percentText(part));
  const auto wide = [&](int columns) { return "  " + bar(part, columns, style) + percent; };
  // What can be left out on a narrow screen, least wanted first.
  const std::vector<std::string> lines = {
      absl::StrCat(head, to, wide(kBarColumns), rate, from, left),
      absl::StrCat(head, to, wide(kBarColumns), rate, left),
      absl::StrCat(head, to, wide(kBarColumnsNarrow), rate, left),
      absl::StrCat(head, wide(kBarColumnsNarrow), rate, left),
      absl::StrCat(head, wide(kBarColumnsNarrow), left),
      absl::StrCat(head, " ", percent),
  };
  for (const std::string& line : lines) {
    if (style.columns == 0 || displayWidth(line) <= static_cast<size_t>(style.columns)) return line;
  }
  return fitted(lines.back(), style);
}

std::string renderJob(const nlohmann::json& job, const TextStyle& style) {
  const std::string state = textAt(job, "state");
  const std::string message = textAt(job, "message");
  std::string text;
  if (state == "running") {
    text = renderProgress(job, style) + "\n";
  } else {
    const Progress progress = progressOf(job);
    const std::string line = absl::StrCat(heading(job), " ", arrow(style), " ", targets(job), "  ",
                                          toned(state, toneOf(state), style), "  ",
                                          bytesText(progress.bytesDone, progress.bytesTotal));
    text = fitted(line, style) + "\n";
  }
  std::vector<std::vector<Cell>> rows;
  for (const auto& node : listAt(job, "nodes")) {
    const std::string nodeState = textAt(node, "state");
    rows.push_back({{textAt(node, "name")},
                    {nodeState, toneOf(nodeState)},
                    {filesText(node)},
                    {bytesText(numberAt(node, "bytes_done"), numberAt(node, "bytes_total"))},
                    {originText(node, style)}});
  }
  absl::StrAppend(&text, table({{"NODE", false, 8, 0},
                                {"STATE", false, 8, 0},
                                {"FILES", true, 5, 1},
                                {"BYTES", true, 7, 2},
                                {"FROM", false, 4, 3}},
                               rows, style));
  for (const auto& node : listAt(job, "nodes")) {
    const std::string why = textAt(node, "message");
    if (!why.empty()) {
      absl::StrAppend(&text, wrapped(absl::StrCat(textAt(node, "name"), ": ", why), 2, style));
    }
  }
  if (!message.empty()) absl::StrAppend(&text, wrapped(message, 2, style));
  return text;
}

std::string renderJobs(const nlohmann::json& jobs, const TextStyle& style) {
  std::vector<std::vector<Cell>> rows;
  for (const auto& job : listAt(jobs, "jobs")) {
    const Progress progress = progressOf(job);
    const std::string state = textAt(job, "state");
    rows.push_back({{absl::StrCat(numberAt(job, "id"))},
                    {state, toneOf(state)},
                    {percentText(partDone(progress))},
                    {formatBytes(progress.bytesTotal)},
                    {toTheSecond(textAt(job, "created"))},
                    {textAt(job, "title")},
                    {targets(job)}});
  }
  return table({{"ID", true, 3, 0},
                {"STATE", false, 7, 0},
                {"DONE", true, 5, 0},
                {"BYTES", true, 7, 1},
                {"CREATED", false, 20, 3},
                {"REPO", false, 4, 0},
                {"NODES", false, 5, 2}},
               rows, style);
}

}  // namespace roost
