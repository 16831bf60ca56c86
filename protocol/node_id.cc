#include "protocol/node_id.h"

#include <openssl/rand.h>

#include <algorithm>
#include <cstdlib>

#include "absl/strings/ascii.h"
#include "protocol/blob_id.h"

namespace roost {

NodeId NodeId::random() {
  NodeId id;
  // Without randomness no identity and no key is safe: there is nothing to go on with.
  if (RAND_bytes(id.bytes_.data(), static_cast<int>(id.bytes_.size())) != 1) std::abort();
  return id;
}

absl::StatusOr<NodeId> NodeId::parse(absl::string_view hex) {
  const auto bytes = bytesOfHex(hex);
  if (!bytes) return absl::InvalidArgumentError("not a node id: expected 32 lower-case hex digits");
  return fromBytes({reinterpret_cast<const uint8_t*>(bytes->data()), bytes->size()});
}

absl::StatusOr<NodeId> NodeId::fromBytes(absl::Span<const uint8_t> bytes) {
  NodeId id;
  if (bytes.size() != id.bytes_.size()) {
    return absl::InvalidArgumentError("not a node id: expected 16 bytes");
  }
  std::copy(bytes.begin(), bytes.end(), id.bytes_.begin());
  return id;
}

NodeId NodeId::ofNumber(uint64_t number) {
  NodeId id;
  for (size_t i = 0; i < 8; ++i) id.bytes_[15 - i] = static_cast<uint8_t>(number >> (8 * i));
  return id;
}

std::string NodeId::hex() const {
  return hexOf(bytes());
}

std::string NodeId::shortHex() const {
  return hex().substr(0, 8);
}

absl::StatusOr<StoreId> StoreId::parse(absl::string_view text) {
  const bool plain = std::all_of(text.begin(), text.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '_' || c == ':' ||
           c == '-';
  });
  if (text.empty() || text.size() > 64 || !plain) {
    return absl::InvalidArgumentError("not a store name: 1 to 64 characters of [A-Za-z0-9._:-]");
  }
  return StoreId(std::string(text));
}

}  // namespace roost
