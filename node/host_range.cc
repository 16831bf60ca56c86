#include "node/host_range.h"

#include <cstdint>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "protocol/errors.h"
#include "protocol/limits.h"
#include "protocol/names.h"

namespace roost {
namespace {

absl::Status refused(absl::string_view text, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("not a node list: ", quoted(text), ": ", why));
}

absl::StatusOr<uint64_t> parseNumber(absl::string_view digits, absl::string_view whole) {
  uint64_t number = 0;
  const bool short_enough = !digits.empty() && digits.size() <= 9;
  for (char c : digits) {
    if (!absl::ascii_isdigit(static_cast<unsigned char>(c))) {
      return refused(whole, "expected numbers in the brackets, as in gpu-[001-128,130]");
    }
  }
  if (!short_enough || !absl::SimpleAtoi(digits, &number)) {
    return refused(whole, "a number in the brackets has no digit, or more than 9");
  }
  return number;
}

std::string padded(uint64_t number, size_t width) {
  const std::string digits = absl::StrCat(number);
  return digits.size() >= width ? digits : std::string(width - digits.size(), '0') + digits;
}

// "001-128,130" → the numbers as text, padded as the first of each range.
absl::StatusOr<std::vector<std::string>> expandBrackets(absl::string_view inside,
                                                        absl::string_view whole) {
  std::vector<std::string> numbers;
  for (absl::string_view part : absl::StrSplit(inside, ',')) {
    const size_t dash = part.find('-');
    const absl::string_view low = part.substr(0, dash);
    const absl::string_view high = dash == absl::string_view::npos ? low : part.substr(dash + 1);
    ROOST_ASSIGN_OR_RETURN(const uint64_t first, parseNumber(low, whole));
    ROOST_ASSIGN_OR_RETURN(const uint64_t last, parseNumber(high, whole));
    if (last < first) return refused(whole, absl::StrCat("the range ", part, " runs backwards"));
    if (last - first >= kMembersMax) return refused(whole, "more nodes than a cluster can have");
    for (uint64_t n = first; n <= last; ++n) numbers.push_back(padded(n, low.size()));
    if (numbers.size() > kMembersMax) return refused(whole, "more nodes than a cluster can have");
  }
  return numbers;
}

// One expression without top-level commas; brackets are balanced.
absl::StatusOr<std::vector<std::string>> expandOne(absl::string_view text) {
  std::vector<std::string> names = {""};
  while (!text.empty()) {
    const size_t open = text.find('[');
    for (std::string& name : names) absl::StrAppend(&name, text.substr(0, open));
    if (open == absl::string_view::npos) break;
    const size_t close = text.find(']', open);
    ROOST_ASSIGN_OR_RETURN(const std::vector<std::string> numbers,
                           expandBrackets(text.substr(open + 1, close - open - 1), text));
    if (names.size() * numbers.size() > kMembersMax) {
      return refused(text, "more nodes than a cluster can have");
    }
    std::vector<std::string> longer;
    for (const std::string& name : names) {
      for (const std::string& number : numbers) longer.push_back(absl::StrCat(name, number));
    }
    names = std::move(longer);
    text.remove_prefix(close + 1);
  }
  return names;
}

}  // namespace

absl::StatusOr<std::vector<std::string>> splitHostList(absl::string_view text) {
  std::vector<std::string> parts(1);
  bool inside = false;
  for (char c : text) {
    if (c == '[' && inside) return refused(text, "'[' inside brackets");
    if (c == ']' && !inside) return refused(text, "']' without '['");
    if (c == '[' || c == ']') inside = c == '[';
    if (c == ',' && !inside) {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  if (inside) return refused(text, "'[' without ']'");
  for (std::string& part : parts) {
    part = std::string(absl::StripAsciiWhitespace(part));
    if (part.empty()) return refused(text, "an empty name");
  }
  return parts;
}

absl::StatusOr<std::vector<std::string>> expandHostRange(absl::string_view text) {
  ROOST_ASSIGN_OR_RETURN(const std::vector<std::string> parts, splitHostList(text));
  std::vector<std::string> names;
  absl::flat_hash_set<std::string> seen;
  for (const std::string& part : parts) {
    ROOST_ASSIGN_OR_RETURN(const std::vector<std::string> expanded, expandOne(part));
    for (const std::string& name : expanded) {
      if (seen.insert(name).second) names.push_back(name);
    }
    if (names.size() > kMembersMax) return refused(text, "more nodes than a cluster can have");
  }
  return names;
}

}  // namespace roost
