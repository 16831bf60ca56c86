// The agent's own folder in a root of finished directories: <root>/.roost-staging/<node>/, on the
// same file system, passed over by programs and scans. Blobs are written there in the layout of a
// hub cache, and taken from there into a directory that is being put together.
//
// Threads: any, take() one at a time; blocking. Errors: errnoStatus(); kNotFound the blob is not
// there.
#ifndef ROOST_CACHE_STAGING_H_
#define ROOST_CACHE_STAGING_H_

#include <map>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "cache/blob_link.h"
#include "cache/disk_space.h"
#include "cache/hub_publisher.h"
#include "cache/safe_dir.h"
#include "protocol/manifest.h"
#include "protocol/node_id.h"

namespace roost {

inline constexpr absl::string_view kStagingFolder = ".roost-staging";

class Staging {
 public:
  static absl::StatusOr<Staging> open(const SafeDir& root, const NodeId& node,
                                      std::shared_ptr<Reservations> reservations);

  const SafeDir& folder() const { return folder_; }
  // Where blobs are written.
  const HubPublisher& blobs() const { return blobs_; }
  bool has(const RepoId& repo, const BlobInfo& blob) const;

  // The folder for what is being put together, empty: what a killed agent left there goes.
  static constexpr char kReady[] = "ready";
  absl::StatusOr<SafeDir> emptyReady() const;
  // Puts a file's content under `name` into `to`, a directory of this folder: moved if it is the
  // last that needs it, else copied; from `elsewhere` if it is not here. Never a second name of a
  // file that is told: who gets it may write into it. The stamp is that of before.
  absl::StatusOr<FileStamp> take(const RepoId& repo, const FileEntry& file, bool last,
                                 const std::map<BlobId, LinkSource>& elsewhere, const SafeDir& to,
                                 const std::string& name) const;
  // The listing's blobs, of which nobody needs any now.
  void remove(const Listing& listing) const;

 private:
  Staging(SafeDir folder, HubPublisher blobs, const NodeId& node,
          std::shared_ptr<Reservations> reservations)
      : folder_(std::move(folder)),
        blobs_(std::move(blobs)),
        node_(node),
        reservations_(std::move(reservations)) {}

  SafeDir folder_;
  HubPublisher blobs_;
  NodeId node_;
  std::shared_ptr<Reservations> reservations_;
};

// What jobs that were given up left in this node's staging folder of `root`: temporaries older than
// `age`, blobs older than a day, and the folder if nothing is in it. For the start of the agent.
void removeStaleStaging(const std::string& root, const NodeId& node,
                        const std::string& journalFolder, absl::Duration age);

}  // namespace roost

#endif  // ROOST_CACHE_STAGING_H_
