// Which pieces of a half-written temporary have arrived, with their hashes: an append-only file in
// the state folder, so that a restart goes on where it was. It is only a hint: every piece is read
// and compared before it counts, so neither a torn tail nor bytes that never reached the disk
// matter.
//
// Format (this machine's byte order; never leaves it): a header {magic, algorithm, digest, size,
// length of the folder's path, check}, the path, then records {piece, XXH3-128, check}. A record
// whose check is wrong ends the file.
//
// Threads: one at a time; blocking. Errors: errnoStatus().
#ifndef ROOST_CACHE_PIECE_JOURNAL_H_
#define ROOST_CACHE_PIECE_JOURNAL_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cache/piece_hash.h"
#include "cache/unique_fd.h"
#include "protocol/blob_id.h"

namespace roost {

class PieceJournal {
 public:
  // "<digest>-<hash of the target folder>.journal"
  static std::string fileName(const BlobId& blob, const std::string& targetFolder);

  // Goes on with the journal of this blob and folder, or begins one. Makes the journal folder.
  static absl::StatusOr<PieceJournal> open(const std::string& journalFolder, const BlobInfo& blob,
                                           const std::string& targetFolder);

  // What was recorded when it was opened; the last record of a piece counts.
  const std::map<uint64_t, PieceHash>& recorded() const { return recorded_; }

  absl::Status append(uint64_t piece, const PieceHash& hash);
  absl::Status clear();   // forgets all records
  absl::Status remove();  // unlinks the file; nothing may follow

 private:
  PieceJournal(UniqueFd fd, std::string path, std::string header)
      : fd_(std::move(fd)), path_(std::move(path)), header_(std::move(header)) {}
  absl::Status load(uint64_t pieces);

  UniqueFd fd_;
  std::string path_;
  std::string header_;
  uint64_t end_ = 0;  // where the next record goes
  std::map<uint64_t, PieceHash> recorded_;
};

// The blob and folder that a journal file is about; nullopt if it is not a journal of this version.
struct JournalTarget {
  BlobInfo blob;
  std::string folder;
};
absl::StatusOr<std::optional<JournalTarget>> journalTarget(const std::string& path);

}  // namespace roost

#endif  // ROOST_CACHE_PIECE_JOURNAL_H_
