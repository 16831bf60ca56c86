// "Did you mean": the known word that is nearest to a mistyped one.
//
// Threads: any (pure).
#ifndef ROOST_NODE_SPELLING_H_
#define ROOST_NODE_SPELLING_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace roost {

// Single-character insertions, deletions, replacements and swaps of neighbours that turn one word
// into the other (optimal string alignment).
size_t editDistance(absl::string_view a, absl::string_view b);

// The nearest of `words`, first one on a tie; none only if there are no words.
std::optional<std::string> nearestWord(absl::string_view word,
                                       const std::vector<std::string>& words);

// The same, or none if even the nearest differs in more than a third of its characters (two are
// always allowed): then it is no typing mistake.
std::optional<std::string> likelyWord(absl::string_view word,
                                      const std::vector<std::string>& words);

}  // namespace roost

#endif  // ROOST_NODE_SPELLING_H_
