#include "cache/piece_hash.h"

#include <xxhash.h>
#if defined(__x86_64__)
#include <xxh_x86dispatch.h>  // AVX2 or AVX-512 where the CPU has it: the plain names mean these now
#endif

#include <algorithm>

#include "protocol/limits.h"

namespace roost {
namespace {

PieceHash canonical(const XXH128_hash_t& value) {
  XXH128_canonical_t bytes;
  XXH128_canonicalFromHash(&bytes, value);
  PieceHash hash;
  std::copy(std::begin(bytes.digest), std::end(bytes.digest), hash.begin());
  return hash;
}

}  // namespace

PieceHash pieceHash(absl::Span<const uint8_t> bytes) {
  return canonical(XXH3_128bits(bytes.data(), bytes.size()));
}

uint64_t pieceBytes(uint64_t size, uint64_t piece) {
  const uint64_t begin = piece * kPieceBytes;
  return begin >= size ? 0 : std::min(kPieceBytes, size - begin);
}

struct PieceHasher::State {
  struct Free {
    void operator()(XXH3_state_t* state) const { XXH3_freeState(state); }
  };
  std::unique_ptr<XXH3_state_t, Free> xxh3{XXH3_createState()};
};

PieceHasher::PieceHasher() : state_(std::make_unique<State>()) {
  XXH3_128bits_reset(state_->xxh3.get());
}

PieceHasher::PieceHasher(PieceHasher&&) noexcept = default;
PieceHasher::~PieceHasher() = default;

void PieceHasher::update(absl::Span<const uint8_t> bytes) {
  XXH3_128bits_update(state_->xxh3.get(), bytes.data(), bytes.size());
  hashed_ += bytes.size();
}

PieceHash PieceHasher::finish() {
  const PieceHash hash = canonical(XXH3_128bits_digest(state_->xxh3.get()));
  XXH3_128bits_reset(state_->xxh3.get());
  hashed_ = 0;
  return hash;
}

}  // namespace roost
