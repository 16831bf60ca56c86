#include "node/repo_publication.h"

#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "protocol/errors.h"

namespace roost {
namespace {

// A hard link changed the ctime of the file it names; a copy is a new file with the same content.
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

}  // namespace

std::vector<BlobToLink> blobsToLink(const Inventory& inventory, RootIndex target,
                                    const Listing& listing) {
  std::vector<BlobToLink> links;
  std::set<BlobId> seen;
  for (const FileEntry& file : listing.files) {
    if (!seen.insert(file.blob.id).second) continue;
    if (inventory.findIn(target, listing.repo, file.blob.id)) continue;
    if (const auto copy = inventory.find(file.blob.id); copy && copy->trust != Trust::kUnknown) {
      links.push_back({file.blob, *copy});
    }
  }
  return links;
}

absl::Status publishRepo(const HubPublisher& publisher, const PublishRepo& order,
                         const std::vector<BlobToLink>& links, IndexQueue& index) {
  const RepoId& repo = order.listing.repo;
  for (const BlobToLink& link : links) {
    auto linked =
        publisher.linkFrom(repo, link.blob, {link.copy.path, link.copy.stamp, link.copy.inBlobs});
    if (!linked.ok()) return linked.status();
    rememberLink(index, link.copy.stamp, linked->stamp, link.blob.id);
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
  return absl::OkStatus();
}

}  // namespace roost
