// Puts content on the disk whose hash nobody told beforehand, as it comes: reserve → temporary in
// blobs/ → bytes in order, hashed as they come → fsync → published under its own sha256. Whatever
// happens in between, also kill -9, leaves nothing under a final name.
//
// Where the hash is known beforehand, BlobWriter is the one to use: it verifies.
//
// Threads: one at a time; blocking, the destructor too. Errors: kResourceExhausted no room;
// kDataLoss another length than was announced; errnoStatus().
#ifndef ROOST_CACHE_UNNAMED_WRITER_H_
#define ROOST_CACHE_UNNAMED_WRITER_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "cache/blob_slot.h"
#include "cache/disk_space.h"
#include "cache/hasher.h"
#include "cache/safe_dir.h"
#include "cache/unique_fd.h"
#include "protocol/node_id.h"

namespace roost {

class UnnamedWriter {
 public:
  struct Written {
    BlobInfo blob;
    std::string path;
    PublishedBlob published;
    BlobHashes hashes;
  };

  // `folder` is blobs/ of a repo. `size`: in bytes, as announced; none: it shows at the end, and
  // room is reserved as it comes.
  static absl::StatusOr<std::unique_ptr<UnnamedWriter>> open(
      SafeDir folder, const NodeId& node, std::optional<uint64_t> size,
      std::shared_ptr<Reservations> reservations);

  // Removes the temporary unless it was published.
  ~UnnamedWriter();
  UnnamedWriter(const UnnamedWriter&) = delete;
  UnnamedWriter& operator=(const UnnamedWriter&) = delete;

  absl::Status write(absl::Span<const uint8_t> bytes);
  // Once, when all bytes are there.
  absl::StatusOr<Written> publish();

 private:
  UnnamedWriter(SafeDir folder, std::string temporary, UniqueFd file, std::optional<uint64_t> size,
                std::shared_ptr<Reservations> reservations);
  absl::Status reserve(uint64_t bytes);

  const SafeDir folder_;
  const std::string temporary_;
  const UniqueFd file_;
  const std::optional<uint64_t> size_;
  const std::shared_ptr<Reservations> reservations_;
  Reservation reservation_;
  BlobHasher hasher_;
  bool published_ = false;
};

}  // namespace roost

#endif  // ROOST_CACHE_UNNAMED_WRITER_H_
