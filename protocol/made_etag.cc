#include "protocol/made_etag.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/strip.h"
#include "protocol/digest.h"

namespace roost {

absl::string_view bareEtag(absl::string_view header) {
  absl::ConsumePrefix(&header, "W/");
  absl::ConsumePrefix(&header, "\"");
  absl::ConsumeSuffix(&header, "\"");
  return header;
}

MadeEtag MadeEtag::of(absl::string_view header) {
  const absl::string_view etag = bareEtag(header);
  if (auto plain = parseHex(absl::AsciiStrToLower(etag)); plain.ok()) return *plain;
  const Sha256 digest = digestOf(etag);
  MadeEtag made;
  std::copy_n(digest.begin(), made.bytes_.size(), made.bytes_.begin());
  return made;
}

absl::StatusOr<MadeEtag> MadeEtag::parseHex(absl::string_view hex) {
  const auto bytes = bytesOfHex(hex);
  if (!bytes) return absl::InvalidArgumentError("an ETag that was made is hexadecimal");
  return fromBytes({reinterpret_cast<const uint8_t*>(bytes->data()), bytes->size()});
}

absl::StatusOr<MadeEtag> MadeEtag::fromBytes(absl::Span<const uint8_t> bytes) {
  MadeEtag made;
  if (bytes.size() != made.bytes_.size()) {
    return absl::InvalidArgumentError("an ETag that was made has 32 digits");
  }
  std::copy(bytes.begin(), bytes.end(), made.bytes_.begin());
  return made;
}

std::string MadeEtag::hex() const {
  return hexOf(bytes_);
}

}  // namespace roost
