// The hub as the endpoint asks it: with patience where nobody else can answer, and not at all for a
// moment after it could not be reached, nor while it wants the cluster to leave it alone.
//
// Threads: `loop`. Everything given must outlive this.
#ifndef ROOST_NODE_ENDPOINT_HUB_LINE_H_
#define ROOST_NODE_ENDPOINT_HUB_LINE_H_

#include <boost/asio/awaitable.hpp>
#include <string>

#include "absl/time/time.h"
#include "cluster/hub_rest.h"
#include "node/endpoint/hub_proxy.h"
#include "node/loop_timers.h"

namespace roost {

class HubLine {
 public:
  // `proxy`: null if this agent asks no hub. `agentUrl`: for clients that send no Host.
  HubLine(HubProxy* proxy, HubOrigin origin, std::string agentUrl, LoopTimers& timers,
          HubRest& rest);

  bool exists() const { return proxy_ != nullptr; }
  bool open() const;  // exists, did not fail a moment ago, and does not want to be left alone
  const HubOrigin& origin() const { return origin_; }
  HubRest& rest() { return rest_; }
  // The agent's own URL, as this client knows it.
  std::string agentUrl(const HttpAsk& ask) const;

  // A client's request, passed on as it is; `follow` as in HubProxy.
  boost::asio::awaitable<HttpAnswer> forward(HttpAsk ask, bool follow = false);
  // A question of our own. `otherwise`: there is an answer without the hub, so a hub that just
  // failed is left alone, and nobody waits for one that says "later".
  boost::asio::awaitable<HttpResult> ask(HubProxy::Question question, bool otherwise);

  // It could not be reached in time, through whomever it was asked.
  void failed(std::string why);

  void stop() { proxy_ = nullptr; }

 private:
  boost::asio::awaitable<HttpResult> askPatiently(HubProxy::Question question, bool otherwise);
  boost::asio::awaitable<HttpResult> askOnce(HubProxy::Question question);
  HttpResult resting() const;
  static HttpResult toldToWait(absl::Duration left);

  HubProxy* proxy_;
  const HubOrigin origin_;
  const std::string agentUrl_;
  LoopTimers& timers_;
  HubRest& rest_;
  absl::Time restsUntil_ = absl::InfinitePast();
  std::string lastError_ = "this agent asks no hub";
};

}  // namespace roost

#endif  // ROOST_NODE_ENDPOINT_HUB_LINE_H_
