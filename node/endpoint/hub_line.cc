#include "node/endpoint/hub_line.h"

#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "cluster/hub_errors.h"
#include "cluster/hub_urls.h"
#include "node/await_callback.h"
#include "node/endpoint/hub_failures.h"
#include "protocol/limits.h"

namespace roost {

namespace asio = boost::asio;

namespace {

constexpr absl::Duration kHubRests = absl::Seconds(3);  // after it could not be reached
// Of a word that was said to one user's token, which may be about that user alone.
constexpr absl::Duration kUserRestMax = absl::Seconds(10);
constexpr absl::Duration kHubPause = absl::Seconds(1);     // where it did not say how long
constexpr absl::Duration kHubPatience = absl::Seconds(6);  // of all pauses; clients wait 10 s

}  // namespace

HubLine::HubLine(HubProxy* proxy, HubOrigin origin, std::string agentUrl, LoopTimers& timers,
                 HubRest& rest)
    : proxy_(proxy),
      origin_(std::move(origin)),
      agentUrl_(std::move(agentUrl)),
      timers_(timers),
      rest_(rest) {}

bool HubLine::open() const {
  const absl::Time now = absl::Now();
  return proxy_ != nullptr && now >= restsUntil_ && rest_.left(now) == absl::ZeroDuration();
}

std::string HubLine::agentUrl(const HttpAsk& ask) const {
  const std::string* host = ask.find("host");
  return host != nullptr ? absl::StrCat("http://", *host) : agentUrl_;
}

// That the hub could not be asked a moment ago: for those who can be served without it.
HttpResult HubLine::resting() const {
  const absl::Duration left = proxy_ ? rest_.left(absl::Now()) : absl::ZeroDuration();
  if (left > absl::ZeroDuration()) return toldToWait(left);
  return {absl::UnavailableError(lastError_), {}, {}};
}

// As the hub would say it.
HttpResult HubLine::toldToWait(absl::Duration left) {
  const std::string seconds =
      absl::StrCat(absl::ToInt64Seconds(absl::Ceil(left, absl::Seconds(1))));
  HttpResult result{absl::OkStatus(), {429, {}}, ""};
  result.head.headers = {
      {"retry-after", seconds},
      {"x-error-message",
       absl::StrCat("the hub wants this cluster to wait for another ", seconds, " s")}};
  return result;
}

asio::awaitable<HttpAnswer> HubLine::forward(HttpAsk ask, bool follow) {
  if (proxy_ == nullptr) co_return failure(404, "RepoNotFound", "this agent asks no hub");
  const std::string agent = agentUrl(ask);
  // What the hub refuses to one user, or to one who writes, says nothing about all.
  const bool ofAll = (ask.method == "GET" || ask.method == "HEAD") && !tokenOf(ask);
  HubProxy* proxy = proxy_;
  const std::function<void(std::function<void(HttpAnswer)>)> start =
      [&](std::function<void(HttpAnswer)> done) {
        proxy->forward(ask, agent, follow, std::move(done));
      };
  const HttpAnswer dropped = unavailable("the agent is stopping");
  HttpAnswer answer = co_await awaitCallback<HttpAnswer>(start, dropped);
  if (ofAll && (answer.status == 429 || answer.status == 503)) {
    HttpHead head{answer.status, {}};
    for (const auto& [name, value] : answer.headers) {
      head.headers.emplace_back(absl::AsciiStrToLower(name), value);
    }
    rest_.told(waitAsked(head).value_or(absl::ZeroDuration()), absl::Now());
  }
  co_return answer;
}

asio::awaitable<HttpResult> HubLine::ask(HubProxy::Question question, bool otherwise) {
  if (proxy_ == nullptr || (otherwise && !open())) co_return resting();
  HttpResult result = co_await askPatiently(question, otherwise);
  // A renamed repo: the hub leads to its new name.
  for (int hops = 0; hops < kHubRedirectsMax && result.status.ok(); ++hops) {
    const std::string* location = result.head.find("location");
    if (location == nullptr || result.head.status < 301 || result.head.status > 308) break;
    const auto next = followed(absl::StrCat(origin_.url(), question.target), *location);
    absl::string_view target = next.ok() ? absl::string_view(*next) : "";
    if (!absl::ConsumePrefix(&target, origin_.url()) || !absl::StartsWith(target, "/")) break;
    question.target = std::string(target);
    result = co_await askOnce(question);
  }
  if (!result.status.ok()) {
    failed(std::string(result.status.message()));
  } else {
    restsUntil_ = absl::InfinitePast();
  }
  co_return result;
}

void HubLine::failed(std::string why) {
  restsUntil_ = absl::Now() + kHubRests;
  lastError_ = std::move(why);
}

// A hub that says when it will answer again is believed, as far as the client can wait.
asio::awaitable<HttpResult> HubLine::askPatiently(HubProxy::Question question, bool otherwise) {
  const absl::Time until = absl::Now() + kHubPatience;
  const absl::Time end = absl::Now() + question.timeout;
  while (true) {
    if (const absl::Duration left = rest_.left(absl::Now()); left > absl::ZeroDuration()) {
      if (otherwise || absl::Now() + left > until) co_return toldToWait(left);
      co_await timers_.sleep(left);
      continue;
    }
    question.timeout = std::max(end - absl::Now(), kHubPause);
    HttpResult result = co_await askOnce(question);
    const bool busy =
        result.status.ok() && (result.head.status == 429 || result.head.status == 503);
    if (!busy) co_return result;
    const std::optional<absl::Duration> asked = waitAsked(result.head);
    if (asked) rest_.told(question.token ? std::min(*asked, kUserRestMax) : *asked, absl::Now());
    if (otherwise || absl::Now() + asked.value_or(kHubPause) > until) co_return result;
    if (!asked || *asked <= absl::ZeroDuration()) co_await timers_.sleep(kHubPause);
  }
}

asio::awaitable<HttpResult> HubLine::askOnce(HubProxy::Question question) {
  if (proxy_ == nullptr) co_return resting();
  HubProxy* proxy = proxy_;
  const std::function<void(std::function<void(HttpResult)>)> start =
      [&](std::function<void(HttpResult)> done) { proxy->ask(question, std::move(done)); };
  const HttpResult dropped{absl::UnavailableError("the agent is stopping"), {}, {}};
  co_return co_await awaitCallback<HttpResult>(start, dropped);
}

}  // namespace roost
