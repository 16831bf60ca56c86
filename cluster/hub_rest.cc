#include "cluster/hub_rest.h"

#include <algorithm>

#include "absl/random/distributions.h"
#include "protocol/limits.h"

namespace roost {

absl::Duration HubRest::jitter(absl::Duration wait) {
  return absl::Uniform(random_, 0.0, 1.0) * std::min(wait / 4, kHubRestJitterMax);
}

void HubRest::told(absl::Duration wait, absl::Time now) {
  if (wait <= absl::ZeroDuration()) return;
  {
    const std::lock_guard lock(mutex_);
    const absl::Time until = now + std::min(wait, kHubRestMax);
    if (until <= ownUntil_) return;
    ownUntil_ = until;
    until_ = std::max(until_, until + jitter(wait));
  }
  if (onTold_) onTold_();
}

void HubRest::heard(absl::Duration wait, absl::Time now) {
  if (wait <= absl::ZeroDuration()) return;
  const std::lock_guard lock(mutex_);
  // A new pause only after as long a time without peers' words.
  if (now >= heardSince_ + 2 * kHubRestHeardMax) heardSince_ = now;
  const absl::Time until = std::min(now + wait, heardSince_ + kHubRestHeardMax);
  if (until <= now || until <= heardUntil_) return;
  const bool goesOn = heardUntil_ > now;  // the same pause, told again: no further jitter
  heardUntil_ = until;
  until_ = std::max(until_, goesOn ? until : until + jitter(wait));
}

absl::Duration HubRest::left(absl::Time now) const {
  const std::lock_guard lock(mutex_);
  return std::max(until_ - now, absl::ZeroDuration());
}

absl::Duration HubRest::ownLeft(absl::Time now) const {
  const std::lock_guard lock(mutex_);
  return std::max(ownUntil_ - now, absl::ZeroDuration());
}

absl::Duration HubRest::saidLeft(absl::Time now) const {
  const std::lock_guard lock(mutex_);
  return std::max(std::max(ownUntil_, heardUntil_) - now, absl::ZeroDuration());
}

}  // namespace roost
