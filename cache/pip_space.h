// Keeps the agent's own files of a pip index within a size: those that nobody read for the longest
// time go first. They come again from a peer or from the index when somebody asks.
//
// Threads: any, one call at a time for one folder; blocks. Errors: errnoStatus().
#ifndef ROOST_CACHE_PIP_SPACE_H_
#define ROOST_CACHE_PIP_SPACE_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace roost {

// Of <folder>/models--*/blobs/<sha256>. If they take more than `bytesMax`, deletes until they take
// a tenth less, but none that was read or written after `before`. The bytes that were deleted.
absl::StatusOr<uint64_t> trimPipFiles(const std::string& folder, uint64_t bytesMax,
                                      absl::Time before);

}  // namespace roost

#endif  // ROOST_CACHE_PIP_SPACE_H_
