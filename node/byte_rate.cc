#include "node/byte_rate.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "node/byte_size.h"
#include "protocol/limits.h"
#include "protocol/names.h"

namespace roost {

absl::Status checkByteRate(uint64_t bytesPerSecond) {
  if (bytesPerSecond == 0 || bytesPerSecond >= kRateLimitMin) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      bytesPerSecond, " bytes per second are too few: transfers would look hung. The least is ",
      kRateLimitMin / 1'000, "kB; none is no limit"));
}

absl::StatusOr<uint64_t> parseByteRate(absl::string_view text) {
  if (text == "none") return uint64_t{0};
  absl::string_view size = text;
  absl::ConsumeSuffix(&size, "/s");
  const auto rate = parseByteSize(size);
  if (!rate.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat(quoted(text), " is not a rate such as 200MB or 50MB/s, or none"));
  }
  if (const absl::Status status = checkByteRate(*rate); !status.ok()) return status;
  return *rate;
}

}  // namespace roost
