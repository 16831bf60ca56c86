// What the planner says, and the limits, for people.
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "node/cli/document.h"
#include "node/cli/render.h"

namespace roost {
namespace {

constexpr size_t kSourcesShown = 8;
constexpr int kIndent = 4;

// "config.json", or "14 files"; of a digest nothing.
std::string subjectOf(const nlohmann::json& plan) {
  const auto& files = listAt(plan, "files");
  if (files.size() > 1) return absl::StrCat(formatCount(files.size()), " files, ");
  const std::string path = files.empty() ? "" : textAt(files.front(), "path");
  return path.empty() ? "" : absl::StrCat(path, ", ");
}

std::string sourceLines(absl::string_view word, const nlohmann::json& sources,
                        const TextStyle& style) {
  std::string text;
  size_t shown = 0;
  for (const auto& source : sources) {
    if (shown == kSourcesShown && sources.size() > kSourcesShown + 1) {
      absl::StrAppend(&text, "  ", word, " ", formatCount(sources.size() - shown), " more\n");
      break;
    }
    ++shown;
    absl::StrAppend(&text, wrapped(absl::StrCat("  ", word, " ", textAt(source, "name"), ": ",
                                                textAt(source, "why")),
                                   kIndent, style));
  }
  return text;
}

std::string rateText(uint64_t rate) {
  return rate == 0 ? "none" : formatRate(rate);
}

}  // namespace

std::string renderPlans(const nlohmann::json& where, const TextStyle& style) {
  std::string text;
  for (const auto& plan : listAt(where, "plans")) {
    absl::StrAppend(&text, subjectOf(plan), formatBytes(numberAt(plan, "bytes")), ": ",
                    toned(textAt(plan, "lane"), Tone::kBold, style), "\n");
    for (const std::string& why : textsAt(plan, "why")) {
      absl::StrAppend(&text, wrapped(absl::StrCat("  ", why), kIndent, style));
    }
    absl::StrAppend(&text, sourceLines("from", listAt(plan, "sources"), style),
                    sourceLines("not from", listAt(plan, "passed_over"), style));
  }
  return text;
}

std::string renderLimits(const nlohmann::json& limits, const TextStyle&) {
  std::string text =
      absl::StrCat("upload    ", rateText(numberAt(limits, "upload_bytes_per_second")), "\n",
                   "download  ", rateText(numberAt(limits, "download_bytes_per_second")), "\n");
  for (const auto& job : listAt(limits, "jobs")) {
    absl::StrAppend(&text, "job #", numberAt(job, "id"), " ", textAt(job, "title"), "  ",
                    rateText(numberAt(job, "bytes_per_second")), "\n");
  }
  return text;
}

}  // namespace roost
