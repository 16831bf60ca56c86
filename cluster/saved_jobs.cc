#include "cluster/saved_jobs.h"

#include <capnp/serialize.h>

#include <cstring>

#include "protocol/convert.h"
#include "protocol/errors.h"
#include "protocol/limits.h"

namespace roost {

std::string encodeJob(const JobOrder& order, const NodeId& coordinator) {
  capnp::MallocMessageBuilder message;
  auto saved = message.initRoot<wire::SavedJob>();
  toWire(ObtainRequest{coordinator, order.id, order.listing, order.manifestOnly, order.refs,
                       order.from},
         saved.initObtain());
  saved.setTitle(order.title);
  auto targets = saved.initTargets(static_cast<uint32_t>(order.targets.size()));
  for (uint32_t i = 0; i < targets.size(); ++i) targets.set(i, toData(order.targets[i].bytes()));
  saved.setCreatedMs(absl::ToUnixMillis(order.created));
  const auto words = capnp::messageToFlatArray(message);
  const auto bytes = words.asBytes();
  return {reinterpret_cast<const char*>(bytes.begin()), bytes.size()};
}

absl::StatusOr<JobOrder> decodeJob(absl::string_view bytes) try {
  auto words = kj::heapArray<capnp::word>(bytes.size() / sizeof(capnp::word));
  if (words.size() == 0) return absl::InvalidArgumentError("not a saved job");
  std::memcpy(words.begin(), bytes.data(), words.asBytes().size());
  capnp::ReaderOptions options;
  options.traversalLimitInWords = kMessageBytesMax / sizeof(capnp::word);
  capnp::FlatArrayMessageReader message(words, options);
  auto saved = message.getRoot<wire::SavedJob>();
  ROOST_ASSIGN_OR_RETURN(ObtainRequest obtain, fromWire(saved.getObtain()));
  JobOrder order{.id = obtain.job,
                 .title = std::string(toView(saved.getTitle())),
                 .listing = std::move(obtain.listing),
                 .manifestOnly = std::move(obtain.manifestOnly),
                 .refs = std::move(obtain.refs),
                 .from = obtain.from,
                 .targets = {},
                 .created = absl::FromUnixMillis(saved.getCreatedMs())};
  if (saved.getTargets().size() > kMembersMax) {
    return absl::InvalidArgumentError("a saved job names too many nodes");
  }
  for (auto id : saved.getTargets()) {
    ROOST_ASSIGN_OR_RETURN(NodeId target, nodeIdFromWire(id));
    order.targets.push_back(target);
  }
  return order;
} catch (const kj::Exception& error) {
  return absl::InvalidArgumentError(error.getDescription().cStr());
}

}  // namespace roost
