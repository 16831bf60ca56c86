// The registrar's side of "compute once": who is computing which representation.
//
// A lease is granted to the first who asks, renewed when the same computation asks again, and ends
// when it is given back, when the value is there, or with its time. Nothing is remembered
// elsewhere: a registrar that is new, or full, grants. In doubt something is computed twice; nobody
// waits for who is gone.
//
// Threads: one. No I/O, no clock. Memory: some 150 bytes a lease, kComputeLeasesMax of them.
#ifndef ROOST_CLUSTER_COMPUTE_LEASES_H_
#define ROOST_CLUSTER_COMPUTE_LEASES_H_

#include <cstddef>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"
#include "protocol/limits.h"
#include "protocol/messages.h"

namespace roost {

class ComputeLeases {
 public:
  explicit ComputeLeases(size_t most = kComputeLeasesMax) : most_(most) {}

  // kGranted or kOther.
  ComputeVerdict ask(absl::Time now, const RepresentationKey& key, const std::string& holder,
                     absl::Duration duration);
  // Only its holder gives a lease back.
  void release(const RepresentationKey& key, const std::string& holder);
  // The value is there.
  void done(const RepresentationKey& key);

  size_t size() const { return leases_.size(); }

 private:
  struct Lease {
    std::shared_ptr<const std::string> holder;
    absl::Time until;
  };
  void expire(absl::Time now);
  void end(absl::flat_hash_map<RepresentationKey, Lease>::iterator lease);
  std::shared_ptr<const std::string> shared(const std::string& holder);

  const size_t most_;
  absl::flat_hash_map<RepresentationKey, Lease> leases_;
  std::set<std::pair<absl::Time, RepresentationKey>> ends_;
  std::shared_ptr<const std::string> lastHolder_;  // one name for the many keys of a batch
};

}  // namespace roost

#endif  // ROOST_CLUSTER_COMPUTE_LEASES_H_
