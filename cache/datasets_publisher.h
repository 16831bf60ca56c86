// Makes finished directories visible in a cache of the datasets library (datasets_layout.h), whole
// and in one step, under the library's own locks, so that no client ever sees a part of one.
//
// Their blobs are written to a staging folder of the same file system first, in the layout of a hub
// cache, one for each node: <root>/.roost-staging/<node>/. From there they are moved into a
// directory of their own and that is renamed to its final name. A directory that is there already
// is never touched but for what its base files make no difference to: if they are the same, files
// that map and filter made are added where there is none of that name.
//
// Threads: any, one call of show() at a time; blocking. Errors: errnoStatus(); kAborted a client is
// at work on one of the directories, and nothing is lost: try again; kNotFound content is not in
// the staging folder; kPermissionDenied for symlinks where folders belong.
#ifndef ROOST_CACHE_DATASETS_PUBLISHER_H_
#define ROOST_CACHE_DATASETS_PUBLISHER_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cache/blob_link.h"
#include "cache/datasets_layout.h"
#include "cache/disk_space.h"
#include "cache/hub_publisher.h"
#include "cache/safe_dir.h"
#include "protocol/manifest.h"
#include "protocol/node_id.h"

namespace roost {

// A file that came to its place with all that was known of it.
struct PlacedFile {
  BlobId blob;
  FileStamp before;  // in the staging folder
  FileStamp after;
};

struct ShownDatasets {
  std::vector<PlacedFile> placed;
  std::vector<std::string> leftAlone;  // sentences: directories of other content
};

class DatasetsPublisher {
 public:
  // `root` is the cache folder as clients spell it: their locks are named by it. It must exist.
  static absl::StatusOr<DatasetsPublisher> open(const std::string& root, const NodeId& node,
                                                std::shared_ptr<Reservations> reservations);

  // Where blobs are written.
  const HubPublisher& staging() const { return staging_; }
  bool isStaged(const RepoId& cache, const BlobInfo& blob) const;

  // What this node knows of its own files.
  struct Known {
    std::map<BlobId, LinkSource> elsewhere;  // verified, and to be copied if not staged
    std::map<std::string, FileStamp> right;  // by path: verified to be what the listing says
  };
  // Each directory of the listing. `refs` tell when they were written: of several the library takes
  // the newest. What is left over in the staging folder goes.
  absl::StatusOr<ShownDatasets> show(const Listing& listing, const std::vector<RefState>& refs,
                                     const Known& known) const;

 private:
  struct Directory;
  DatasetsPublisher(SafeDir root, SafeDir stage, HubPublisher staging, const NodeId& node,
                    std::shared_ptr<Reservations> reservations)
      : root_(std::move(root)),
        stage_(std::move(stage)),
        staging_(std::move(staging)),
        node_(node),
        reservations_(std::move(reservations)) {}

  absl::Status showOne(const RepoId& cache, const Directory& directory, const Known& known,
                       ShownDatasets& shown) const;
  absl::Status publishWhole(const RepoId& cache, const Directory& directory, const SafeDir& parent,
                            const Known& known, ShownDatasets& shown) const;
  absl::Status addMissing(const RepoId& cache, const Directory& directory, const SafeDir& there,
                          const Known& known, ShownDatasets& shown) const;
  absl::StatusOr<FileStamp> stage(const RepoId& cache, const FileEntry& file, bool last,
                                  const Known& known, const SafeDir& to,
                                  const std::string& name) const;
  void removeStaged(const Listing& listing) const;

  SafeDir root_;
  SafeDir stage_;
  HubPublisher staging_;
  NodeId node_;
  std::shared_ptr<Reservations> reservations_;
};

// What jobs that were given up left in this node's staging folder of `root`: temporaries older than
// `age`, blobs older than a day, and the folder if nothing is in it. For the start of the agent.
void removeStaleStaging(const std::string& root, const NodeId& node,
                        const std::string& journalFolder, absl::Duration age);

}  // namespace roost

#endif  // ROOST_CACHE_DATASETS_PUBLISHER_H_
