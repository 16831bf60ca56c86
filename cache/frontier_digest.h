// The hash of a blob whose pieces come in any order. Pieces are hashed in order: the next one from
// the memory in which it arrived, one that came before its turn later, when the caller has read it
// back.
//
// So that hashing goes beside writing, each piece is stored first and then offered here, on another
// thread: while piece n is hashed, piece n + 1 is written.
//
// Threads: any; one piece is hashed at a time. frontier() and attempt() never wait for that.
#ifndef ROOST_CACHE_FRONTIER_DIGEST_H_
#define ROOST_CACHE_FRONTIER_DIGEST_H_

#include <atomic>
#include <cstdint>
#include <mutex>
#include <optional>

#include "absl/container/flat_hash_set.h"
#include "absl/types/span.h"
#include "cache/hasher.h"
#include "protocol/blob_id.h"

namespace roost {

class FrontierDigest {
 public:
  explicit FrontierDigest(const BlobInfo& blob);

  // Pieces from 0 on that are hashed.
  uint64_t frontier() const { return frontier_; }
  // Counts restarts: what was stored for an earlier attempt is no longer the blob's.
  uint64_t attempt() const { return attempt_; }

  // A piece that is stored, with its bytes. True: one that came early follows it. A piece that is
  // known is passed over, and one of an earlier attempt.
  bool offer(uint64_t piece, absl::Span<const uint8_t> bytes, uint64_t attempt);
  // The piece at the frontier, if it came early: read back, it is to be offered again.
  std::optional<uint64_t> nextEarly() const;

  // All pieces are hashed. The same answer each time.
  const BlobDigest::Result& finish();
  // Forgets all pieces.
  void restart();

 private:
  const BlobInfo blob_;
  std::atomic<uint64_t> frontier_ = 0;
  std::atomic<uint64_t> attempt_ = 0;
  mutable std::mutex mutex_;  // guards the rest, and both counters against writers
  BlobDigest digest_;
  std::optional<BlobDigest::Result> result_;
  absl::flat_hash_set<uint64_t> early_;
};

}  // namespace roost

#endif  // ROOST_CACHE_FRONTIER_DIGEST_H_
