#include "node/endpoint/pip_index.h"

#include "cluster/hub_urls.h"

namespace roost {
namespace {

std::optional<HttpCredential> credentialOf(const PipIndexSetting& setting) {
  const auto origin = webOrigin(setting.origin.url());
  if (!setting.basic || !origin.ok()) return std::nullopt;
  return HttpCredential{*setting.basic, *origin, "Basic"};
}

}  // namespace

PipIndex::PipIndex(const PipIndexSetting& setting, const std::string& caFile, RateLimit* limit)
    : credential(credentialOf(setting)),
      http(HttpClient::Options{.caFile = caFile.empty() ? setting.caFile : caFile}),
      rest([] {}),
      lane(setting.origin, http,
           setting.basic ? TokenSource([basic = setting.basic] { return basic; }) : nullptr,
           HubLane::Options{.patience = {.rest = &rest}, .scheme = "Basic", .limit = limit}),
      proxy(setting.origin, http, credential) {}

}  // namespace roost
