// XXH3-128 of one piece (kPieceBytes, the last one shorter). It finds rot and torn writes at memory
// speed. It is no proof against lies: only the whole-file hash of a BlobId is.
//
// Threads: any. Bytes are in XXH128's canonical (big-endian) order, equal on every machine.
#ifndef ROOST_CACHE_PIECE_HASH_H_
#define ROOST_CACHE_PIECE_HASH_H_

#include <array>
#include <cstdint>

#include "absl/types/span.h"

namespace roost {

using PieceHash = std::array<uint8_t, 16>;

PieceHash pieceHash(absl::Span<const uint8_t> bytes);

// Bytes of piece `piece` of a blob of `size` bytes; 0 past the end.
uint64_t pieceBytes(uint64_t size, uint64_t piece);

}  // namespace roost

#endif  // ROOST_CACHE_PIECE_HASH_H_
