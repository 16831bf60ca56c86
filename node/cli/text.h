// Figures, tables and bars as people read them.
//
// Threads: any (pure). Units: bytes are decimal (1 GB = 10^9 bytes), as the hub and disks count.
#ifndef ROOST_NODE_CLI_TEXT_H_
#define ROOST_NODE_CLI_TEXT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace roost {

// What the reader's screen can show.
struct TextStyle {
  int columns = 0;  // 0: no limit (not a terminal)
  int rows = 0;     // same
  bool unicode = true;
  bool color = false;
};

// One sign in both character sets: "–" or "-", "→" or "->", "·" or "|", "…" or "..".
absl::string_view dash(const TextStyle& style);
absl::string_view arrow(const TextStyle& style);
absl::string_view dot(const TextStyle& style);
absl::string_view ellipsis(const TextStyle& style);

std::string formatBytes(uint64_t bytes);     // "512 B", "1.1 TB", "41.2 GB", "139 GB"
std::string formatRate(uint64_t perSecond);  // "812 MB/s"
std::string formatCount(uint64_t count);     // "1,204"
std::string formatClock(double seconds);     // "0:42", "1:02:03"
std::string formatSpan(double seconds);      // "0.4 s", "12 s", "3 min", "2 h", "5 d"
// "1 node", "4 nodes".
std::string counted(uint64_t count, absl::string_view singular, absl::string_view plural);

// Columns that a text takes: UTF-8 code points, color codes not counted.
size_t displayWidth(absl::string_view text);
// At most `columns` wide (0: no limit), cut with an ellipsis; color codes are kept whole and ended.
std::string fitted(absl::string_view text, const TextStyle& style);

// Broken between words into lines that end with '\n' and are at most style.columns wide where words
// allow it; lines after the first begin with `indent` blanks.
std::string wrapped(absl::string_view text, int indent, const TextStyle& style);

enum class Tone { kPlain, kDim, kBold, kGood, kBusy, kBad };
std::string toned(absl::string_view text, Tone tone, const TextStyle& style);

// A bar of `width` columns, `part` of it (0..1) done.
std::string bar(double part, int width, const TextStyle& style);

struct Column {
  std::string title;
  bool right = false;   // aligned right
  size_t widthMin = 0;  // keeps the table still while figures change
  int drop = 0;         // on a narrow screen the greatest goes first; 0: never
};
struct Cell {
  std::string text;
  Tone tone = Tone::kPlain;
};
// Lines end with '\n'. Columns are dropped, then lines are cut, until it fits.
std::string table(const std::vector<Column>& columns, const std::vector<std::vector<Cell>>& rows,
                  const TextStyle& style);

}  // namespace roost

#endif  // ROOST_NODE_CLI_TEXT_H_
