// The name of a precomputed representation: the SHA-256 of its provenance as canonical JSON
// (cache/representation_keys.h). Who knows it may have the value, so it is told to nobody who has
// not got the provenance; nodes of one cluster tell each other.
//
// Threads: any (values only). Built only by strict parsing.
#ifndef ROOST_PROTOCOL_REPRESENTATION_KEY_H_
#define ROOST_PROTOCOL_REPRESENTATION_KEY_H_

#include <compare>
#include <cstdint>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "protocol/blob_id.h"

namespace roost {

class RepresentationKey {
 public:
  static RepresentationKey of(const Sha256& digest) { return RepresentationKey(digest); }
  static absl::StatusOr<RepresentationKey> parse(absl::string_view hex);  // 64 lower-case digits
  static absl::StatusOr<RepresentationKey> fromBytes(absl::Span<const uint8_t> bytes);  // 32

  absl::Span<const uint8_t> bytes() const { return bytes_; }
  std::string hex() const { return hexOf(bytes_); }
  // For rendezvous hashing: a key has a registrar as a blob has.
  BlobId asBlob() const { return BlobId::sha256(bytes_); }

  friend auto operator<=>(const RepresentationKey&, const RepresentationKey&) = default;
  template <typename H>
  friend H AbslHashValue(H state, const RepresentationKey& key) {
    return H::combine(std::move(state), key.bytes_);
  }

 private:
  explicit RepresentationKey(const Sha256& bytes) : bytes_(bytes) {}
  Sha256 bytes_;
};

}  // namespace roost

#endif  // ROOST_PROTOCOL_REPRESENTATION_KEY_H_
