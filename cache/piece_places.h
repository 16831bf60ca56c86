// Where the pieces of a blob that is being written lie: in the writer's temporary on the disk, in
// memory, or in a client's own file.
//
// While a client of this node writes the same blob into the same cache, a second copy on the disk
// would be written only to be thrown away. So what arrives then waits in memory, as far as there is
// room, and is let go of as soon as it is seen in the client's file, from where it is read from
// then on. A piece on the disk that the client has too gives its blocks back.
//
// Threads: read() any; all else one at a time. Blocking. Callers compare what they read: a client's
// file may change. Errors: errnoStatus(), kDataLoss for a file that ends early.
#ifndef ROOST_CACHE_PIECE_PLACES_H_
#define ROOST_CACHE_PIECE_PLACES_H_

#include <cstdint>
#include <memory>
#include <shared_mutex>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "cache/client_copy.h"
#include "cache/memory_room.h"
#include "cache/unique_fd.h"

namespace roost {

enum class PiecePlace : uint8_t { kNowhere, kDisk, kMemory, kClient };

class PiecePlaces {
 public:
  // `disk` stays open while this lives. `memory` null: nothing is kept there.
  PiecePlaces(uint64_t size, int disk, std::string diskPath, std::shared_ptr<MemoryRoom> memory);
  ~PiecePlaces();
  PiecePlaces(const PiecePlaces&) = delete;
  PiecePlaces& operator=(const PiecePlaces&) = delete;

  PiecePlace at(uint64_t piece) const;
  bool allOnDisk() const;

  absl::Status writeToDisk(uint64_t piece, absl::Span<const uint8_t> bytes);
  // Copies the piece from the same offset of another file. It does not count as being here before
  // foundOnDisk(): somebody may change that file.
  absl::Status copyToDisk(uint64_t piece, int from, const std::string& fromPath);
  // False: there is no room.
  absl::StatusOr<bool> writeToMemory(uint64_t piece, absl::Span<const uint8_t> bytes);
  void foundOnDisk(uint64_t piece);  // from before a restart, or copied

  // Fills `buffer`, which has the piece's length, and says from where.
  absl::StatusOr<PiecePlace> read(uint64_t piece, absl::Span<uint8_t> buffer) const;

  // Pieces are settled in this file from now on.
  void setClient(ClientCopy copy);
  void letClientGo();  // no piece lies there
  const ClientCopy* client() const { return client_ ? &*client_ : nullptr; }
  // Fills `buffer` from the client's file, wherever the piece lies.
  absl::Status readFromClient(uint64_t piece, absl::Span<uint8_t> buffer) const;
  // The piece was seen there: what held it here is given back.
  void settle(uint64_t piece);

  // Gives back the disk blocks of pieces that do not lie there.
  void trimDisk();
  void forgetAll();

 private:
  void drop(uint64_t piece, PiecePlace from);
  void punch(int fd, uint64_t first, uint64_t end) const;

  const uint64_t size_;
  const int disk_;
  const std::string diskPath_;
  const std::shared_ptr<MemoryRoom> room_;
  UniqueFd memory_;  // as large as the blob, with holes
  std::optional<ClientCopy> client_;
  // Held while a piece is read, so that it is not taken away meanwhile.
  mutable std::shared_mutex mutex_;
  std::vector<PiecePlace> places_;
};

}  // namespace roost

#endif  // ROOST_CACHE_PIECE_PLACES_H_
