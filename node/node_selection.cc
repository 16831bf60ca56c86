#include "node/node_selection.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "node/host_range.h"
#include "protocol/errors.h"
#include "protocol/names.h"

namespace roost {
namespace {
constexpr absl::string_view kZonePrefix = "zone=";
}  // namespace

absl::StatusOr<NodeSelection> NodeSelection::parse(absl::string_view text) {
  NodeSelection selection;
  ROOST_ASSIGN_OR_RETURN(const std::vector<std::string> parts, splitHostList(text));
  for (const std::string& part : parts) {
    if (part == "all") {
      selection.all = true;
    } else if (part == "self") {
      selection.self = true;
    } else if (absl::StartsWith(part, kZonePrefix)) {
      ROOST_ASSIGN_OR_RETURN(std::string zone, parseNodeName(part.substr(kZonePrefix.size())));
      selection.zones.push_back(std::move(zone));
    } else {
      ROOST_ASSIGN_OR_RETURN(const std::vector<std::string> names, expandHostRange(part));
      for (const std::string& name : names) {
        ROOST_ASSIGN_OR_RETURN(std::string valid, parseNodeName(name));
        selection.names.push_back(std::move(valid));
      }
    }
  }
  return selection;
}

std::vector<std::string> NodeSelection::terms() const {
  std::vector<std::string> terms;
  if (all) terms.push_back("all");
  if (self) terms.push_back("self");
  terms.insert(terms.end(), names.begin(), names.end());
  for (const std::string& zone : zones) terms.push_back(absl::StrCat(kZonePrefix, zone));
  return terms;
}

}  // namespace roost
