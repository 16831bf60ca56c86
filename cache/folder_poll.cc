#include "cache/folder_poll.h"

#include <algorithm>

#include "absl/time/clock.h"

namespace roost {
namespace {

bool changed(const PollTarget& target) {
  const auto now = markOf(target.path, target.scope);
  if (!target.seen) return now.ok();
  return !now.ok() || !target.seen->settled || now->value != target.seen->value;
}

}  // namespace

PollResult pollFolders(const std::vector<PollTarget>& targets) {
  PollResult result;
  const absl::Time start = absl::Now();
  for (const PollTarget& target : targets) {
    const auto known = std::find(result.dirty.begin(), result.dirty.end(), target.dirty);
    if (known == result.dirty.end() && changed(target)) result.dirty.push_back(target.dirty);
  }
  result.took = absl::Now() - start;
  return result;
}

}  // namespace roost
