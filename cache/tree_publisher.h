// Puts what arrives of a tree (tree_layout.h) into its folder: files that are whole and verified,
// each or its directory renamed into place. What is there already is never touched: programs write
// their caches at any time, and their own file counts.
//
// Blobs are written to the staging folder first (staging.h). A directory that is not there yet is
// put together there and appears in one step; to one that is there, files are added whose names are
// free. If one of its names has other content, nothing is added to it: no directory is ever mixed
// of two nodes. No file gets a second name: compilers write in place.
//
// Threads and errors: finished_publisher.h.
#ifndef ROOST_CACHE_TREE_PUBLISHER_H_
#define ROOST_CACHE_TREE_PUBLISHER_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cache/disk_space.h"
#include "cache/finished_publisher.h"
#include "cache/safe_dir.h"
#include "protocol/manifest.h"
#include "protocol/node_id.h"

namespace roost {

class TreePublisher final : public FinishedPublisher {
 public:
  // `root` is the tree's folder; it must exist.
  static absl::StatusOr<TreePublisher> open(const std::string& root, const NodeId& node,
                                            std::shared_ptr<Reservations> reservations);

  const Staging& staging() const override { return staging_; }
  absl::StatusOr<ShownFinished> show(const Listing& listing, const std::vector<RefState>& refs,
                                     const KnownFiles& known) const override;

 private:
  struct Directory;
  TreePublisher(SafeDir root, Staging staging)
      : root_(std::move(root)), staging_(std::move(staging)) {}

  absl::Status showOne(const RepoId& tree, const Directory& directory, const KnownFiles& known,
                       ShownFinished& shown) const;
  // Takes out of the directory what is there with the same content. False: something is there with
  // another.
  absl::StatusOr<bool> leaveOutWhatIsThere(Directory& directory, const KnownFiles& known) const;
  absl::Status place(const Directory& directory, const SafeDir& ready,
                     const std::vector<PlacedFile>& placed, ShownFinished& shown) const;

  SafeDir root_;
  Staging staging_;
};

}  // namespace roost

#endif  // ROOST_CACHE_TREE_PUBLISHER_H_
