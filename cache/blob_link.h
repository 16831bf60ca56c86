// Puts a verified blob that already lies elsewhere on this node under a second name: hard link,
// reflink or copy, whichever shares most.
//
// Threads: any; blocking. Errors: kAborted the source changed since it was verified; kDataLoss a
// copy turned out not to be the blob; kFailedPrecondition only a copy would do, and none is wanted;
// kResourceExhausted; errnoStatus().
#ifndef ROOST_CACHE_BLOB_LINK_H_
#define ROOST_CACHE_BLOB_LINK_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "cache/blob_slot.h"
#include "cache/disk_space.h"
#include "cache/file_stamp.h"
#include "protocol/node_id.h"

namespace roost {

enum class LinkOutcome : uint8_t { kHardLink, kReflink, kCopy, kAlreadyThere };

struct LinkedBlob {
  LinkOutcome outcome = LinkOutcome::kAlreadyThere;
  FileStamp stamp;  // of the blob under its new name (a hard link changed the source's ctime too)
};

struct LinkSource {
  std::string path;
  FileStamp stamp;          // when it was verified
  bool inHubBlobs = false;  // in a blobs/ folder, where clients replace files but never write into
                            // them: only such a file may be shared by a hard link
  bool mayCopy = true;      // false: shared or not at all
};

absl::StatusOr<LinkedBlob> linkBlob(const BlobSlot& slot, const LinkSource& source,
                                    const NodeId& node,
                                    const std::shared_ptr<Reservations>& reservations);

// The plain copy: read, hashed, compared, published. `file` has the content, `name` is for errors.
absl::StatusOr<PublishedBlob> copyBlob(const BlobSlot& slot, int file, const std::string& name,
                                       const NodeId& node,
                                       const std::shared_ptr<Reservations>& reservations);

}  // namespace roost

#endif  // ROOST_CACHE_BLOB_LINK_H_
