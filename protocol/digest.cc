#include "protocol/digest.h"

#include <openssl/evp.h>

#include <cstdlib>

namespace roost {

Sha256 digestOf(absl::string_view bytes) {
  Sha256 digest{};
  const int hashed =
      EVP_Digest(bytes.data(), bytes.size(), digest.data(), nullptr, EVP_sha256(), nullptr);
  if (hashed != 1) std::abort();  // OpenSSL without SHA-256: nothing works
  return digest;
}

std::string sha256Hex(absl::string_view bytes) {
  return hexOf(digestOf(bytes));
}

}  // namespace roost
