#include "node/endpoint/byte_range.h"

#include <algorithm>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/strip.h"

namespace roost {
namespace {

std::optional<uint64_t> number(absl::string_view text) {
  uint64_t value = 0;
  const bool digits = !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return absl::ascii_isdigit(static_cast<unsigned char>(c));
  });
  if (!digits || !absl::SimpleAtoi(text, &value)) return std::nullopt;
  return value;
}

}  // namespace

ByteRange byteRange(absl::string_view header, uint64_t size) {
  const ByteRange whole{ByteRange::Kind::kWhole, 0, size};
  header = absl::StripAsciiWhitespace(header);
  if (size == 0 || !absl::StartsWithIgnoreCase(header, "bytes=")) return whole;
  header.remove_prefix(6);
  if (absl::StrContains(header, ',')) return whole;
  const size_t dash = header.find('-');
  if (dash == absl::string_view::npos) return whole;
  const absl::string_view from = absl::StripAsciiWhitespace(header.substr(0, dash));
  const absl::string_view to = absl::StripAsciiWhitespace(header.substr(dash + 1));
  if (from.empty()) {  // the last so many
    const auto count = number(to);
    if (!count) return whole;
    if (*count == 0) return {ByteRange::Kind::kUnsatisfiable, 0, 0};
    return {ByteRange::Kind::kPart, size - std::min(size, *count), size};
  }
  const auto first = number(from);
  const auto last = to.empty() ? std::optional<uint64_t>(size - 1) : number(to);
  if (!first || !last || (!to.empty() && *last < *first)) return whole;
  if (*first >= size) return {ByteRange::Kind::kUnsatisfiable, 0, 0};
  return {ByteRange::Kind::kPart, *first, std::min(*last, size - 1) + 1};
}

}  // namespace roost
