// Identities of agents and of the physical stores behind their folders.
//
// Threads: any (values only).
#ifndef ROOST_PROTOCOL_NODE_ID_H_
#define ROOST_PROTOCOL_NODE_ID_H_

#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace roost {

// 128 random bits, made once in the state folder. A name is a label; this is the node.
class NodeId {
 public:
  static NodeId random();
  static absl::StatusOr<NodeId> parse(absl::string_view hex);  // 32 lower-case hex digits
  static absl::StatusOr<NodeId> fromBytes(absl::Span<const uint8_t> bytes);  // exactly 16
  // For simulations and tests: a readable id from a small number.
  static NodeId ofNumber(uint64_t number);

  absl::Span<const uint8_t> bytes() const { return bytes_; }
  std::string hex() const;
  std::string shortHex() const;  // 8 digits, for people

  friend auto operator<=>(const NodeId&, const NodeId&) = default;
  template <typename H>
  friend H AbslHashValue(H state, const NodeId& id) {
    return H::combine(std::move(state), id.bytes_);
  }

 private:
  NodeId() = default;
  std::array<uint8_t, 16> bytes_{};
};

// The physical file system folder behind a root: equal for all agents that see the same files.
// Opaque text of at most 64 characters [A-Za-z0-9._:-], from file-system id and inode, or from
// `store = NAME`.
class StoreId {
 public:
  static absl::StatusOr<StoreId> parse(absl::string_view text);
  const std::string& text() const { return text_; }
  friend auto operator<=>(const StoreId&, const StoreId&) = default;
  template <typename H>
  friend H AbslHashValue(H state, const StoreId& id) {
    return H::combine(std::move(state), id.text_);
  }

 private:
  explicit StoreId(std::string text) : text_(std::move(text)) {}
  std::string text_;
};

}  // namespace roost

#endif  // ROOST_PROTOCOL_NODE_ID_H_
