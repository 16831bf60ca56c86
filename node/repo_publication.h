// Makes one repo visible in a hub cache, from blobs that lie on this node: links what lies
// elsewhere, then snapshots, then the list of files, then refs.
//
// Threads: publishRepo() blocks, one call at a time. Errors: HubPublisher's; kInternal if something
// else has a file's name.
#ifndef ROOST_NODE_REPO_PUBLICATION_H_
#define ROOST_NODE_REPO_PUBLICATION_H_

#include <vector>

#include "absl/status/statusor.h"
#include "cache/hub_publisher.h"
#include "cache/inventory.h"
#include "cluster/core.h"
#include "node/index_queue.h"

namespace roost {

// A verified blob of another folder of this node that the repo needs too.
struct BlobToLink {
  BlobInfo blob;
  LocalCopy copy;
};

// What the repo's folder in `target` lacks of the listing and this node has elsewhere, verified.
std::vector<BlobToLink> blobsToLink(const Inventory& inventory, RootIndex target,
                                    const Listing& listing);
// What of that is not verified yet.
std::vector<BlobId> blobsToVerify(const Inventory& inventory, RootIndex target,
                                  const Listing& listing);

// What was linked or copied, and is as right as what it was made of.
struct LinkedHere {
  BlobId blob;
  FileStamp stamp;
  Sha256 sha256{};
};

// What the index knows of a verified file holds under its new stamp: a hard link or a rename
// changed the ctime; a copy is a new file with the same content.
void rememberLink(IndexQueue& queue, const FileStamp& before, const FileStamp& after,
                  const BlobId& blob);

// mayCopy: what cannot be shared is copied, else kFailedPrecondition.
absl::StatusOr<std::vector<LinkedHere>> publishRepo(const HubPublisher& publisher,
                                                    const PublishRepo& order,
                                                    const std::vector<BlobToLink>& links,
                                                    bool mayCopy, IndexQueue& index);

}  // namespace roost

#endif  // ROOST_NODE_REPO_PUBLICATION_H_
