// Makes verified content visible in a hub cache, as huggingface_hub itself would have written it:
// blobs → snapshots → trees → refs, in this order, so that at no moment a client sees a name whose
// content is missing. Layout: docs/internals/clients.md, and
// https://huggingface.co/docs/hub/local-cache.
//
// Creates in the hub root nothing but repo folders and .locks: anything else there is a warning in
// `hf cache ls`.
//
// Threads: any, one call at a time for one repo; blocking. Errors: errnoStatus();
// kPermissionDenied for symlinks where folders belong.
#ifndef ROOST_CACHE_HUB_PUBLISHER_H_
#define ROOST_CACHE_HUB_PUBLISHER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "cache/blob_link.h"
#include "cache/blob_slot.h"
#include "cache/disk_space.h"
#include "cache/safe_dir.h"
#include "cache/snapshot_files.h"
#include "protocol/manifest.h"
#include "protocol/names.h"
#include "protocol/node_id.h"

namespace roost {

enum class RefOutcome : uint8_t {
  kWritten,
  kUnchanged,  // it says so already
  kLeftAlone,  // the local ref is newer, or it is not known which one is
};

enum class TreeOutcome : uint8_t {
  kWritten,
  kUnchanged,  // there is one already
  kSkipped,  // the listing is not complete, or an LFS file's pointer or a file's hash is not known
};

class HubPublisher {
 public:
  // `root` is the hub cache folder; it must exist. `node` names temporaries.
  static absl::StatusOr<HubPublisher> open(const std::string& root, const NodeId& node,
                                           std::shared_ptr<Reservations> reservations);

  const SafeDir& root() const { return root_; }

  // blobs/ of this repo. Makes the repo's folder with refs/ and snapshots/ too.
  absl::StatusOr<SafeDir> blobsOf(const RepoId& repo) const;
  // Where the blob belongs in this repo. Makes the repo's folder with blobs/, refs/, snapshots/.
  absl::StatusOr<BlobSlot> blobSlot(const RepoId& repo, const BlobInfo& blob) const;

  // Puts a verified blob of another folder of this node under its name in this repo (blob_link.h).
  absl::StatusOr<LinkedBlob> linkFrom(const RepoId& repo, const BlobInfo& blob,
                                      const LinkSource& source) const;

  // Shows files whose blobs are in blobs/: symlinks, or in a cache without symlinks the files
  // themselves. kNotFound if a blob is not there. Give all files of one publish in one call: a
  // cache without symlinks moves a blob to the last path that wants it.
  absl::StatusOr<PublishedFiles> publishFiles(const RepoId& repo, const Commit& commit,
                                              absl::Span<const FileEntry> files) const;

  // trees/<commit>.json from a complete manifest.
  absl::StatusOr<TreeOutcome> publishTree(const Listing& manifest) const;

  // Last of all. Written where absent, where the hub's word (`state.hubTime`) is newer than the
  // local file, or where nobody asked the hub for either; a written ref carries the time of the
  // hub's word as its mtime, or the epoch if nobody asked the hub. kNotFound if snapshots/<commit>
  // does not exist yet.
  absl::StatusOr<RefOutcome> publishRef(const RepoId& repo, const RefState& state) const;

 private:
  HubPublisher(SafeDir root, const NodeId& node, std::shared_ptr<Reservations> reservations)
      : root_(std::move(root)), node_(node), reservations_(std::move(reservations)) {}

  SafeDir root_;
  NodeId node_;
  std::shared_ptr<Reservations> reservations_;
};

}  // namespace roost

#endif  // ROOST_CACHE_HUB_PUBLISHER_H_
