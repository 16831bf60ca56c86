#include "node/endpoint/hub_endpoint.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "node/endpoint/hub_failures.h"
#include "node/endpoint/hub_files.h"
#include "node/endpoint/hub_line.h"
#include "node/endpoint/hub_metadata.h"
#include "node/endpoint/hub_route.h"
#include "node/endpoint/local_callers.h"
#include "node/endpoint/public_word.h"
#include "node/endpoint/repo_access.h"
#include "node/endpoint/repo_names.h"
#include "node/loop_timers.h"

namespace roost {

namespace asio = boost::asio;

class HubEndpoint::Impl : public std::enable_shared_from_this<HubEndpoint::Impl> {
 public:
  Impl(Seams seams, Options options)
      : s_(std::move(seams)),
        timers_(s_.io),
        hub_(s_.proxy, s_.origin, s_.agentUrl, timers_, s_.rest),
        word_({s_.io, s_.core, hub_, timers_, s_.call, [this] { return shared_from_this(); }},
              PublicWord::Ways::ofHub(s_.origin), options.refTtl),
        access_({s_.core, s_.folders.inventory(), s_.learnt}, options.authGrace, options.refTtl),
        names_({s_.io, s_.core, s_.folders.inventory(), s_.resolver, hub_, word_, access_, timers_,
                s_.call, [this] { return shared_from_this(); }},
               options.refTtl),
        metadata_(s_.core, hub_, word_, access_, names_),
        kept_({s_.io, s_.pool, s_.reservations, s_.core.self().id, s_.folders, s_.metrics,
               [this] { return stopped_ ? nullptr : shared_from_this(); }}),
        files_({s_.core, s_.pool, s_.folders, s_.readings, hub_, access_, names_, timers_,
                s_.metrics, kept_},
               options.publish, options.knownSizeMax) {}

  void handle(HttpAsk ask, std::function<void(HttpAnswer)> done) {
    asio::post(
        s_.io, [self = shared_from_this(), ask = std::move(ask), done = std::move(done)]() mutable {
          if (self->stopped_)
            return;  // `done` is dropped: the connection says that we are stopping
          asio::co_spawn(self->s_.io, run(self, std::move(ask), std::move(done)), asio::detached);
        });
  }

  void landed(const LandedBlob& blob) { files_.landed(blob); }
  void asked(const HubQuestionRequest& question, PeerAnswer answer) {
    if (!stopped_) word_.asked(question, std::move(answer));
  }
  TokenSource tokenFor(const RepoId& repo) const { return access_.tokenFor(repo); }

  void stop() {
    stopped_ = true;
    hub_.stop();
    timers_.stop();
  }

 private:
  static asio::awaitable<void> run(std::shared_ptr<Impl> self, HttpAsk ask,
                                   std::function<void(HttpAnswer)> done) {
    const HubRoute route = hubRoute(self->s_.origin, ask.method, ask.target);
    HttpAnswer answer = co_await self->answer(std::move(ask), route);
    self->s_.metrics.request(route.kind, answer.status);
    done(std::move(answer));
  }

  asio::awaitable<HttpAnswer> answer(HttpAsk ask, HubRoute route) {
    switch (route.kind) {
      case HubRoute::Kind::kFile:
        co_return co_await files_.answer(std::move(ask), route);
      case HubRoute::Kind::kInfo:
      case HubRoute::Kind::kRevision:
      case HubRoute::Kind::kTree:
      case HubRoute::Kind::kPathsInfo:
      case HubRoute::Kind::kRefs:
        co_return co_await metadata_.answer(std::move(ask), route);
      case HubRoute::Kind::kXetToken:
        co_return failure(404, "EntryNotFound", "Xet is not used through this agent");
      case HubRoute::Kind::kTelemetry:
        co_return HttpAnswer{};
      case HubRoute::Kind::kHarnesses: {
        if (!hub_.open()) co_return failure(404, "EntryNotFound", "the hub was not asked");
        HttpAnswer said = co_await hub_.forward(std::move(ask));
        if (said.status >= 500) said = failure(404, "EntryNotFound", "the hub did not answer");
        co_return said;
      }
      case HubRoute::Kind::kRoost: {
        if (auto refused = refusedToOthers(ask)) co_return *std::move(refused);
        if (!RepresentationsApi::answers(route.path)) co_return own(route);
        co_return co_await s_.representations->answer(std::move(ask), route.path);
      }
      case HubRoute::Kind::kOther:
        break;
    }
    const bool writes = ask.method != "GET" && ask.method != "HEAD";
    HttpAnswer answer = co_await hub_.forward(std::move(ask));
    if (writes && route.repo) {  // its branches may have moved
      names_.forget(*route.repo);
      word_.written(*route.repo);
    }
    co_return answer;
  }

  HttpAnswer own(const HubRoute& route) {
    HttpAnswer answer;
    answer.headers = {{"Content-Type", kJsonType}, {"Cache-Control", "no-store"}};
    if (route.path == "roost/v1/status") {
      answer.body = s_.statusJson();
    } else if (route.path == "metrics") {
      answer.headers[0].second = "text/plain; version=0.0.4; charset=utf-8";
      answer.body = s_.metrics.text(s_.measures());
    } else if (route.path == "livez") {
      answer.body = absl::StrCat("{\"live\":true,\"node\":\"", s_.core.self().id.hex(), "\"}");
    } else if (route.path == "readyz") {
      const bool ready = s_.folders.isSettled();
      answer.status = ready ? 200 : 503;
      answer.body = ready ? "{\"ready\":true}" : "{\"ready\":false}";
    } else if (route.path.empty()) {
      answer.headers[0].second = "text/plain; charset=utf-8";
      answer.body = absl::StrCat(
          "roost ", ROOST_VERSION, ", node ", s_.core.self().name,
          ".\n\nHF_ENDPOINT with this address makes clients use this agent.\n"
          "/roost/v1/status says what the cluster holds, /livez and /readyz how the agent is,\n"
          "/metrics what Prometheus counts.\n");
    } else {
      answer = failure(404, "EntryNotFound", "there is no such page");
    }
    return answer;
  }

  Seams s_;
  bool stopped_ = false;
  LoopTimers timers_;
  HubLine hub_;
  PublicWord word_;
  RepoAccess access_;
  RepoNames names_;
  HubMetadata metadata_;
  KeptFiles kept_;
  HubFiles files_;
};

HubEndpoint::HubEndpoint(Seams seams, Options options)
    : impl_(std::make_shared<Impl>(std::move(seams), options)) {}
HubEndpoint::~HubEndpoint() {
  impl_->stop();
}
void HubEndpoint::handle(HttpAsk ask, std::function<void(HttpAnswer)> done) {
  impl_->handle(std::move(ask), std::move(done));
}
void HubEndpoint::landed(const LandedBlob& blob) {
  impl_->landed(blob);
}
void HubEndpoint::asked(const HubQuestionRequest& question, PeerAnswer answer) {
  impl_->asked(question, std::move(answer));
}
TokenSource HubEndpoint::tokenFor(const RepoId& repo) const {
  return impl_->tokenFor(repo);
}
void HubEndpoint::stop() {
  impl_->stop();
}

}  // namespace roost
