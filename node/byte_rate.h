// Rates as people write them: "200MB" or "200MB/s" is 2·10^8 bytes per second; "none" and "0" are
// no limit.
//
// Threads: any (pure). Errors: kInvalidArgument, also for what is less than kRateLimitMin.
#ifndef ROOST_NODE_BYTE_RATE_H_
#define ROOST_NODE_BYTE_RATE_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace roost {

absl::StatusOr<uint64_t> parseByteRate(absl::string_view text);
// That a number is one of these.
absl::Status checkByteRate(uint64_t bytesPerSecond);

}  // namespace roost

#endif  // ROOST_NODE_BYTE_RATE_H_
