// Which pieces of a blob somebody has, for a message: at most kPieceMapBits bits, each of as many
// pieces in a row as it takes, set if all of them are there.
//
// Threads: a value.
#ifndef ROOST_PROTOCOL_PIECE_MAP_H_
#define ROOST_PROTOCOL_PIECE_MAP_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "protocol/limits.h"

namespace roost {

class PieceMap {
 public:
  PieceMap() = default;  // knows of none
  static PieceMap of(const std::vector<bool>& have) {
    PieceMap map;
    const size_t span = spanOf(have.size());
    for (size_t from = 0; from < have.size(); from += span) {
      const auto begin = have.begin() + static_cast<std::ptrdiff_t>(from);
      const auto end = begin + static_cast<std::ptrdiff_t>(std::min(span, have.size() - from));
      if (std::find(begin, end, false) == end) map.set(from / span);
    }
    return map;
  }
  // As it came: whatever it says, it is no longer than kPieceMapBits.
  static PieceMap ofBytes(std::string_view bytes) {
    PieceMap map;
    map.bytes_ = bytes.substr(0, kPieceMapBits / 8);
    return map;
  }

  // Of a blob of `count` pieces.
  bool has(uint64_t piece, uint64_t count) const {
    const uint64_t bit = piece / spanOf(count);
    return bit / 8 < bytes_.size() && ((static_cast<uint8_t>(bytes_[bit / 8]) >> (bit % 8)) & 1);
  }
  void add(const PieceMap& other) {
    bytes_.resize(std::max(bytes_.size(), other.bytes_.size()));
    for (size_t i = 0; i < other.bytes_.size(); ++i) {
      bytes_[i] = static_cast<char>(bytes_[i] | other.bytes_[i]);
    }
  }
  bool empty() const { return bytes_.empty(); }
  const std::string& bytes() const { return bytes_; }
  friend bool operator==(const PieceMap&, const PieceMap&) = default;

 private:
  static uint64_t spanOf(uint64_t count) {
    return std::max<uint64_t>(1, (count + kPieceMapBits - 1) / kPieceMapBits);
  }
  void set(uint64_t bit) {
    if (bytes_.size() <= bit / 8) bytes_.resize(bit / 8 + 1);
    bytes_[bit / 8] = static_cast<char>(static_cast<uint8_t>(bytes_[bit / 8]) | (1 << (bit % 8)));
  }

  std::string bytes_;
};

}  // namespace roost

#endif  // ROOST_PROTOCOL_PIECE_MAP_H_
