#include "node/endpoint/hub_metadata.h"

#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/time/clock.h"
#include "cluster/hub_json.h"
#include "node/endpoint/hub_documents.h"
#include "node/endpoint/hub_failures.h"
#include "protocol/limits.h"

namespace roost {

namespace asio = boost::asio;

HubMetadata::HubMetadata(const Core& core, HubLine& hub, RepoAccess& access, RepoNames& names,
                         absl::Duration refTtl)
    : core_(core), hub_(hub), access_(access), names_(names), refTtl_(refTtl) {}

void HubMetadata::forget(const RepoId& repo) {
  const std::string prefix = apiPath(repo);
  std::vector<std::string> keys;
  for (const auto& [key, kept] : kept_) {
    if (absl::StrContains(key, prefix)) keys.push_back(key);
  }
  for (const std::string& key : keys) drop(key);
}

asio::awaitable<HttpAnswer> HubMetadata::answer(HttpAsk ask, HubRoute route) {
  const RepoId repo = *route.repo;
  const std::optional<Token> token = tokenOf(ask);
  const bool isPublic = access_.isPublic(repo);
  const bool forGood = route.revision && std::holds_alternative<Commit>(*route.revision);
  const std::string key = absl::StrCat(ask.method == "POST" ? ask.body : "", " ", ask.target);
  const auto kept = kept_.find(key);
  const bool fresh = kept != kept_.end() && (forGood || absl::Now() - kept->second.at < refTtl_);
  if (isPublic && fresh) co_return keptAnswer(kept->second, false);

  HubProxy::Question question{.target = ask.target, .token = token};
  if (ask.method == "POST") {
    question.verb = "POST";
    question.upload = ask.body;
    if (const std::string* type = ask.find("content-type")) {
      question.headers.emplace_back("Content-Type", *type);
    }
  }
  if (const std::string* agent = ask.find("user-agent")) {
    question.headers.emplace_back("User-Agent", *agent);
  }
  const bool otherwise = access_.mayWithoutAsking(repo, token, false) &&
                         (kept_.contains(key) || !core_.repoHolders(repo).empty());
  const HttpResult result = co_await hub_.ask(std::move(question), otherwise);
  if (!isOutage(result)) {
    if (result.head.status != 200) {
      if (result.head.status == 401 || result.head.status == 403) access_.refused(repo, token);
      co_return passed(result, repo);
    }
    co_return said(ask, route, result, token, key);
  }
  // What was said before, or what the nodes know.
  if (isPublic && kept_.contains(key)) co_return keptAnswer(kept_.at(key), true);
  if (!access_.mayWithoutAsking(repo, token, false)) {
    if (!hub_.exists()) co_return repoNotFound(repo, token);
    co_return passed(result, std::nullopt);
  }
  HttpAnswer made = co_await fromCluster(ask, route, token);
  if (made.status == 503 && hub_.exists()) co_return passed(result, std::nullopt);
  co_return made;
}

HttpAnswer HubMetadata::said(const HttpAsk& ask, const HubRoute& route, const HttpResult& result,
                             const std::optional<Token>& token, const std::string& key) {
  const RepoId& repo = *route.repo;
  if (route.kind == HubRoute::Kind::kInfo || route.kind == HubRoute::Kind::kRevision) {
    if (const auto revision = parseHubRevision(result.body); revision.ok()) {
      access_.learn(repo, token, revision->visibility);
      const Revision named = route.revision.value_or(Revision(RefName::main()));
      if (const auto* ref = std::get_if<RefName>(&named)) {
        names_.remember(repo, {*ref, revision->commit, absl::Now()});
      }
    }
  }
  Kept answer{withoutXet(result.body), {}, absl::Now()};
  const std::string agent = hub_.agentUrl(ask);
  for (const auto& [name, value] : result.head.headers) {
    if (!goesToClient(name, value) || name == "etag") continue;
    answer.headers.emplace_back(
        name, name == "link" ? absl::StrReplaceAll(value, {{hub_.origin().url(), agent}}) : value);
  }
  HttpAnswer whole = keptAnswer(answer, false);
  if (access_.isPublic(repo)) keep(key, std::move(answer));
  return whole;
}

HttpAnswer HubMetadata::keptAnswer(const Kept& kept, bool stale) {
  HttpAnswer answer{.headers = kept.headers, .body = kept.body};
  if (stale) {
    answer.headers.emplace_back("X-HF-Warning",
                                "roost; The hub does not answer: this is what it said before.");
  }
  return answer;
}

void HubMetadata::keep(const std::string& key, Kept answer) {
  const size_t size = answer.body.size() + key.size();
  if (size > kHubAnswersBytesMax / 8) return;
  while (!keptOrder_.empty() &&
         (kept_.size() >= kHubAnswersCachedMax || keptBytes_ + size > kHubAnswersBytesMax)) {
    drop(keptOrder_.front());
  }
  if (kept_.contains(key)) drop(key);
  keptBytes_ += size;
  kept_.emplace(key, std::move(answer));
  keptOrder_.push_back(key);
}

void HubMetadata::drop(std::string key) {
  const auto it = kept_.find(key);
  keptBytes_ -= it->second.body.size() + key.size();
  kept_.erase(it);
  keptOrder_.remove(key);
}

asio::awaitable<HttpAnswer> HubMetadata::fromCluster(HttpAsk ask, HubRoute route,
                                                     std::optional<Token> token) {
  const RepoId repo = *route.repo;
  HttpAnswer answer;
  answer.headers = {{"Content-Type", kJsonType}};
  if (hub_.exists()) {
    answer.headers.emplace_back("X-HF-Warning",
                                "roost; The hub does not answer: this is what the cluster holds.");
  }
  if (route.kind == HubRoute::Kind::kRefs) {
    std::map<RefName, RefState> refs;
    for (const auto& [node, state] : core_.refs(repo)) refs.insert_or_assign(state.ref, state);
    if (refs.empty()) co_return repoNotFound(repo, token);
    std::vector<RefState> list;
    for (const auto& [name, state] : refs) list.push_back(state);
    answer.body = refsDocument(list);
    co_return answer;
  }
  const Revision revision = route.revision.value_or(Revision(RefName::main()));
  OrAnswer<RepoNames::Located> found = co_await names_.locate(repo, revision, token);
  if (auto* error = std::get_if<HttpAnswer>(&found)) co_return std::move(*error);
  const Listing& manifest = *std::get<RepoNames::Located>(found).manifest;
  if (route.kind == HubRoute::Kind::kTree) {
    const bool recursive = route.flag("recursive");
    const auto tree = treeDocument(manifest, route.path, recursive);
    if (!tree.ok()) {
      if (!manifest.complete) co_return unavailable("no node has the complete list of files");
      co_return entryNotFound(repo, manifest.commit, route.path);
    }
    answer.body = *tree;
  } else if (route.kind == HubRoute::Kind::kPathsInfo) {
    const auto info = pathsInfoDocument(manifest, ask.body);
    if (!info.ok()) co_return failure(400, "", info.status().message());
    answer.body = *info;
  } else {
    Listing shown = manifest;
    shown.visibility = access_.visibilityOf(repo);
    answer.body = infoDocument(shown);
  }
  co_return answer;
}

}  // namespace roost
