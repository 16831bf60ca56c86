#include "node/root_ground.h"

#include <algorithm>

#include "cache/disk_space.h"
#include "cache/file_system.h"
#include "cache/layouts.h"
#include "protocol/limits.h"

namespace roost {
RootGround groundOf(const RootConfig& config) {
  const auto real = realFolder(config.path);
  if (!real.ok()) return {};
  return {config.store ? config.store : storeIdOf(*real),
          takesArrivals(config) && checkWritable(config.path).ok()};
}

std::vector<StoreId> storesOf(const std::vector<RootGround>& grounds) {
  std::vector<StoreId> stores;
  const auto add = [&](const RootGround& ground) {
    if (!ground.store || stores.size() == kStoresMax) return;
    if (std::find(stores.begin(), stores.end(), *ground.store) != stores.end()) return;
    stores.push_back(*ground.store);
  };
  const auto target = std::find_if(grounds.begin(), grounds.end(),
                                   [](const RootGround& ground) { return ground.writable; });
  if (target != grounds.end()) add(*target);
  for (const RootGround& ground : grounds) add(ground);
  return stores;
}

void makeWritableRoot(const std::vector<RootConfig>& configs) {
  for (const RootConfig& config : configs) {
    if (!takesArrivals(config)) continue;
    if (makeWritable(config.path).ok()) return;
  }
}

}  // namespace roost
