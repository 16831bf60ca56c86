// Hashes content in one pass: the identity that the hub uses, our own sha256, and an XXH3-128 per
// 1 MiB piece (design: "one pass"). SHA by OpenSSL EVP, which uses the CPU's SHA instructions.
//
// Threads: an object belongs to one thread at a time; hashFile() blocks, call it on a work thread.
#ifndef ROOST_CACHE_HASHER_H_
#define ROOST_CACHE_HASHER_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "cache/file_stamp.h"
#include "cache/piece_hash.h"
#include "protocol/blob_id.h"

namespace roost {

// The identity of content that arrives in order. A git sha1 needs the size beforehand, a sha256
// does not.
class BlobDigest {
 public:
  struct Result {
    BlobId id;
    Sha256 sha256;  // of the content alone; equal to the id's digest where that is a sha256
  };

  BlobDigest(HashAlgorithm algorithm, std::optional<uint64_t> size);
  BlobDigest(BlobDigest&&) noexcept;
  BlobDigest& operator=(BlobDigest&&) noexcept;
  ~BlobDigest();

  // Must not go past the size.
  void update(absl::Span<const uint8_t> bytes);
  uint64_t hashed() const { return hashed_; }  // bytes so far

  // Once, after exactly `size` bytes, if that was told.
  Result finish();

 private:
  struct Contexts;
  HashAlgorithm algorithm_;
  std::optional<uint64_t> size_;
  uint64_t hashed_ = 0;
  std::unique_ptr<Contexts> contexts_;
};

struct BlobHashes {
  BlobId id;  // what the content is, whatever its name says
  Sha256 sha256;
  std::vector<PieceHash> pieces;  // pieceCount(size) of them
};

// BlobDigest and the piece hashes together.
class BlobHasher {
 public:
  BlobHasher(HashAlgorithm algorithm, std::optional<uint64_t> size);

  void update(absl::Span<const uint8_t> bytes);  // in order, any lengths
  uint64_t hashed() const { return digest_.hashed(); }
  BlobHashes finish();

 private:
  BlobDigest digest_;
  PieceHasher piece_;
  std::vector<PieceHash> pieces_;
};

struct HashOptions {
  // Set by another thread to end the work with kCancelled within one piece. May be null.
  const std::atomic<bool>* cancelled = nullptr;
  // Bytes hashed so far are added here as they are hashed. May be null.
  std::atomic<uint64_t>* progress = nullptr;
  // Background work: pages that were not in the page cache before are dropped behind the read.
  bool leavePageCacheAlone = false;
};

struct FileHashes {
  BlobHashes hashes;
  FileStamp stamp;  // before and after hashing
  bool settled =
      false;  // the stamp was old enough when hashing began for the hash to be remembered
};

// Hashes an open file of exactly `expected.size` bytes with the algorithm of `expected.id`. Whether
// `hashes.id == expected.id` is for the caller to see: a wrong content is not an error of hashing.
// `name` is for error texts. Errors: kDataLoss if the file has another size (or the disk cannot
// read it), kAborted if it changed meanwhile, kCancelled.
absl::StatusOr<FileHashes> hashFile(int fd, const std::string& name, const BlobInfo& expected,
                                    const HashOptions& options);

}  // namespace roost

#endif  // ROOST_CACHE_HASHER_H_
