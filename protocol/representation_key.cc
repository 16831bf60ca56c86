#include "protocol/representation_key.h"

#include <algorithm>
#include <optional>

namespace roost {

absl::StatusOr<RepresentationKey> RepresentationKey::parse(absl::string_view hex) {
  const std::optional<std::string> bytes =
      hex.size() == 2 * sizeof(Sha256) ? bytesOfHex(hex) : std::nullopt;
  if (!bytes) {
    return absl::InvalidArgumentError(
        "not a representation's key: expected 64 lower-case hex digits");
  }
  return fromBytes({reinterpret_cast<const uint8_t*>(bytes->data()), bytes->size()});
}

absl::StatusOr<RepresentationKey> RepresentationKey::fromBytes(absl::Span<const uint8_t> bytes) {
  Sha256 digest;
  if (bytes.size() != digest.size()) {
    return absl::InvalidArgumentError("a representation's key has 32 bytes");
  }
  std::copy(bytes.begin(), bytes.end(), digest.begin());
  return RepresentationKey(digest);
}

}  // namespace roost
