// Puts one blob on the disk: reserve → temporary next to its final place → pieces in any order,
// hashed as they come → whole-file hash → fsync → publish under the final name. Whatever happens in
// between, also kill -9, leaves nothing under the final name.
//
// With a journal folder the pieces that arrived are remembered, and the next writer of the same
// blob into the same folder goes on from them. Each is read and compared before it counts.
//
// Threads: one at a time (a SerialQueue), except readPiece(), has(), prefixBytes() and missing():
// any thread, at any time. All blocking. Errors: kResourceExhausted no room; kAborted another
// writer has the temporary; kDataLoss the content is not the blob; errnoStatus().
#ifndef ROOST_CACHE_BLOB_WRITER_H_
#define ROOST_CACHE_BLOB_WRITER_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "cache/blob_slot.h"
#include "cache/disk_space.h"
#include "cache/hasher.h"
#include "cache/piece_hash.h"
#include "protocol/blob_id.h"
#include "protocol/node_id.h"

namespace roost {

class BlobWriter {
 public:
  struct Options {
    NodeId node;
    // <state>/partial; empty: nothing is remembered (small blobs).
    std::string journalFolder;
    // Ends the check of a long temporary with kCancelled. May be null.
    const std::atomic<bool>* cancelled = nullptr;
  };

  static absl::StatusOr<std::unique_ptr<BlobWriter>> open(
      BlobSlot slot, Options options, const std::shared_ptr<Reservations>& reservations);

  // Removes the temporary unless it was published or keepPartial() was called.
  ~BlobWriter();
  BlobWriter(const BlobWriter&) = delete;
  BlobWriter& operator=(const BlobWriter&) = delete;

  const BlobInfo& blob() const;

  // A whole piece (pieceBytes() of it). One that is there already is left as it is.
  absl::Status write(uint64_t piece, absl::Span<const uint8_t> bytes);

  bool has(uint64_t piece) const;
  std::vector<uint64_t> present() const;  // pieces, ascending
  std::vector<uint64_t> missing() const;  // pieces, ascending
  uint64_t prefixBytes() const;           // bytes from 0 on without a gap
  // For peers, while the blob is still being written. Fills `buffer` (at least pieceBytes()) and
  // returns the count. kNotFound if the piece is not there yet, kDataLoss if the disk gave back
  // other bytes than were written.
  absl::StatusOr<size_t> readPiece(uint64_t piece, absl::Span<uint8_t> buffer) const;

  // What was received; entries of missing pieces are zero.
  std::vector<PieceHash> pieceHashes() const;

  // All pieces are there: compares the whole-file hash and syncs the file. kDataLoss: it is not the
  // blob (pieceHashes() says what came); restart() or let go.
  absl::StatusOr<BlobHashes> finish();
  // After finish().
  absl::StatusOr<PublishedBlob> publish();

  // The received bytes were wrong: forgets all pieces, keeps the temporary and its room.
  absl::Status restart();
  // The destructor leaves temporary and journal for a later resume.
  void keepPartial();

 private:
  struct Parts;
  explicit BlobWriter(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace roost

#endif  // ROOST_CACHE_BLOB_WRITER_H_
