// Orders for tests: a model of some files for some nodes.
#ifndef ROOST_TESTS_SIM_ORDERS_H_
#define ROOST_TESTS_SIM_ORDERS_H_

#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/sim/world.h"

namespace roost::sim {

inline JobOrder orderOf(const std::vector<BlobInfo>& blobs, const std::vector<NodeId>& targets) {
  Listing listing{*RepoId::make(HubOrigin::huggingFace(), RepoType::kModel, "org/model"),
                  commitOfNumber(7)};
  listing.complete = true;
  for (size_t i = 0; i < blobs.size(); ++i) {
    listing.files.push_back(
        {*RelativePath::parse(absl::StrCat("file-", i)), blobs[i], std::nullopt});
  }
  JobOrder order{0, "org/model", listing};
  order.targets = targets;
  return order;
}

inline bool finished(const World& world, NodeIndex node, uint64_t job) {
  const auto view = world.job(node, job);
  return view && view->finished;
}

}  // namespace roost::sim

#endif  // ROOST_TESTS_SIM_ORDERS_H_
