#include "node/repo_publication.h"

#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "protocol/errors.h"

namespace roost {
namespace {

// What the repo's folder in `target` lacks of the listing and this node has elsewhere.
std::vector<BlobToLink> blobsElsewhere(const Inventory& inventory, RootIndex target,
                                       const Listing& listing) {
  std::vector<BlobToLink> found;
  std::set<BlobId> seen;
  for (const FileEntry& file : listing.files) {
    if (!seen.insert(file.blob.id).second) continue;
    if (inventory.findIn(target, listing.repo, file.blob.id)) continue;
    if (const auto copy = inventory.find(file.blob.id)) found.push_back({file.blob, *copy});
  }
  return found;
}

}  // namespace

void rememberLink(IndexQueue& queue, const FileStamp& before, const FileStamp& after,
                  const BlobId& blob) {
  (void)queue.submit([before, after, blob](Index& index) {
    const auto pieces = index.pieces(before);
    const auto record = index.trustRecord(before);
    if (!pieces.ok() || !record.ok() || !*record) return;
    TrustRecord moved = **record;
    moved.stamp = after;
    moved.claimed = blob;
    (void)index.rememberTrust(moved, *pieces);
  });
}

std::vector<BlobToLink> blobsToLink(const Inventory& inventory, RootIndex target,
                                    const Listing& listing) {
  std::vector<BlobToLink> links;
  for (const BlobToLink& blob : blobsElsewhere(inventory, target, listing)) {
    if (blob.copy.trust != Trust::kUnknown) links.push_back(blob);
  }
  return links;
}

std::vector<BlobId> blobsToVerify(const Inventory& inventory, RootIndex target,
                                  const Listing& listing) {
  std::vector<BlobId> unknown;
  for (const BlobToLink& blob : blobsElsewhere(inventory, target, listing)) {
    if (blob.copy.trust == Trust::kUnknown) unknown.push_back(blob.blob.id);
  }
  return unknown;
}

absl::StatusOr<std::vector<LinkedHere>> publishRepo(const HubPublisher& publisher,
                                                    const PublishRepo& order,
                                                    const std::vector<BlobToLink>& links,
                                                    bool mayCopy, IndexQueue& index) {
  const RepoId& repo = order.listing.repo;
  std::vector<LinkedHere> made;
  for (const BlobToLink& link : links) {
    auto linked = publisher.linkFrom(repo, link.blob,
                                     {link.copy.path, link.copy.stamp, link.copy.inBlobs, mayCopy});
    if (!linked.ok()) return linked.status();
    if (linked->outcome == LinkOutcome::kAlreadyThere) continue;  // somebody else's
    rememberLink(index, link.copy.stamp, linked->stamp, link.blob.id);
    made.push_back({link.blob.id, linked->stamp, link.copy.sha256});
  }
  ROOST_ASSIGN_OR_RETURN(const PublishedFiles files,
                         publisher.publishFiles(repo, order.listing.commit, order.listing.files));
  if (!files.conflicts.empty()) {
    return absl::InternalError(
        sentence(absl::StrCat("cannot show ", repo.toString(), " ", files.conflicts.front().text()),
                 "something else has that name in the snapshot", "Remove it and try again."));
  }
  if (order.listing.complete) {
    Listing manifest = order.listing;
    manifest.files.insert(manifest.files.end(), order.manifestOnly.begin(),
                          order.manifestOnly.end());
    ROOST_RETURN_IF_ERROR(normalize(manifest));
    ROOST_RETURN_IF_ERROR(publisher.publishTree(manifest).status());
  }
  for (const RefState& ref : order.refs) {
    ROOST_RETURN_IF_ERROR(publisher.publishRef(repo, ref).status());
  }
  return made;
}

}  // namespace roost
