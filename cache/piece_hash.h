// XXH3-128 of one piece (kPieceBytes, the last one shorter). It finds rot and torn writes at memory
// speed. It is no proof against lies: only the whole-file hash of a BlobId is.
//
// Threads: any; a PieceHasher belongs to one at a time. Bytes are in XXH128's canonical
// (big-endian) order, equal on every machine.
#ifndef ROOST_CACHE_PIECE_HASH_H_
#define ROOST_CACHE_PIECE_HASH_H_

#include <array>
#include <cstdint>
#include <memory>

#include "absl/types/span.h"

namespace roost {

using PieceHash = std::array<uint8_t, 16>;

PieceHash pieceHash(absl::Span<const uint8_t> bytes);

// Bytes of piece `piece` of a blob of `size` bytes; 0 past the end.
uint64_t pieceBytes(uint64_t size, uint64_t piece);

// The same hash of bytes that come bit by bit.
class PieceHasher {
 public:
  PieceHasher();
  PieceHasher(PieceHasher&&) noexcept;
  ~PieceHasher();

  void update(absl::Span<const uint8_t> bytes);
  uint64_t hashed() const { return hashed_; }  // bytes since the last finish()
  PieceHash finish();                          // and begins the next piece

 private:
  struct State;
  std::unique_ptr<State> state_;
  uint64_t hashed_ = 0;
};

}  // namespace roost

#endif  // ROOST_CACHE_PIECE_HASH_H_
