#include "node/hub.h"

#include <fstream>
#include <iterator>

#include "cache/hub_token.h"

namespace roost {
namespace {

TokenSource tokenSource(const std::optional<std::string>& file,
                        const ClientEnvironment& environment) {
  return [file, environment]() -> std::optional<Token> {
    if (!file) {
      const auto found = findToken(environment);
      if (!found.ok() || !*found) return std::nullopt;
      return **found;
    }
    std::ifstream in(*file);
    const std::string text((std::istreambuf_iterator<char>(in)), {});
    const auto token = Token::parse(text);
    if (!token.ok()) return std::nullopt;
    return *token;
  };
}

}  // namespace

Hub::Hub(const HubOrigin& origin, const std::optional<std::string>& tokenFile,
         const ClientEnvironment& environment, const std::string& caFile, HubRest& rest,
         RateLimit* limit)
    : http(HttpClient::Options{.caFile = caFile}),
      patient(origin, http, tokenSource(tokenFile, environment), HubPatience{.rest = &rest}),
      hurried(origin, http, tokenSource(tokenFile, environment),
              HubPatience{.tries = 1, .rest = &rest}),
      lane(origin, http, tokenSource(tokenFile, environment),
           HubLane::Options{.patience = {.rest = &rest}, .limit = limit}) {}

}  // namespace roost
