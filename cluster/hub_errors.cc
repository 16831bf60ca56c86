#include "cluster/hub_errors.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "cluster/hub_urls.h"
#include "protocol/errors.h"

namespace roost {
namespace {

constexpr int kWaitSecondsMax = 86'400;

std::string header(const HttpHead& head, absl::string_view name) {
  const std::string* value = head.find(name);
  return value == nullptr ? "" : *value;
}

absl::Status repoNotFound(const HubSubject& subject, bool withToken) {
  return absl::NotFoundError(sentence(
      absl::StrCat("repo ", subject.repo.toString(), " was not found on ",
                   subject.repo.origin().url()),
      withToken ? "it does not exist, or this token may not see it"
                : "it does not exist, or it is private and no token was given",
      withToken
          ? "Check the name and the account of the token"
          : "Check the name; for a private repo set HF_TOKEN or log in with `hf auth login`"));
}

absl::Status gated(const HubSubject& subject, bool withToken) {
  return absl::PermissionDeniedError(sentence(
      absl::StrCat(subject.repo.toString(), " is gated on ", subject.repo.origin().url()),
      withToken ? "this token's account was not given access" : "no token was given",
      absl::StrCat("Ask for access at ", repoPageUrl(subject.repo),
                   withToken ? "" : ", then set HF_TOKEN or log in with `hf auth login`")));
}

absl::Status notAllowed(const HttpResult& result, const HubSubject& subject, bool withToken) {
  const std::string said = header(result.head, "x-error-message");
  return absl::PermissionDeniedError(
      sentence(absl::StrCat(subject.repo.origin().url(), " refused ", subject.toString(), " (HTTP ",
                            result.head.status, ")"),
               !said.empty() ? quoted(said)
               : withToken   ? "it did not accept the token"
                             : "it wants a token",
               withToken ? "Check the token, or log in again with `hf auth login`"
                         : "Set HF_TOKEN or log in with `hf auth login`"));
}

absl::Status notFound(const HttpResult& result, const HubSubject& subject, bool withToken) {
  const std::string code = header(result.head, "x-error-code");
  const std::string& hub = subject.repo.origin().url();
  if (code == "RepoNotFound") return repoNotFound(subject, withToken);
  if (code == "RevisionNotFound") {
    return absl::NotFoundError(
        sentence(absl::StrCat("revision ", quoted(subject.revision), " of ",
                              subject.repo.toString(), " was not found on ", hub),
                 "", "Check the name of the branch, tag or commit"));
  }
  if (code == "EntryNotFound") {
    return absl::NotFoundError(absl::StrCat(subject.toString(), " was not found on ", hub));
  }
  return absl::NotFoundError(sentence(absl::StrCat(subject.toString(), " was not found on ", hub),
                                      "HTTP 404 without the error code of a hub",
                                      "Check the name and the hub's URL"));
}

std::string reasonOf(const HttpResult& result) {
  if (!result.status.ok()) return std::string(result.status.message());
  const std::string said = header(result.head, "x-error-message");
  const absl::string_view meaning = result.head.status == 429   ? " (too many requests)"
                                    : result.head.status == 408 ? " (request time-out)"
                                                                : "";
  return absl::StrCat("HTTP ", result.head.status, meaning,
                      said.empty() ? "" : absl::StrCat(", ", quoted(said)));
}

absl::Status unavailable(const HttpResult& result, const HubSubject& subject) {
  return absl::UnavailableError(
      sentence(absl::StrCat(subject.repo.origin().url(), " did not give ", subject.toString()),
               reasonOf(result), ""));
}

HubVerdict judgeTransport(const HttpResult& result, const HubSubject& subject) {
  switch (result.status.code()) {
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kAborted:
      return {unavailable(result, subject), true, std::nullopt};
    case absl::StatusCode::kCancelled:
      return {result.status, false, std::nullopt};
    default:
      return {absl::Status(result.status.code(),
                           sentence(absl::StrCat("cannot get ", subject.toString(), " from ",
                                                 subject.repo.origin().url()),
                                    result.status.message(), "")),
              false, std::nullopt};
  }
}

}  // namespace

std::string HubSubject::toString() const {
  std::string text = path.empty() ? "" : absl::StrCat(quoted(path), " of ");
  absl::StrAppend(&text, repo.toString());
  if (!revision.empty()) absl::StrAppend(&text, " at ", quoted(revision));
  return text;
}

std::optional<absl::Duration> waitAsked(const HttpHead& head) {
  int seconds = 0;
  if (const std::string* after = head.find("retry-after");
      after != nullptr && absl::SimpleAtoi(*after, &seconds) && seconds >= 0) {
    return absl::Seconds(std::min(seconds, kWaitSecondsMax));
  }
  const std::string* limit = head.find("ratelimit");
  if (limit == nullptr) return std::nullopt;
  bool exhausted = false;
  std::optional<absl::Duration> wait;
  for (absl::string_view field : absl::StrSplit(*limit, ';')) {
    field = absl::StripAsciiWhitespace(field);
    if (field == "r=0") exhausted = true;
    if (absl::ConsumePrefix(&field, "t=") && absl::SimpleAtoi(field, &seconds) && seconds >= 0) {
      wait = absl::Seconds(std::min(seconds, kWaitSecondsMax));
    }
  }
  return exhausted ? wait : std::nullopt;
}

HubVerdict judge(const HttpResult& result, const HubSubject& subject, bool withToken) {
  if (!result.status.ok()) return judgeTransport(result, subject);
  const int status = result.head.status;
  const std::string code = header(result.head, "x-error-code");
  if (status >= 200 && status < 400 && status != 304) return {};
  if (status == 408 || status == 429 || status >= 500) {
    return {unavailable(result, subject), true, waitAsked(result.head)};
  }
  if (status == 401 || status == 403) {
    if (code == "GatedRepo") return {gated(subject, withToken)};
    if (code == "RepoNotFound") return {repoNotFound(subject, withToken)};
    return {notAllowed(result, subject, withToken)};
  }
  if (status == 404 || status == 410) return {notFound(result, subject, withToken)};
  return {absl::InternalError(sentence(
      absl::StrCat("cannot get ", subject.toString(), " from ", subject.repo.origin().url()),
      reasonOf(result), ""))};
}

}  // namespace roost
