// The pip index as this node uses it: an HTTP client of its own, which trusts the index's CA, the
// lane that its files come by, and its pause. Absent if there is no index.
//
// The index's user and password go to its own origin, never to where its files are, unless that is
// the same.
//
// Threads: made and destroyed on `loop`; see the parts.
#ifndef ROOST_NODE_ENDPOINT_PIP_INDEX_H_
#define ROOST_NODE_ENDPOINT_PIP_INDEX_H_

#include <optional>
#include <string>

#include "cluster/http_client.h"
#include "cluster/hub_lane.h"
#include "cluster/hub_rest.h"
#include "node/endpoint/hub_proxy.h"
#include "node/pip_settings.h"

namespace roost {

struct PipIndex {
  // `caFile`: instead of that of pip's settings; may be empty. `limit`: of downloads; must outlive
  // this.
  PipIndex(const PipIndexSetting& setting, const std::string& caFile, RateLimit* limit = nullptr);

  const std::optional<HttpCredential> credential;
  HttpClient http;
  HubRest rest;
  HubLane lane;
  HubProxy proxy;
};

}  // namespace roost

#endif  // ROOST_NODE_ENDPOINT_PIP_INDEX_H_
