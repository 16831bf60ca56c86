// The place where a blob will become visible: a folder (blobs/ of a repo) and the name in it. And
// the way a finished temporary of that folder gets there.
//
// Threads: any; blocking. Errors: errnoStatus().
#ifndef ROOST_CACHE_BLOB_SLOT_H_
#define ROOST_CACHE_BLOB_SLOT_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cache/file_stamp.h"
#include "cache/piece_hash.h"
#include "cache/safe_dir.h"
#include "protocol/blob_id.h"
#include "protocol/node_id.h"

namespace roost {

struct BlobSlot {
  SafeDir folder;
  BlobInfo blob;  // its hex is the name in the folder

  std::string name() const { return blob.id.hex(); }
  std::string path() const { return folder.pathOf(name()); }
  // "<etag>.<8 hex of the node>.roost-part": next to the final name, so rename works; not
  // "*.incomplete", which clients count and prune.
  std::string temporaryName(const NodeId& node) const;
};

inline constexpr absl::string_view kTemporarySuffix = ".roost-part";

enum class PublishOutcome : uint8_t {
  kPublished,      // our file has the name now
  kAlreadyThere,   // the same content had it before; our file is gone
  kReplacedWrong,  // a file of other content had it; it was replaced. Worth a report
};

struct PublishedBlob {
  PublishOutcome outcome = PublishOutcome::kPublished;
  FileStamp stamp;  // of the file that has the name now
};

// The file that has the final name, if its content is right by `pieces`.
absl::StatusOr<std::optional<PublishedBlob>> publishedAlready(const BlobSlot& slot,
                                                              const std::vector<PieceHash>& pieces);

// Gives a synced, verified temporary its final name and syncs the folder. Never overwrites a file
// whose content is right by `pieces` (empty: one of the right size counts as right).
absl::StatusOr<PublishedBlob> publishTemporary(const BlobSlot& slot, const std::string& temporary,
                                               const std::vector<PieceHash>& pieces);

}  // namespace roost

#endif  // ROOST_CACHE_BLOB_SLOT_H_
