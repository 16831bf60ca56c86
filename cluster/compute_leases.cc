#include "cluster/compute_leases.h"

#include <algorithm>

namespace roost {

ComputeVerdict ComputeLeases::ask(absl::Time now, const RepresentationKey& key,
                                  const std::string& holder, absl::Duration duration) {
  expire(now);
  const absl::Time until = now + std::clamp(duration, absl::ZeroDuration(), kComputeLeaseMax);
  const auto it = leases_.find(key);
  if (it != leases_.end()) {
    if (*it->second.holder != holder) return ComputeVerdict::kOther;
    ends_.erase({it->second.until, key});
    it->second.until = until;
    ends_.insert({until, key});
    return ComputeVerdict::kGranted;
  }
  if (leases_.size() < most_) {
    leases_.emplace(key, Lease{shared(holder), until});
    ends_.insert({until, key});
  }
  return ComputeVerdict::kGranted;
}

void ComputeLeases::release(const RepresentationKey& key, const std::string& holder) {
  const auto it = leases_.find(key);
  if (it != leases_.end() && *it->second.holder == holder) end(it);
}

void ComputeLeases::done(const RepresentationKey& key) {
  if (const auto it = leases_.find(key); it != leases_.end()) end(it);
}

void ComputeLeases::expire(absl::Time now) {
  while (!ends_.empty() && ends_.begin()->first <= now) end(leases_.find(ends_.begin()->second));
}

void ComputeLeases::end(absl::flat_hash_map<RepresentationKey, Lease>::iterator lease) {
  ends_.erase({lease->second.until, lease->first});
  leases_.erase(lease);
}

std::shared_ptr<const std::string> ComputeLeases::shared(const std::string& holder) {
  if (!lastHolder_ || *lastHolder_ != holder) {
    lastHolder_ = std::make_shared<const std::string>(holder);
  }
  return lastHolder_;
}

}  // namespace roost
