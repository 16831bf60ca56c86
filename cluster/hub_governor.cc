#include "cluster/hub_governor.h"

#include <algorithm>

namespace roost {
namespace {

constexpr int kStart = 4;
constexpr int kStep = 2;
constexpr int kPeriodsUntilProbe = 40;  // the network may have become better since

bool grew(uint64_t bytes, uint64_t before) {
  return bytes > before + before / 10;
}

}  // namespace

HubGovernor::HubGovernor(int connectionsMax)
    : max_(connectionsMax), target_(std::min(kStart, connectionsMax)), before_(target_) {}

void HubGovernor::onPeriod(uint64_t bytes, bool wantedMore) {
  if (!wantedMore) return;                  // the rate says nothing about the connections
  if (bytes == 0 && reached_ == 0) return;  // they are being made
  const bool better = grew(bytes, reached_);
  if (doubling_) {
    doubling_ = better;
    reached_ = std::max(reached_, bytes);
    if (better) before_ = target_;
    target_ = better ? std::min(max_, 2 * target_) : before_;
    return;
  }
  if (better) {
    reached_ = bytes;
    probing_ = false;
    heldPeriods_ = 0;
    target_ = std::min(max_, target_ + kStep);
    return;
  }
  if (probing_) {  // one more did not help
    probing_ = false;
    target_ = std::max(1, target_ - 1);
  }
  if (++heldPeriods_ < kPeriodsUntilProbe || target_ == max_) return;
  heldPeriods_ = 0;
  reached_ = bytes;
  probing_ = true;
  ++target_;
}

void HubGovernor::onRefused() {
  target_ = std::max(1, target_ / 2);
  doubling_ = false;
  probing_ = false;
  heldPeriods_ = 0;
}

}  // namespace roost
