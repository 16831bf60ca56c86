// The hash tree of content in memory.
#ifndef ROOST_TESTS_CACHE_HASH_TREE_H_
#define ROOST_TESTS_CACHE_HASH_TREE_H_

#include <cstdint>
#include <vector>

#include "cache/merkle.h"

namespace roost {

inline HashTree treeOf(const std::vector<uint8_t>& content) {
  TreeHasher hasher(content.size());
  hasher.update(content);
  return hasher.finish();
}

}  // namespace roost

#endif  // ROOST_TESTS_CACHE_HASH_TREE_H_
