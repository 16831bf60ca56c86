#include "cluster/hub_calls.h"

#include <algorithm>
#include <utility>

#include "absl/random/distributions.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "cluster/hub_urls.h"
#include "protocol/errors.h"

namespace roost {

std::optional<absl::Duration> HubBackoff::next(std::optional<absl::Duration> asked,
                                               absl::BitGen& random) {
  if (++failures_ >= patience_.tries) return std::nullopt;
  const double jitter = absl::Uniform(random, 0.5, 1.5);
  const absl::Duration own = patience_.firstPause * (1 << std::min(failures_ - 1, 10)) * jitter;
  // All nodes of a cluster hear the same "wait 55 s": they must not come back in the same instant.
  const absl::Duration pause = asked ? *asked + patience_.firstPause * jitter : own;
  if (spent_ + pause > patience_.total) return std::nullopt;
  spent_ += pause;
  return pause;
}

const std::string* HubReply::find(absl::string_view lowerName) const {
  for (const HttpHead& head : heads) {
    if (const std::string* value = head.find(lowerName)) return value;
  }
  return nullptr;
}

struct HubCalls::Common {
  const HubOrigin hub;
  const std::string origin;  // of the hub, as webOrigin
  HttpClient& http;
  HubPatience patience;
  absl::BitGen random;  // hub thread only
};

struct HubCalls::Question {
  std::shared_ptr<Common> common;
  HubCall call;
  Done done;
  HubBackoff backoff;
  HubReply reply;
  bool withToken = false;
};

HubCalls::HubCalls(const HubOrigin& origin, HttpClient& http, HubPatience patience)
    : common_(std::make_shared<Common>(
          Common{origin, webOrigin(origin.url()).value_or(""), http, patience, {}})) {}

HubCalls::~HubCalls() = default;

void HubCalls::ask(HubCall call, Done done) {
  auto question = std::make_shared<Question>(Question{
      common_, std::move(call), std::move(done), HubBackoff(common_->patience), {}, false});
  question->reply.url = question->call.url;
  HttpClient& http = common_->http;
  http.post([question = std::move(question)] { send(question); });
}

absl::Status HubCalls::belongs(const RepoId& repo) const {
  if (repo.origin() == common_->hub) return absl::OkStatus();
  return absl::InvalidArgumentError(sentence(
      absl::StrCat("cannot ask for ", repo.toString()),
      absl::StrCat("it belongs to ", repo.origin().url(), ", this node uses ", common_->hub.url()),
      "Set --hub to the hub of the repo"));
}

absl::Status HubCalls::restingStatus(const Question& question, absl::Duration left) {
  const HubSubject& subject = question.call.subject;
  return absl::UnavailableError(
      sentence(absl::StrCat(subject.repo.origin().url(), " was not asked for ", subject.toString()),
               absl::StrCat("it wants this cluster to wait for another ",
                            absl::FormatDuration(absl::Ceil(left, absl::Seconds(1)))),
               ""));
}

void HubCalls::send(std::shared_ptr<Question> question) {
  const HubCall& call = question->call;
  if (call.allowed && !call.allowed()) return question->done(absl::CancelledError("stopped"));
  HubRest* rest = question->common->patience.rest;
  if (const absl::Duration left = rest == nullptr ? absl::ZeroDuration() : rest->left(absl::Now());
      left > absl::ZeroDuration()) {
    const auto pause = question->backoff.next(left, question->common->random);
    if (!pause) return question->done(restingStatus(*question, left));
    return question->common->http.after(*pause, [question] { send(question); });
  }
  HttpRequest request;
  request.method = call.method;
  request.url = question->reply.url;
  request.bodyBytesMax = call.bodyBytesMax;
  request.mayCompress = call.method == HttpMethod::kGet;
  request.stallTimeout = question->common->patience.stall;
  request.totalTimeout = question->common->patience.answer;
  std::optional<Token> token = call.token ? call.token() : std::nullopt;
  question->withToken = token.has_value();
  if (token) request.credential = HttpCredential{*std::move(token), question->common->origin};
  question->common->http.start(
      std::move(request), [question](HttpResult result) { onResult(question, std::move(result)); });
}

void HubCalls::onResult(const std::shared_ptr<Question>& question, HttpResult result) {
  HubVerdict verdict = judge(result, question->call.subject, question->withToken);
  if (!verdict.status.ok()) {
    if (!verdict.retry) return question->done(std::move(verdict.status));
    if (HubRest* rest = question->common->patience.rest; rest != nullptr && verdict.wait) {
      rest->told(*verdict.wait, absl::Now());
    }
    const auto pause = question->backoff.next(verdict.wait, question->common->random);
    if (!pause) return question->done(std::move(verdict.status));
    return question->common->http.after(*pause, [question] { send(question); });
  }
  if (result.head.status >= 300) {
    const std::string* location = result.head.find("location");
    return follow(question, std::move(result), location == nullptr ? "" : std::string(*location));
  }
  question->reply.heads.push_back(std::move(result.head));
  question->reply.body = std::move(result.body);
  question->done(std::move(question->reply));
}

void HubCalls::follow(const std::shared_ptr<Question>& question, HttpResult result,
                      const std::string& location) {
  HubReply& reply = question->reply;
  const std::string what =
      absl::StrCat("cannot follow ", question->call.subject.repo.origin().url(), " to ",
                   question->call.subject.toString());
  const auto target = followed(reply.url, location);
  if (!target.ok()) {
    return question->done(absl::InternalError(sentence(what, target.status().message(), "")));
  }
  reply.heads.push_back(std::move(result.head));
  if (*webOrigin(*target) != question->common->origin) {
    if (!question->call.mayLeave) {
      return question->done(absl::InternalError(sentence(
          what, absl::StrCat("it redirects to another origin, ", quoted(urlForPeople(*target))),
          "Check the hub's URL")));
    }
    reply.elsewhere = *target;
    return question->done(std::move(reply));
  }
  if (reply.heads.size() > static_cast<size_t>(kHubRedirectsMax)) {
    return question->done(absl::InternalError(
        sentence(what, absl::StrCat("more than ", kHubRedirectsMax, " redirects"), "")));
  }
  reply.url = *target;
  send(question);
}

}  // namespace roost
