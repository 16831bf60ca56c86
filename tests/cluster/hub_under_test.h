// What the hub tests share: a client, a hub and a second origin that the hub redirects to.
#ifndef ROOST_TESTS_CLUSTER_HUB_UNDER_TEST_H_
#define ROOST_TESTS_CLUSTER_HUB_UNDER_TEST_H_

#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "cache/hub_token.h"
#include "cluster/http_client.h"
#include "cluster/hub_calls.h"
#include "protocol/names.h"
#include "tests/support/test_http_server.h"

namespace roost {

constexpr char kToken[] = "hf_abcdefghijklmnopqrstuvwxyz0123456";

// Waits for the one call of the callback that `start` gets.
template <typename T>
T await(const std::function<void(std::function<void(T)>)>& start) {
  auto promise = std::make_shared<std::promise<T>>();
  std::future<T> future = promise->get_future();
  start([promise](T value) { promise->set_value(std::move(value)); });
  if (future.wait_for(std::chrono::seconds(60)) != std::future_status::ready) {
    ADD_FAILURE() << "no answer within 60 s";
    std::abort();
  }
  return future.get();
}

class HubTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    for (const char* name : {"no_proxy", "NO_PROXY"}) ::setenv(name, "127.0.0.1", 1);
  }

  static TokenSource token() {
    return [] { return std::optional<Token>(*Token::parse(kToken)); };
  }

  // Pauses too short to be noticed, so that no test waits.
  static HubPatience hasty() {
    HubPatience patience;
    patience.firstPause = absl::Milliseconds(1);
    patience.stall = absl::Seconds(1);
    return patience;
  }

  static HubOrigin originOf(const std::string& url) { return *HubOrigin::parse(url); }

  static RepoId repoAt(const std::string& url, const std::string& name = "org/model") {
    return *RepoId::make(originOf(url), RepoType::kModel, name);
  }

  static bool sawToken(const TestHttpServer& server) {
    for (const TestRequest& request : server.requests()) {
      for (const auto& [name, value] : request.headers) {
        if (value.find(kToken) != std::string::npos) return true;
      }
      if (request.target.find(kToken) != std::string::npos) return true;
    }
    return false;
  }

  HttpClient http{HttpClient::Options{}};
};

}  // namespace roost

#endif  // ROOST_TESTS_CLUSTER_HUB_UNDER_TEST_H_
