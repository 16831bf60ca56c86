#include "node/cli/live.h"

#include <algorithm>
#include <limits>

#include "absl/strings/str_cat.h"

namespace roost {

void LiveArea::show(const std::string& text) {
  if (!console_.terminal) {
    *console_.stream << text << std::flush;
    return;
  }
  const TextStyle style = console_.style();
  std::string picture;
  if (lines_ > 0) picture = absl::StrCat("\x1b[", lines_, "F");  // up, to the first column
  lines_ = 0;
  absl::string_view rest = text;
  // The cursor cannot go up to lines that have left the screen; one row is the cursor's own.
  const int most = style.rows > 2 ? style.rows - 1 : std::numeric_limits<int>::max();
  const auto lines = std::count(text.begin(), text.end(), '\n');
  while (!rest.empty()) {
    if (lines > most && lines_ == most - 1) {
      const std::string more = absl::StrCat(lines - lines_, " more lines");
      absl::StrAppend(&picture, fitted(more, style), "\x1b[K\n");
      ++lines_;
      break;
    }
    const size_t end = std::min(rest.find('\n'), rest.size());
    // A line that wraps would be counted wrong.
    absl::StrAppend(&picture, fitted(rest.substr(0, end), style), "\x1b[K\n");
    rest.remove_prefix(std::min(end + 1, rest.size()));
    ++lines_;
  }
  absl::StrAppend(&picture, "\x1b[J");  // the rest of a longer picture before
  *console_.stream << picture << std::flush;
}

void LiveArea::clear() {
  if (!console_.terminal || lines_ == 0) return;
  *console_.stream << "\x1b[" << lines_ << "F\x1b[J" << std::flush;
  lines_ = 0;
}

}  // namespace roost
