// The hub as this node uses it: one HTTP client, its API twice (patient, and hurried for when the
// cluster can answer too) and the download lane. Absent with `hub = none`.
//
// Threads: made and destroyed on `loop`; see the parts.
#ifndef ROOST_NODE_HUB_H_
#define ROOST_NODE_HUB_H_

#include <memory>
#include <optional>
#include <string>

#include "cache/client_environment.h"
#include "cluster/http_client.h"
#include "cluster/hub_api.h"
#include "cluster/hub_lane.h"
#include "node/config.h"

namespace roost {

struct Hub {
  // The token: the operator's file if there is one, else where clients look. Read for each request.
  // `caFile`: HttpClient::Options. `rest` and `limit` (of downloads) must outlive this.
  Hub(const HubOrigin& origin, const std::optional<std::string>& tokenFile,
      const ClientEnvironment& environment, const std::string& caFile, HubRest& rest,
      RateLimit* limit);

  HttpClient http;
  HubApi patient;
  HubApi hurried;
  HubLane lane;
};

}  // namespace roost

#endif  // ROOST_NODE_HUB_H_
