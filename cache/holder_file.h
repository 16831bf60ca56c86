// The file in which another agent holds a blob, where this node sees the same file system: pieces
// are then copied by the kernel (copy_file_range: shared blocks on XFS and btrfs, on the server of
// some network file systems) instead of going over a link.
//
// What a peer says of a place is a claim. The file has to be on the very file system that is
// written to, look as the peer says, and each piece has to have the hash that the peer knows
// (BlobWriter::copy): so nobody can have a file read here whose content he does not have.
//
// Threads: any. All of it may block as long as a disk does: a worker's job.
#ifndef ROOST_CACHE_HOLDER_FILE_H_
#define ROOST_CACHE_HOLDER_FILE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cache/local_blob.h"
#include "cache/piece_hash.h"
#include "cache/unique_fd.h"
#include "protocol/blob_id.h"

namespace roost {

struct FilePlace {
  std::string fileSystem;  // fileSystemNameOf() its folder
  std::string path;        // without symlinks
  uint64_t inode = 0;
  int64_t mtimeNs = 0;
  friend bool operator==(const FilePlace&, const FilePlace&) = default;
};

// For a peer. None: the blob is not verified, has moved, or its file system has no name.
std::optional<FilePlace> placeOf(const LocalBlob& blob);

class HolderFile {
 public:
  // `pieces`: as the holder knows them, one for each piece. `folder`: where the blob is written.
  // kFailedPrecondition: another file system, or not the file that was meant; errnoStatus().
  static absl::StatusOr<std::shared_ptr<const HolderFile>> open(const FilePlace& place,
                                                                const BlobInfo& blob,
                                                                std::vector<PieceHash> pieces,
                                                                const std::string& folder);
  int fd() const { return fd_.get(); }
  const std::string& path() const { return path_; }
  const PieceHash& pieceHash(uint64_t piece) const { return pieces_[piece]; }

 private:
  HolderFile(UniqueFd fd, std::string path, std::vector<PieceHash> pieces)
      : fd_(std::move(fd)), path_(std::move(path)), pieces_(std::move(pieces)) {}

  const UniqueFd fd_;
  const std::string path_;
  const std::vector<PieceHash> pieces_;
};

}  // namespace roost

#endif  // ROOST_CACHE_HOLDER_FILE_H_
