// Puts one blob on the disk: reserve → temporary next to its final place → pieces in any order,
// hashed as they come → whole-file hash → fsync → publish under the final name. Whatever happens in
// between, also kill -9, leaves nothing under the final name.
//
// With a journal folder the pieces that arrived are remembered, and the next writer of the same
// blob into the same folder goes on from them. Each is read and compared before it counts.
//
// While a client of this node downloads the same blob into the same folder (share()), its file
// takes the temporary's place piece by piece, and at the end altogether (adopt()): so the blob is
// written once, by the client.
//
// Threads: one at a time (a SerialQueue), except hash(), readPiece(), has(), prefixBytes(),
// missing(), pieceHashes() and lost(): any thread, at any time. All blocking. Errors:
// kResourceExhausted no room; kAborted another writer has the temporary; kDataLoss the content is
// not the blob; errnoStatus().
#ifndef ROOST_CACHE_BLOB_WRITER_H_
#define ROOST_CACHE_BLOB_WRITER_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "cache/blob_slot.h"
#include "cache/client_copy.h"
#include "cache/disk_space.h"
#include "cache/hasher.h"
#include "cache/holder_file.h"
#include "cache/memory_room.h"
#include "cache/page_cache_room.h"
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
    // A client is at work on the same blob: begin with share(true).
    bool shared = false;
    // For pieces that wait to be seen in a client's file. Null: they wait on the disk.
    std::shared_ptr<MemoryRoom> memory = nullptr;
    // What finds no room here is dropped from the page cache. Null: all stays.
    std::shared_ptr<PageCacheRoom> pages = nullptr;
  };

  static absl::StatusOr<std::unique_ptr<BlobWriter>> open(
      BlobSlot slot, Options options, const std::shared_ptr<Reservations>& reservations);

  // As close(false), if it was not closed.
  ~BlobWriter();
  BlobWriter(const BlobWriter&) = delete;
  BlobWriter& operator=(const BlobWriter&) = delete;

  const BlobInfo& blob() const;

  // A whole piece (pieceBytes() of it). One that is there already is left as it is.
  absl::Status write(uint64_t piece, absl::Span<const uint8_t> bytes);
  // The same in parts, so that a piece is hashed while the next one is written: store() each piece,
  // then hash() it with what store() returned, and where that says true, catchUp(). All that was
  // stored has been through this before finish().
  struct Stored {
    uint64_t attempt = 0;  // restarts before it
    bool taken = true;     // false: the piece was there already
  };
  absl::StatusOr<Stored> store(uint64_t piece, absl::Span<const uint8_t> bytes);
  bool hash(uint64_t piece, absl::Span<const uint8_t> bytes, const Stored& stored);
  absl::Status catchUp();  // reads back what came before its turn
  // There was a restart since: the piece is not there any more.
  bool forgot(const Stored& stored) const;

  // As store(), from a file on the same file system; fills `buffer`, of the piece's length, for
  // hash(). kFailedPrecondition: the file has not what its holder knows; nothing has changed.
  absl::StatusOr<Stored> copy(uint64_t piece, const HolderFile& from, absl::Span<uint8_t> buffer);

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

  // ---- Beside a client that writes the same blob.
  // From now on what arrives waits in memory while there is room, and no disk space is kept for the
  // rest; false: back to the disk, as without a client.
  void share(bool shared);
  bool shared() const;
  // The client's file. Left as it is if pieces lie in another one.
  void follow(ClientCopy copy);
  const ClientCopy* client() const;  // the file that is followed; may be null
  // Compares what the client's file has of the hashed pieces, and gives up our own copy of those.
  // Returns how many pieces from 0 on lie there.
  uint64_t settle();
  // A client's file has lost what was seen in it: pieces are missing that has() calls present.
  bool lost() const;
  // Brings all pieces back into the temporary. kAborted: lost().
  absl::Status gather();

  // All pieces are there: compares the whole-file hash. kDataLoss: it is not the blob
  // (pieceHashes() says what came); restart() or let go.
  absl::StatusOr<BlobHashes> finish();
  // After finish(): the file that has the final name, if it is the blob; the temporary is gone
  // then. Nullopt: there is none, or a wrong one.
  absl::StatusOr<std::optional<PublishedBlob>> adopt();
  // After finish(). Gathers and syncs first what needs it.
  absl::StatusOr<PublishedBlob> publish();

  // The received bytes were wrong: forgets all pieces, keeps the temporary and its room.
  absl::Status restart();
  // The end, unless it was published: removes the temporary, or leaves it and its journal for a
  // later resume, if any piece is there. Nothing is stored afterwards.
  void close(bool keepPartial);

 private:
  struct Parts;
  explicit BlobWriter(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace roost

#endif  // ROOST_CACHE_BLOB_WRITER_H_
