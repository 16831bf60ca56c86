#include "tests/cache/equal_xxh3.h"

#define XXH_INLINE_ALL  // for its secret
#include <xxhash.h>

#include <array>
#include <cstring>
#include <numeric>

namespace roost {
namespace {

constexpr size_t kStripeBytes = 64;
constexpr uint64_t kLow = 0xffff'ffff;

uint64_t wordAt(const uint8_t* bytes) {
  uint64_t word = 0;
  std::memcpy(&word, bytes, sizeof word);
  return word;
}
// The secret slides by 8 bytes a stripe.
uint64_t keyOf(size_t stripe) {
  return wordAt(XXH3_kSecret + 8 * stripe);
}
// What the first word of a stripe adds to its own lane; to the other one it adds itself.
uint64_t productOf(size_t stripe, uint64_t word) {
  const uint64_t mixed = word ^ keyOf(stripe);
  return (mixed & kLow) * (mixed >> 32);
}
uint64_t wordWith(size_t stripe, uint64_t low, uint64_t high) {
  return keyOf(stripe) ^ (low | high << 32);
}

}  // namespace

// Over the first words of five stripes both sums stay what they were, and the first word changes.
std::vector<uint8_t> withEqualXxh3(std::vector<uint8_t> piece) {
  std::array<uint64_t, 5> words{};
  uint64_t products = 0;
  for (size_t i = 0; i < words.size(); ++i) {
    words[i] = wordAt(piece.data() + i * kStripeBytes);
    products += productOf(i, words[i]);
  }
  const uint64_t sum = std::accumulate(words.begin(), words.end(), uint64_t{0});
  // The second one's product is the largest multiple of kLow below what is left, the third one's
  // the rest, the others' are 0.
  uint64_t left = 0;
  do {
    ++words[0];
    left = products - productOf(0, words[0]);
  } while (left / kLow > kLow);
  words[1] = wordWith(1, kLow, left / kLow);
  words[2] = wordWith(2, left % kLow, 1);
  const uint64_t rest = sum - words[0] - words[1] - words[2];
  words[3] = (keyOf(3) & ~kLow) | ((rest - keyOf(4)) & kLow);
  words[4] = rest - words[3];
  for (size_t i = 0; i < words.size(); ++i) {
    std::memcpy(piece.data() + i * kStripeBytes, &words[i], sizeof words[i]);
  }
  return piece;
}

}  // namespace roost
