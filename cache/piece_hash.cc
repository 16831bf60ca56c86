#include "cache/piece_hash.h"

#include <xxhash.h>

#include <algorithm>

#include "protocol/limits.h"

namespace roost {

PieceHash pieceHash(absl::Span<const uint8_t> bytes) {
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, XXH3_128bits(bytes.data(), bytes.size()));
  PieceHash hash;
  std::copy(std::begin(canonical.digest), std::end(canonical.digest), hash.begin());
  return hash;
}

uint64_t pieceBytes(uint64_t size, uint64_t piece) {
  const uint64_t begin = piece * kPieceBytes;
  return begin >= size ? 0 : std::min(kPieceBytes, size - begin);
}

}  // namespace roost
