#include "node/cli/text.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"

namespace roost {
namespace {

constexpr absl::string_view kReset = "\x1b[0m";

absl::string_view codeOf(Tone tone) {
  switch (tone) {
    case Tone::kPlain:
      return "";
    case Tone::kDim:
      return "\x1b[2m";
    case Tone::kBold:
      return "\x1b[1m";
    case Tone::kGood:
      return "\x1b[32m";
    case Tone::kBusy:
      return "\x1b[36m";
    case Tone::kBad:
      return "\x1b[31m";
  }
  return "";
}

// Bytes of the color code (ESC [ … m) that begins at `text`, 0 if none does.
size_t colorCodeLength(absl::string_view text) {
  if (!absl::StartsWith(text, "\x1b[")) return 0;
  const size_t end = text.find('m');
  return end == absl::string_view::npos ? 0 : end + 1;
}

// Bytes of the code point that begins at `text`.
size_t codePointLength(absl::string_view text) {
  size_t length = 1;
  while (length < text.size() && (static_cast<uint8_t>(text[length]) & 0xc0) == 0x80) ++length;
  return length;
}

std::string repeated(absl::string_view sign, int times) {
  std::string text;
  for (int i = 0; i < times; ++i) absl::StrAppend(&text, sign);
  return text;
}

std::string padded(const std::string& text, size_t width, bool right) {
  const size_t have = displayWidth(text);
  const std::string blanks(have < width ? width - have : 0, ' ');
  return right ? blanks + text : text + blanks;
}

}  // namespace

absl::string_view dash(const TextStyle& style) {
  return style.unicode ? "–" : "-";
}
absl::string_view arrow(const TextStyle& style) {
  return style.unicode ? "→" : "->";
}
absl::string_view dot(const TextStyle& style) {
  return style.unicode ? "·" : "|";
}
absl::string_view ellipsis(const TextStyle& style) {
  return style.unicode ? "…" : "..";
}

std::string formatBytes(uint64_t bytes) {
  if (bytes < 1000) return absl::StrCat(bytes, " B");
  static constexpr std::array<absl::string_view, 6> kUnits = {"kB", "MB", "GB", "TB", "PB", "EB"};
  double value = static_cast<double>(bytes) / 1000;
  size_t unit = 0;
  // 999.5 would be shown as 1000.
  while (value >= 999.5 && unit + 1 < kUnits.size()) {
    value /= 1000;
    ++unit;
  }
  const int decimals = value < 99.95 ? 1 : 0;
  return absl::StrFormat("%.*f %s", decimals, value, kUnits[unit]);
}

std::string formatRate(uint64_t perSecond) {
  return absl::StrCat(formatBytes(perSecond), "/s");
}

std::string formatCount(uint64_t count) {
  std::string digits = absl::StrCat(count);
  for (size_t at = digits.size(); at > 3; at -= 3) digits.insert(at - 3, 1, ',');
  return digits;
}

std::string formatClock(double seconds) {
  const auto whole = static_cast<uint64_t>(std::max(0.0, std::min(seconds, 1e9)) + 0.5);
  const uint64_t hours = whole / 3600;
  const uint64_t minutes = whole / 60 % 60;
  if (hours > 0) return absl::StrFormat("%d:%02d:%02d", hours, minutes, whole % 60);
  return absl::StrFormat("%d:%02d", minutes, whole % 60);
}

std::string formatSpan(double seconds) {
  seconds = std::max(0.0, std::min(seconds, 1e12));
  if (seconds < 9.95) return absl::StrFormat("%.1f s", seconds);
  if (seconds < 59.5) return absl::StrFormat("%.0f s", seconds);
  if (seconds < 59.5 * 60) return absl::StrFormat("%.0f min", seconds / 60);
  if (seconds < 47.5 * 3600) return absl::StrFormat("%.0f h", seconds / 3600);
  return absl::StrFormat("%.0f d", seconds / 86400);
}

std::string counted(uint64_t count, absl::string_view singular, absl::string_view plural) {
  return absl::StrCat(formatCount(count), " ", count == 1 ? singular : plural);
}

size_t displayWidth(absl::string_view text) {
  size_t width = 0;
  while (!text.empty()) {
    if (const size_t code = colorCodeLength(text); code > 0) {
      text.remove_prefix(code);
    } else {
      text.remove_prefix(codePointLength(text));
      ++width;
    }
  }
  return width;
}

std::string fitted(absl::string_view text, const TextStyle& style) {
  const auto limit = static_cast<size_t>(std::max(style.columns, 0));
  if (limit == 0 || displayWidth(text) <= limit) return std::string(text);
  const size_t mark = displayWidth(ellipsis(style));
  const size_t room = limit > mark ? limit - mark : 0;
  std::string cut;
  bool colored = false;
  for (size_t width = 0; width < room && !text.empty();) {
    const size_t code = colorCodeLength(text);
    const size_t length = code > 0 ? code : codePointLength(text);
    if (code > 0) {
      colored = true;
    } else {
      ++width;
    }
    absl::StrAppend(&cut, text.substr(0, length));
    text.remove_prefix(length);
  }
  while (!cut.empty() && cut.back() == ' ') cut.pop_back();
  return absl::StrCat(cut, colored ? kReset : "", ellipsis(style));
}

std::string wrapped(absl::string_view text, int indent, const TextStyle& style) {
  if (style.columns <= 0) return absl::StrCat(text, "\n");
  // On a very narrow screen the indent would leave no room for words.
  const std::string blanks(static_cast<size_t>(indent * 2 < style.columns ? indent : 0), ' ');
  std::string result, line;
  for (absl::string_view word : absl::StrSplit(text, ' ')) {
    const bool first = line.find_first_not_of(' ') == std::string::npos;
    const size_t width = displayWidth(line) + 1 + displayWidth(word);
    if (!first && width > static_cast<size_t>(style.columns)) {
      absl::StrAppend(&result, line, "\n");
      line = absl::StrCat(blanks, word);
    } else {
      absl::StrAppend(&line, line.empty() ? "" : " ", word);
    }
  }
  return absl::StrCat(result, line, "\n");
}

std::string toned(absl::string_view text, Tone tone, const TextStyle& style) {
  if (!style.color || tone == Tone::kPlain) return std::string(text);
  return absl::StrCat(codeOf(tone), text, kReset);
}

std::string bar(double part, int width, const TextStyle& style) {
  if (!(part > 0)) part = 0;
  part = std::min(part, 1.0);
  // Not full before everything is there.
  int full = static_cast<int>(std::lround(part * width));
  if (part < 1) full = std::min(full, width - 1);
  const std::string done = repeated(style.unicode ? "━" : "=", full);
  if (full == width) return toned(done, Tone::kGood, style);
  // The edge stands between done and not done, also where there is no color to tell them apart.
  const std::string open = absl::StrCat(style.unicode ? "╺" : ">",
                                        repeated(style.unicode ? "━" : "-", width - full - 1));
  return absl::StrCat(done.empty() ? "" : toned(done, Tone::kGood, style),
                      toned(open, Tone::kDim, style));
}

std::string table(const std::vector<Column>& columns, const std::vector<std::vector<Cell>>& rows,
                  const TextStyle& style) {
  constexpr absl::string_view kGap = "  ";
  std::vector<size_t> widths;
  for (size_t c = 0; c < columns.size(); ++c) {
    size_t width = std::max(columns[c].widthMin, displayWidth(columns[c].title));
    for (const auto& row : rows) width = std::max(width, displayWidth(row[c].text));
    widths.push_back(width);
  }
  std::vector<size_t> shown(columns.size());
  for (size_t c = 0; c < columns.size(); ++c) shown[c] = c;
  const auto total = [&] {
    size_t sum = 0;
    for (size_t c : shown) sum += widths[c] + kGap.size();
    return sum - kGap.size();
  };
  while (style.columns > 0 && total() > static_cast<size_t>(style.columns)) {
    const auto first = std::max_element(shown.begin(), shown.end(), [&](size_t a, size_t b) {
      return columns[a].drop < columns[b].drop;
    });
    if (columns[*first].drop == 0) break;
    shown.erase(first);
  }
  const auto line = [&](const std::function<Cell(size_t)>& cell) {
    std::string text;
    for (size_t c : shown) {
      const Cell content = cell(c);
      if (c != shown.front()) absl::StrAppend(&text, kGap);
      const bool last = c == shown.back() && !columns[c].right;
      const std::string field =
          last ? content.text : padded(content.text, widths[c], columns[c].right);
      absl::StrAppend(&text, toned(field, content.tone, style));
    }
    while (!text.empty() && text.back() == ' ') text.pop_back();
    return fitted(text, style) + "\n";
  };
  std::string text = line([&](size_t c) { return Cell{columns[c].title, Tone::kDim}; });
  for (const auto& row : rows) {
    absl::StrAppend(&text, line([&](size_t c) { return row[c]; }));
  }
  return text;
}

}  // namespace roost
