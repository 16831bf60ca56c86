// A complete blob of this node, open for serving. What leaves has been compared: with the stamp of
// the file that was verified, and piece by piece with the hashes of that time. Rot does not leave.
//
// Threads: any, at once (reads have their own offsets). tryRead() never blocks; the others may.
#ifndef ROOST_CACHE_LOCAL_BLOB_H_
#define ROOST_CACHE_LOCAL_BLOB_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "cache/file_stamp.h"
#include "cache/piece_hash.h"
#include "cache/unique_fd.h"
#include "protocol/blob_id.h"

namespace roost {

class LocalBlob {
 public:
  // Opens for reading (symlinks are followed: a blob may lie in the client's shared store).
  // kAborted if the file is not the one of `expected` any more. `pieces` may be null (the blob is
  // not verified yet): then pieces are not compared.
  static absl::StatusOr<std::shared_ptr<const LocalBlob>> open(
      const std::string& path, const BlobInfo& blob, const FileStamp& expected,
      std::shared_ptr<const std::vector<PieceHash>> pieces);

  const BlobInfo& blob() const { return blob_; }
  const std::string& path() const { return path_; }
  int fd() const { return fd_.get(); }  // for sendfile
  // One for each piece, or null if the blob is not verified yet.
  const std::vector<PieceHash>* pieces() const { return pieces_.get(); }

  // Fills the buffer from `offset`; the range must lie within the blob. tryRead() answers false if
  // that would wait for a disk: take read() on a work thread then. If the range is exactly one
  // piece it is compared with its hash, and the end of the blob also compares the stamp.
  // kDataLoss: the copy is rotten or was cut short; withdraw it. kAborted: the file was changed.
  absl::StatusOr<bool> tryRead(uint64_t offset, absl::Span<uint8_t> buffer) const;
  // keepCached: whether the pages may stay in the page cache.
  absl::Status read(uint64_t offset, absl::Span<uint8_t> buffer, bool keepCached = true) const;

  // Compares the open file with the stamp: before the last bytes of a sendfile.
  absl::Status checkUnchanged() const;

 private:
  LocalBlob(UniqueFd fd, std::string path, const BlobInfo& blob, const FileStamp& expected,
            std::shared_ptr<const std::vector<PieceHash>> pieces);
  absl::Status checkRead(uint64_t offset, absl::Span<const uint8_t> bytes) const;

  UniqueFd fd_;
  bool inMemory_;  // a file of tmpfs
  std::string path_;
  BlobInfo blob_;
  FileStamp expected_;
  std::shared_ptr<const std::vector<PieceHash>> pieces_;
};

}  // namespace roost

#endif  // ROOST_CACHE_LOCAL_BLOB_H_
