// The secret that makes an agent a member: 32 random bytes, the external PSK of all peer links.
//
// Format:  one line "roost-key-1:" + 43 characters of base64url, as `roost key` writes it. A key
//          file has one such line, or two while the key rotates (the first is used to dial); empty
//          lines and lines that begin with '#' are skipped.
// Owns:    the bytes, zeroed on destruction. There is no way to print one by accident: the only
//          text form is secretText().
// Errors:  kInvalidArgument (not a key; the text is never quoted), kPermissionDenied (file readable
//          by others), file system errors by errnoStatus.
// Threads: any (values only).
#ifndef ROOST_PROTOCOL_CLUSTER_KEY_H_
#define ROOST_PROTOCOL_CLUSTER_KEY_H_

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace roost {

class ClusterKey {
 public:
  static ClusterKey generate();
  static absl::StatusOr<ClusterKey> parse(absl::string_view text);

  ClusterKey(const ClusterKey&) = default;
  ClusterKey& operator=(const ClusterKey&) = default;
  ~ClusterKey();

  std::string secretText() const;  // for the key file, nothing else
  absl::Span<const uint8_t> secretBytes() const { return bytes_; }

  // Which key this is, without telling it: "roost-1:" + 16 hex digits of a hash of the key. Sent in
  // clear as the PSK identity, and safe to log.
  std::string identity() const;

  friend bool operator==(const ClusterKey&, const ClusterKey&) = default;

 private:
  ClusterKey() = default;
  std::array<uint8_t, 32> bytes_{};
};

// What an agent accepts and dials with.
struct ClusterKeys {
  ClusterKey current;                  // dials, and is accepted
  std::optional<ClusterKey> accepted;  // accepted too, while the key rotates

  static absl::StatusOr<ClusterKeys> parse(absl::string_view text);
  static absl::StatusOr<ClusterKeys> load(const std::string& file);
};

}  // namespace roost

#endif  // ROOST_PROTOCOL_CLUSTER_KEY_H_
