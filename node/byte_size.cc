#include "node/byte_size.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "protocol/limits.h"
#include "protocol/names.h"

namespace roost {

absl::StatusOr<uint64_t> parseByteSize(absl::string_view text) {
  static constexpr std::pair<absl::string_view, uint64_t> kUnits[] = {{"", 1},
                                                                      {"b", 1},
                                                                      {"kb", 1'000},
                                                                      {"mb", 1'000'000},
                                                                      {"gb", 1'000'000'000},
                                                                      {"tb", 1'000'000'000'000},
                                                                      {"kib", uint64_t{1} << 10},
                                                                      {"mib", uint64_t{1} << 20},
                                                                      {"gib", uint64_t{1} << 30},
                                                                      {"tib", uint64_t{1} << 40}};
  const absl::string_view whole = text;
  size_t digits = 0;
  while (digits < text.size() &&
         (absl::ascii_isdigit(static_cast<unsigned char>(text[digits])) || text[digits] == '.')) {
    ++digits;
  }
  const std::string unit = absl::AsciiStrToLower(absl::StripAsciiWhitespace(text.substr(digits)));
  double number = 0;
  if (digits > 0 && absl::SimpleAtod(text.substr(0, digits), &number)) {
    for (const auto& [name, factor] : kUnits) {
      const double bytes = number * static_cast<double>(factor);
      if (unit == name && bytes <= static_cast<double>(kBlobBytesMax)) {
        return static_cast<uint64_t>(bytes);
      }
    }
  }
  return absl::InvalidArgumentError(
      absl::StrCat(quoted(whole), " is not a size such as 10GB or 512MiB"));
}

}  // namespace roost
