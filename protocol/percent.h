// Percent-encoding of URLs, read.
//
// Threads: any (pure).
#ifndef ROOST_PROTOCOL_PERCENT_H_
#define ROOST_PROTOCOL_PERCENT_H_

#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace roost {

// %41 → A. nullopt for a '%' that is not followed by two hex digits, or for NUL.
std::optional<std::string> percentDecoded(absl::string_view text);

}  // namespace roost

#endif  // ROOST_PROTOCOL_PERCENT_H_
