#include "cache/hasher.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <stdexcept>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "cache/evp_context.h"
#include "cache/file_io.h"
#include "protocol/errors.h"
#include "protocol/limits.h"

namespace roost {
namespace {

EvpContext started(const EVP_MD* algorithm) {
  EvpContext context(EVP_MD_CTX_new());
  mustSucceed(context != nullptr ? EVP_DigestInit_ex(context.get(), algorithm, nullptr) : 0);
  return context;
}

template <typename Digest>
Digest finished(EVP_MD_CTX* context) {
  Digest digest;
  unsigned length = 0;
  mustSucceed(EVP_DigestFinal_ex(context, digest.data(), &length));
  if (length != digest.size()) throw std::logic_error("digest of an unexpected length");
  return digest;
}

// What is read, then hashed by SHA and XXH3, while it is in the L2 cache.
constexpr uint64_t kHashStepBytes = 256 << 10;

}  // namespace

struct BlobDigest::Contexts {
  EvpContext sha256;
  EvpContext gitSha1;  // only for that algorithm
};

BlobDigest::BlobDigest(HashAlgorithm algorithm, std::optional<uint64_t> size)
    : algorithm_(algorithm), size_(size), contexts_(std::make_unique<Contexts>()) {
  contexts_->sha256 = started(EVP_sha256());
  if (algorithm == HashAlgorithm::kGitSha1) {
    contexts_->gitSha1 = started(EVP_sha1());
    std::string header = absl::StrCat("blob ", size.value());
    header.push_back('\0');
    mustSucceed(EVP_DigestUpdate(contexts_->gitSha1.get(), header.data(), header.size()));
  }
}

BlobDigest::BlobDigest(BlobDigest&&) noexcept = default;
BlobDigest& BlobDigest::operator=(BlobDigest&&) noexcept = default;
BlobDigest::~BlobDigest() = default;

void BlobDigest::update(absl::Span<const uint8_t> bytes) {
  if (size_ && bytes.size() > *size_ - hashed_)
    throw std::logic_error("more bytes than the blob has");
  mustSucceed(EVP_DigestUpdate(contexts_->sha256.get(), bytes.data(), bytes.size()));
  if (contexts_->gitSha1 != nullptr) {
    mustSucceed(EVP_DigestUpdate(contexts_->gitSha1.get(), bytes.data(), bytes.size()));
  }
  hashed_ += bytes.size();
}

BlobDigest::Result BlobDigest::finish() {
  if (size_ && hashed_ != *size_) throw std::logic_error("finish() before the last byte");
  const auto sha256 = finished<Sha256>(contexts_->sha256.get());
  if (algorithm_ == HashAlgorithm::kSha256) return {BlobId::sha256(sha256), sha256};
  return {BlobId::gitSha1(finished<GitSha1>(contexts_->gitSha1.get())), sha256};
}

BlobHasher::BlobHasher(HashAlgorithm algorithm, std::optional<uint64_t> size)
    : digest_(algorithm, size) {
  if (size) pieces_.reserve(pieceCount(*size));
}

void BlobHasher::update(absl::Span<const uint8_t> bytes) {
  while (!bytes.empty()) {
    const auto toPieceEnd = static_cast<size_t>(kPieceBytes - piece_.hashed());
    const auto step = bytes.first(std::min({bytes.size(), toPieceEnd, size_t{kHashStepBytes}}));
    digest_.update(step);
    piece_.update(step);
    if (piece_.hashed() == kPieceBytes) pieces_.push_back(piece_.finish());
    bytes.remove_prefix(step.size());
  }
}

BlobHashes BlobHasher::finish() {
  if (piece_.hashed() > 0) pieces_.push_back(piece_.finish());
  const BlobDigest::Result result = digest_.finish();
  return {result.id, result.sha256, std::move(pieces_)};
}

namespace {

// Reads `buffer.size()` bytes at `offset`. What was not in the page cache before is dropped from it
// afterwards, so that background hashing does not push out what others use.
absl::Status readBeside(int fd, const std::string& name, uint64_t offset,
                        absl::Span<uint8_t> buffer) {
  iovec vec{buffer.data(), buffer.size()};
  const ssize_t cached = ::preadv2(fd, &vec, 1, static_cast<off_t>(offset), RWF_NOWAIT);
  const size_t got = cached > 0 ? static_cast<size_t>(cached) : 0;
  if (got == buffer.size()) return absl::OkStatus();
  ROOST_RETURN_IF_ERROR(readFully(fd, name, offset + got, buffer.subspan(got)));
  dropCached(fd, offset + got, buffer.size() - got);
  return absl::OkStatus();
}

absl::Status sizeMismatch(const std::string& name, uint64_t is, uint64_t expected) {
  return absl::DataLossError(sentence(
      "cannot use " + name, absl::StrCat("it has ", is, " bytes, expected ", expected), ""));
}

}  // namespace

absl::StatusOr<FileHashes> hashFile(int fd, const std::string& name, const BlobInfo& expected,
                                    const HashOptions& options) {
  const absl::Time began = absl::Now();
  ROOST_ASSIGN_OR_RETURN(const FileStamp before, FileStamp::ofFd(fd, name));
  if (before.size != expected.size) return sizeMismatch(name, before.size, expected.size);

  // Read-ahead would fill the page cache with pages that then look as if others had wanted them.
  ::posix_fadvise(fd, 0, 0,
                  options.leavePageCacheAlone ? POSIX_FADV_RANDOM : POSIX_FADV_SEQUENTIAL);
  BlobHasher hasher(expected.id.algorithm(), expected.size);
  std::vector<uint8_t> buffer(static_cast<size_t>(std::min(expected.size, kHashStepBytes)));
  while (hasher.hashed() < expected.size) {
    if (options.cancelled != nullptr && options.cancelled->load(std::memory_order_relaxed)) {
      return absl::CancelledError("hashing of " + name + " was cancelled");
    }
    const uint64_t offset = hasher.hashed();
    const auto chunk = absl::MakeSpan(buffer).first(
        static_cast<size_t>(std::min<uint64_t>(buffer.size(), expected.size - offset)));
    ROOST_RETURN_IF_ERROR(options.leavePageCacheAlone ? readBeside(fd, name, offset, chunk)
                                                      : readFully(fd, name, offset, chunk));
    hasher.update(chunk);
    if (options.progress != nullptr) options.progress->fetch_add(chunk.size());
  }

  ROOST_ASSIGN_OR_RETURN(const FileStamp after, FileStamp::ofFd(fd, name));
  if (after != before) {
    return absl::AbortedError(sentence("cannot hash " + name, "it changed meanwhile", "Try again"));
  }
  return FileHashes{hasher.finish(), after, after.settled(began)};
}

}  // namespace roost
