// Bytes that are not those of a piece and have its XXH3-128: anybody can make them, so it proves
// nothing against who wants to deceive.
#ifndef ROOST_TESTS_CACHE_EQUAL_XXH3_H_
#define ROOST_TESTS_CACHE_EQUAL_XXH3_H_

#include <cstdint>
#include <vector>

namespace roost {

// `piece`: a whole one, or whatever is longer than 1 KiB.
std::vector<uint8_t> withEqualXxh3(std::vector<uint8_t> piece);

}  // namespace roost

#endif  // ROOST_TESTS_CACHE_EQUAL_XXH3_H_
