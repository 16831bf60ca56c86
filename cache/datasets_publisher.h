// Makes finished directories visible in a cache of the datasets library (datasets_layout.h), whole
// and in one step, under the library's own locks, so that no client ever sees a part of one.
//
// Their blobs are written to a staging folder first (staging.h). From there they are moved into a
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
#include "cache/datasets_layout.h"
#include "cache/disk_space.h"
#include "cache/finished_publisher.h"
#include "cache/safe_dir.h"
#include "protocol/manifest.h"
#include "protocol/node_id.h"

namespace roost {

class DatasetsPublisher final : public FinishedPublisher {
 public:
  // `root` is the cache folder as clients spell it: their locks are named by it. It must exist.
  static absl::StatusOr<DatasetsPublisher> open(const std::string& root, const NodeId& node,
                                                std::shared_ptr<Reservations> reservations);

  const Staging& staging() const override { return staging_; }
  // Each directory of the listing. `refs` tell when they were written: of several the library takes
  // the newest.
  absl::StatusOr<ShownFinished> show(const Listing& listing, const std::vector<RefState>& refs,
                                     const KnownFiles& known) const override;

 private:
  struct Directory;
  DatasetsPublisher(SafeDir root, Staging staging)
      : root_(std::move(root)), staging_(std::move(staging)) {}

  absl::Status showOne(const RepoId& cache, const Directory& directory, const KnownFiles& known,
                       ShownFinished& shown) const;
  absl::Status publishWhole(const RepoId& cache, const Directory& directory, const SafeDir& parent,
                            const KnownFiles& known, ShownFinished& shown) const;
  absl::Status addMissing(const RepoId& cache, const Directory& directory, const SafeDir& there,
                          const KnownFiles& known, ShownFinished& shown) const;

  SafeDir root_;
  Staging staging_;
};

}  // namespace roost

#endif  // ROOST_CACHE_DATASETS_PUBLISHER_H_
