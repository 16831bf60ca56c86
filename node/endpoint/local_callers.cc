#include "node/endpoint/local_callers.h"

#include <string>

#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "node/addresses.h"
#include "node/endpoint/hub_failures.h"

namespace roost {

std::optional<HttpAnswer> refusedToOthers(const HttpAsk& ask) {
  const auto isHere = [](absl::string_view host) {
    return isLoopback(std::string(host.substr(0, host.rfind(':'))));
  };
  const std::string* host = ask.find("host");
  const std::string* from = ask.find("origin");
  absl::string_view page = from == nullptr ? "" : *from;
  if (!absl::ConsumePrefix(&page, "http://")) absl::ConsumePrefix(&page, "https://");
  if ((host == nullptr || isHere(*host)) && (from == nullptr || isHere(page))) return std::nullopt;
  return failure(403, "", "this page is for this node alone: ask for 127.0.0.1");
}

}  // namespace roost
