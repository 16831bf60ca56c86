// Sizes as people write them: "10GB" is 10^10 bytes, "512MiB" is 2^29; also without a unit.
//
// Threads: any (pure). Errors: kInvalidArgument.
#ifndef ROOST_NODE_BYTE_SIZE_H_
#define ROOST_NODE_BYTE_SIZE_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace roost {

absl::StatusOr<uint64_t> parseByteSize(absl::string_view text);

}  // namespace roost

#endif  // ROOST_NODE_BYTE_SIZE_H_
