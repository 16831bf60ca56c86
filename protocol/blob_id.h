// The identity of immutable bytes: a hash algorithm and a digest, as the hub names them.
//
// Threads: any (values only). Built only by strict parsing; there is no way to make an invalid one.
#ifndef ROOST_PROTOCOL_BLOB_ID_H_
#define ROOST_PROTOCOL_BLOB_ID_H_

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace roost {

// Numbers are on the wire and in the index: never renumber.
enum class HashAlgorithm : uint8_t {
  kSha256 = 1,   // of the content; LFS files
  kGitSha1 = 2,  // sha1("blob <length>\0" + content); small files that the hub keeps in git
};

using Sha256 = std::array<uint8_t, 32>;
using GitSha1 = std::array<uint8_t, 20>;

class BlobId {
 public:
  static BlobId sha256(const Sha256& digest);
  static BlobId gitSha1(const GitSha1& digest);

  // 64 lower-case hex digits are a sha256, 40 a git sha1: what the hub sends as ETag and clients
  // use as file name.
  static absl::StatusOr<BlobId> parseHex(absl::string_view hex);

  // "sha256:<64 hex>" or "git-sha1:<40 hex>": what people type and read; bare hex is accepted too.
  static absl::StatusOr<BlobId> parse(absl::string_view text);

  // The digest must have the algorithm's length.
  static absl::StatusOr<BlobId> fromBytes(HashAlgorithm algorithm,
                                          absl::Span<const uint8_t> digest);

  HashAlgorithm algorithm() const { return algorithm_; }
  absl::Span<const uint8_t> digest() const;
  std::string hex() const;       // file name in blobs/
  std::string toString() const;  // with the algorithm
  std::string shortHex() const;  // 12 digits, for people

  friend auto operator<=>(const BlobId&, const BlobId&) = default;
  template <typename H>
  friend H AbslHashValue(H state, const BlobId& id) {
    return H::combine(std::move(state), id.algorithm_, id.bytes_);
  }

 private:
  BlobId() = default;
  HashAlgorithm algorithm_ = HashAlgorithm::kSha256;
  std::array<uint8_t, 32> bytes_{};  // a git sha1 uses the first 20, the rest is zero
};

// A blob and its size, which is learned and must agree among holders.
struct BlobInfo {
  BlobId id;
  uint64_t size = 0;  // bytes
  friend bool operator==(const BlobInfo&, const BlobInfo&) = default;
};

// Lower-case hex of any bytes, and back (nullopt unless every digit is [0-9a-f] and the count is
// even).
std::string hexOf(absl::Span<const uint8_t> bytes);
std::optional<std::string> bytesOfHex(absl::string_view hex);

// Pieces that a blob of `size` bytes has (the last may be shorter; an empty blob has none).
uint64_t pieceCount(uint64_t size);

}  // namespace roost

#endif  // ROOST_PROTOCOL_BLOB_ID_H_
