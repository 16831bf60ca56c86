#include "node/endpoint/hub_failures.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "node/endpoint/hub_proxy.h"
#include "protocol/errors.h"

namespace roost {
namespace {

std::string printable(absl::string_view text) {
  std::string line(text.substr(0, 400));
  for (char& c : line) {
    // Headers are ASCII.
    if (static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) >= 0x7f) c = ' ';
  }
  return line;
}

// Of printable(): only these two need it.
std::string jsonError(absl::string_view message) {
  return absl::StrCat("{\"error\":\"",
                      absl::StrReplaceAll(message, {{"\\", "\\\\"}, {"\"", "\\\""}}), "\"}");
}

}  // namespace

HttpAnswer failure(int status, absl::string_view code, absl::string_view message) {
  HttpAnswer answer{.status = status};
  answer.headers = {{"Content-Type", kJsonType}, {"X-Error-Message", printable(message)}};
  if (!code.empty()) answer.headers.emplace_back("X-Error-Code", code);
  answer.body = jsonError(printable(message));
  return answer;
}

HttpAnswer unavailable(absl::string_view why) {
  return failure(503, "", sentence("the hub cannot be asked", why, "Try again later"));
}

HttpAnswer repoUnknown(const RepoId& repo, const std::optional<Token>& token) {
  return failure(
      token ? 404 : 401, "RepoNotFound",
      sentence(absl::StrCat(repo.toString(), " was not found, or may not be shown"),
               "this agent asks no hub, and nobody told it that the repo is public",
               "Where everybody may see what lies in a folder, set visibility = \"public\" for its "
               "[[root]] in roost.toml"));
}

HttpAnswer entryNotFound(const RepoId& repo, const Commit& commit, absl::string_view path) {
  HttpAnswer answer =
      failure(404, "EntryNotFound",
              absl::StrCat(path, " does not exist in ", repo.toString(), " at ", commit.hex()));
  answer.headers.emplace_back("X-Repo-Commit", commit.hex());
  return answer;
}

bool isOutage(const HttpResult& result) {
  return !result.status.ok() || result.head.status >= 500 || result.head.status == 429 ||
         result.head.status == 408;
}

bool refusesRepo(const HttpResult& result) {
  const int status = result.head.status;
  const std::string* code = result.head.find("x-error-code");
  return status == 401 || status == 403 ||
         (status == 404 && code != nullptr && *code == "RepoNotFound");
}

bool mayBeHidden(const HttpResult& result) {
  return refusesRepo(result) ||
         (result.head.status == 404 && result.head.find("x-error-code") == nullptr);
}

HttpAnswer passed(const HttpResult& result, const std::optional<RepoId>& repo) {
  if (!result.status.ok()) return unavailable(result.status.message());
  HttpAnswer answer{.status = result.head.status};
  bool coded = false;
  for (const auto& [name, value] : result.head.headers) {
    if (!goesToClient(name, value)) continue;
    coded |= name == "x-error-code";
    answer.headers.emplace_back(name, value);
  }
  if (!coded && repo && (result.head.status == 401 || result.head.status == 404)) {
    answer.headers.emplace_back("X-Error-Code", "RepoNotFound");
  }
  if (!coded && result.head.status == 403) answer.headers.emplace_back("X-Error-Code", "GatedRepo");
  answer.body = result.body;
  if (answer.body.empty()) {  // of a HEAD: clients of a GET read why
    const std::string* why = result.head.find("x-error-message");
    answer.body = jsonError(printable(why != nullptr ? *why : "refused by the hub"));
    std::erase_if(answer.headers,
                  [](const auto& header) { return header.first == "content-type"; });
    answer.headers.emplace_back("Content-Type", kJsonType);
  }
  return answer;
}

}  // namespace roost
