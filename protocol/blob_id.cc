#include "protocol/blob_id.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "protocol/limits.h"

namespace roost {
namespace {

constexpr size_t digestBytes(HashAlgorithm algorithm) {
  return algorithm == HashAlgorithm::kSha256 ? 32 : 20;
}

int hexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

}  // namespace

std::string hexOf(absl::Span<const uint8_t> bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  text.reserve(bytes.size() * 2);
  for (uint8_t byte : bytes) {
    text.push_back(kDigits[byte >> 4]);
    text.push_back(kDigits[byte & 15]);
  }
  return text;
}

std::optional<std::string> bytesOfHex(absl::string_view hex) {
  if (hex.size() % 2 != 0) return std::nullopt;
  std::string bytes;
  bytes.reserve(hex.size() / 2);
  for (size_t i = 0; i < hex.size(); i += 2) {
    const int high = hexDigit(hex[i]);
    const int low = hexDigit(hex[i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    bytes.push_back(static_cast<char>(high * 16 + low));
  }
  return bytes;
}

uint64_t pieceCount(uint64_t size) {
  return size / kPieceBytes + (size % kPieceBytes != 0);
}

BlobId BlobId::sha256(const Sha256& digest) {
  BlobId id;
  id.algorithm_ = HashAlgorithm::kSha256;
  id.bytes_ = digest;
  return id;
}

BlobId BlobId::gitSha1(const GitSha1& digest) {
  BlobId id;
  id.algorithm_ = HashAlgorithm::kGitSha1;
  std::copy(digest.begin(), digest.end(), id.bytes_.begin());
  return id;
}

absl::StatusOr<BlobId> BlobId::parseHex(absl::string_view hex) {
  const std::optional<std::string> bytes = bytesOfHex(hex);
  if (!bytes || (bytes->size() != 32 && bytes->size() != 20)) {
    return absl::InvalidArgumentError(
        "not a digest: expected 64 (sha256) or 40 (git sha1) lower-case hex digits");
  }
  return fromBytes(bytes->size() == 32 ? HashAlgorithm::kSha256 : HashAlgorithm::kGitSha1,
                   {reinterpret_cast<const uint8_t*>(bytes->data()), bytes->size()});
}

absl::StatusOr<BlobId> BlobId::parse(absl::string_view text) {
  for (const auto& [prefix, digits] : {std::pair<absl::string_view, size_t>{"sha256:", 64},
                                       std::pair<absl::string_view, size_t>{"git-sha1:", 40}}) {
    if (!absl::StartsWith(text, prefix)) continue;
    text.remove_prefix(prefix.size());
    if (text.size() != digits) {
      return absl::InvalidArgumentError(
          absl::StrCat("not a digest: ", prefix, " is followed by ", digits, " hex digits"));
    }
    break;
  }
  return parseHex(text);
}

absl::StatusOr<BlobId> BlobId::fromBytes(HashAlgorithm algorithm,
                                         absl::Span<const uint8_t> digest) {
  if (algorithm != HashAlgorithm::kSha256 && algorithm != HashAlgorithm::kGitSha1) {
    return absl::InvalidArgumentError("unknown hash algorithm");
  }
  if (digest.size() != digestBytes(algorithm)) {
    return absl::InvalidArgumentError("digest has the wrong length");
  }
  BlobId id;
  id.algorithm_ = algorithm;
  std::copy(digest.begin(), digest.end(), id.bytes_.begin());
  return id;
}

absl::Span<const uint8_t> BlobId::digest() const {
  return absl::MakeConstSpan(bytes_.data(), digestBytes(algorithm_));
}

std::string BlobId::hex() const {
  return hexOf(digest());
}

std::string BlobId::toString() const {
  return absl::StrCat(algorithm_ == HashAlgorithm::kSha256 ? "sha256:" : "git-sha1:", hex());
}

std::string BlobId::shortHex() const {
  return hex().substr(0, 12);
}

}  // namespace roost
