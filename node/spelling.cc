#include "node/spelling.h"

#include <algorithm>

namespace roost {

size_t editDistance(absl::string_view a, absl::string_view b) {
  // Rows of the distance table: before the last, last, this one.
  std::vector<size_t> older(b.size() + 1), last(b.size() + 1), row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) last[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, replaced});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        row[j] = std::min(row[j], older[j - 2] + 1);
      }
    }
    older.swap(last);
    last.swap(row);
  }
  return last[b.size()];
}

std::optional<std::string> nearestWord(absl::string_view word,
                                       const std::vector<std::string>& words) {
  const std::string* nearest = nullptr;
  size_t least = 0;
  for (const std::string& known : words) {
    const size_t distance = editDistance(word, known);
    if (nearest == nullptr || distance < least) {
      nearest = &known;
      least = distance;
    }
  }
  if (nearest == nullptr) return std::nullopt;
  return *nearest;
}

std::optional<std::string> likelyWord(absl::string_view word,
                                      const std::vector<std::string>& words) {
  auto nearest = nearestWord(word, words);
  if (nearest && editDistance(word, *nearest) > std::max<size_t>(2, nearest->size() / 3)) {
    return std::nullopt;
  }
  return nearest;
}

}  // namespace roost
