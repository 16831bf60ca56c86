// The planner's reasons in words.
#include "absl/strings/str_cat.h"
#include "cluster/planner.h"
#include "protocol/limits.h"

namespace roost {

std::string sentenceOf(const Reason& reason) {
  const uint64_t number = reason.number;
  const std::string zone =
      reason.word.empty() ? "without a zone" : absl::StrCat("in zone ", reason.word);
  switch (reason.why) {
    case Why::kHere:
      return "this node has it";
    case Why::kSmall:
      return "at most 1 MiB: read whole, with other small ones in one round trip";
    case Why::kAlone:
      return "nodes have it, and no other wants it now";
    case Why::kWantedByMany:
      return absl::StrCat(number,
                          " nodes want it: each takes its stripe from the holders and the rest "
                          "from the others, so the holders send it about once");
    case Why::kNoHolder:
      return "no node that can be asked has it";
    case Why::kHubOnly:
      return "the order says that no other node is to be asked";
    case Why::kHubForAll:
      return absl::StrCat("no node has it whole, and ", number,
                          " want it: one of them downloads it, the others take the pieces from it");
    case Why::kDisputed:
      return "two contents claim this name: only the hub can decide";
    case Why::kClusterOnly:
      return "no node that can be asked has it, and the hub is not to be asked";
    case Why::kNoHubHere:
      return "no node that can be asked has it, and this node uses no hub";
    case Why::kWideAndLoose:
      return absl::StrCat(number,
                          " nodes want it, and they come and go or are too many to be "
                          "numbered for stripes");
    case Why::kNotPublic:
      return "no swarm: it is not known to be public, and swarms are not encrypted";
    case Why::kTooSmallForSwarm:
      return absl::StrCat("no swarm: smaller than ", kSwarmBlobBytesMin >> 20, " MiB");
    case Why::kTooLargeForSwarm:
      return absl::StrCat("no swarm: larger than ", kSwarmBlobBytesMax >> 30, " GiB");
    case Why::kFewWanters:
      return absl::StrCat("no swarm: for fewer than ", number, " nodes stripes are faster");
    case Why::kCoordinated:
      return absl::StrCat("no swarm: the ", number, " nodes began together, so stripes are better");
    case Why::kNoSwarmHolder:
      return "no swarm: no holder takes part in one";
    case Why::kNearVerified:
      return absl::StrCat(zone, " as this node, hashed there");
    case Why::kVerified:
      return "hashed there";
    case Why::kFarVerified:
      return absl::StrCat(zone, ", hashed there");
    case Why::kUnhashed:
      return "not hashed there yet";
    case Why::kFailing:
      return "failed several times in a row";
    case Why::kDrainingAlone:
      return "draining, and no other has it";
    case Why::kLeaseholder:
      return "downloads it from the hub";
    case Why::kWanter:
      return "is getting it, and passes on its stripe";
    case Why::kUnreachable:
      return "cannot be reached now";
    case Why::kDistrusted:
      return "sent wrong bytes of it";
    case Why::kUseless:
      return "did not give it";
    case Why::kFar:
      return absl::StrCat(zone, ", and this node's own zone has it");
    case Why::kDraining:
      return "draining, and others have it";
    case Why::kBetterThere:
      return "another is nearer or has hashed it";
    case Why::kEnough:
      return absl::StrCat(number, " equally good or better ones are enough");
  }
  return "";
}

}  // namespace roost
