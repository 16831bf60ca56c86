// What clients know a file by whose hub names it by no hash: made of the hub's ETag, hexadecimal
// because clients take it for a file name, and of another length than a hash that content is
// checked by. It depends on what it is made of alone, so it is the same on every node.
//
// Threads: any (values only).
#ifndef ROOST_PROTOCOL_MADE_ETAG_H_
#define ROOST_PROTOCOL_MADE_ETAG_H_

#include <array>
#include <compare>
#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace roost {

class MadeEtag {
 public:
  // `header` as the hub sent it, weak or quoted or not: 32 hexadecimal digits stay as they are.
  static MadeEtag of(absl::string_view header);
  // 32 lower-case hexadecimal digits.
  static absl::StatusOr<MadeEtag> parseHex(absl::string_view hex);
  // 16 bytes.
  static absl::StatusOr<MadeEtag> fromBytes(absl::Span<const uint8_t> bytes);

  std::string hex() const;
  absl::Span<const uint8_t> bytes() const { return bytes_; }

  friend auto operator<=>(const MadeEtag&, const MadeEtag&) = default;

 private:
  MadeEtag() = default;
  std::array<uint8_t, 16> bytes_{};
};

// What an ETag says, without quotes and without the mark of a weak one.
absl::string_view bareEtag(absl::string_view header);

}  // namespace roost

#endif  // ROOST_PROTOCOL_MADE_ETAG_H_
