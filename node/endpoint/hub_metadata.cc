#include "node/endpoint/hub_metadata.h"

#include <map>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/time/clock.h"
#include "cluster/hub_json.h"
#include "node/endpoint/hub_documents.h"
#include "node/endpoint/hub_failures.h"

namespace roost {

namespace asio = boost::asio;

namespace {

constexpr char kStaleWord[] = "roost; The hub does not answer: this is what it said before.";

// Its answer says whether the repo is private or gated.
bool tellsVisibility(const HubRoute& route) {
  return (route.kind == HubRoute::Kind::kInfo || route.kind == HubRoute::Kind::kRevision) &&
         route.query.empty();
}

Revision revisionOf(const HubRoute& route) {
  return route.revision.value_or(Revision(RefName::main()));
}

// Python's clients write their flags in two ways: it is one question.
std::string spelled(const std::string& target) {
  const size_t query = target.find('?');
  if (query == std::string::npos) return target;
  return absl::StrCat(
      target.substr(0, query),
      absl::StrReplaceAll(target.substr(query), {{"=True", "=true"}, {"=False", "=false"}}));
}

std::string formTypeOf(const HttpAsk& ask) {
  const std::string* type = ask.find("content-type");
  return type == nullptr ? "" : *type;
}

}  // namespace

HubMetadata::HubMetadata(const Core& core, HubLine& hub, PublicWord& word, RepoAccess& access,
                         RepoNames& names)
    : core_(core), hub_(hub), word_(word), access_(access), names_(names) {}

// None: that is not for anybody.
asio::awaitable<std::optional<PublicWord::Said>> HubMetadata::askAnybody(HttpAsk ask,
                                                                         HubRoute route) {
  const RepoId repo = *route.repo;
  const Revision revision = revisionOf(route);
  const bool tells = tellsVisibility(route);
  const std::optional<Token> token = tokenOf(ask);
  const bool anybody = access_.maybePublic(repo) || access_.isStranger(repo, token);
  if (!hub_.exists() || !anybody) co_return std::nullopt;
  if (!tells) {
    std::optional<PublicWord::Said> met = co_await names_.meet(repo, revision, token);
    if (met && isOutage(met->result)) co_return met;
    if (!access_.isPublic(repo)) co_return std::nullopt;
  }
  PublicWord::Question question{.target = spelled(ask.target)};
  if (ask.method == "POST") {
    question.form = ask.body;
    question.formType = formTypeOf(ask);
  }
  const bool forGood =
      route.revision && std::holds_alternative<Commit>(*route.revision) && access_.isPublic(repo);
  const bool otherwise =
      access_.mayWithoutAsking(repo, token, false) && !core_.repoHolders(repo).empty();
  PublicWord::Said said = co_await word_.ask(repo, question, forGood, otherwise);
  names_.learn(repo, tells ? &revision : nullptr, said);
  if (forGood) names_.checkLater(repo);
  co_return said;
}

asio::awaitable<HttpResult> HubMetadata::askAsClient(HttpAsk ask, HubRoute route,
                                                     std::optional<Token> token) {
  HubProxy::Question question{.target = ask.target, .token = token};
  if (ask.method == "POST") {
    question.verb = "POST";
    question.upload = ask.body;
    question.headers.emplace_back("Content-Type", formTypeOf(ask));
  }
  if (const std::string* agent = ask.find("user-agent")) {
    question.headers.emplace_back("User-Agent", *agent);
  }
  const bool otherwise = access_.mayWithoutAsking(*route.repo, token, false) &&
                         !core_.repoHolders(*route.repo).empty();
  co_return co_await hub_.ask(std::move(question), otherwise);
}

asio::awaitable<HttpAnswer> HubMetadata::answer(HttpAsk ask, HubRoute route) {
  const RepoId repo = *route.repo;
  const std::optional<Token> token = tokenOf(ask);
  HttpResult result;
  const std::optional<PublicWord::Said> said = co_await askAnybody(ask, route);
  if (said) result = said->result;
  // Who has a token may see what others may not.
  const bool outdated =
      said && said->stale && tellsVisibility(route) && isOutdated(route, said->at);
  if (outdated) co_return co_await fromCluster(ask, route, token);
  if (said && !isOutage(result) && !(token && mayBeHidden(result))) {
    co_return shown(ask, repo, result, said->stale);
  }
  if (!said || !isOutage(result)) result = co_await askAsClient(ask, route, token);
  if (!isOutage(result)) {
    if (result.head.status == 401 || result.head.status == 403) access_.refused(repo, token);
    if (result.head.status == 200 && tellsVisibility(route)) {
      if (const auto revision = parseHubRevision(result.body); revision.ok()) {
        access_.learn(repo, token, revision->visibility);
        const Revision named = revisionOf(route);
        if (const auto* ref = std::get_if<RefName>(&named)) {
          names_.remember(repo, {*ref, revision->commit, absl::Now()});
        }
      }
    }
    co_return shown(ask, repo, result, false);
  }
  // What the nodes know.
  if (!access_.mayWithoutAsking(repo, token, false)) {
    if (!hub_.exists()) co_return repoUnknown(repo, token);
    co_return passed(result, std::nullopt);
  }
  HttpAnswer made = co_await fromCluster(ask, route, token);
  if (made.status == 503 && hub_.exists()) co_return passed(result, std::nullopt);
  co_return made;
}

// Some node has a newer word of the hub.
bool HubMetadata::isOutdated(const HubRoute& route, absl::Time at) const {
  const Revision revision = revisionOf(route);
  const auto* ref = std::get_if<RefName>(&revision);
  return ref != nullptr && names_.newerThan(*route.repo, *ref, at).has_value();
}

HttpAnswer HubMetadata::shown(const HttpAsk& ask, const RepoId& repo, const HttpResult& result,
                              bool stale) const {
  if (result.head.status != 200) return passed(result, repo);
  HttpAnswer answer{.body = withoutXet(result.body)};
  const std::string agent = hub_.agentUrl(ask);
  for (const auto& [name, value] : result.head.headers) {
    if (!goesToClient(name, value) || name == "etag") continue;
    answer.headers.emplace_back(
        name, name == "link" ? absl::StrReplaceAll(value, {{hub_.origin().url(), agent}}) : value);
  }
  if (stale) answer.headers.emplace_back("X-HF-Warning", kStaleWord);
  return answer;
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
    if (refs.empty()) co_return repoUnknown(repo, token);
    std::vector<RefState> list;
    for (const auto& [name, state] : refs) list.push_back(state);
    answer.body = refsDocument(list);
    co_return answer;
  }
  const Revision revision = route.revision.value_or(Revision(RefName::main()));
  OrAnswer<RepoNames::Located> found = co_await names_.locate(repo, revision, token);
  if (auto* error = std::get_if<HttpAnswer>(&found)) co_return std::move(*error);
  const Listing& manifest = *std::get<RepoNames::Located>(found).manifest;
  const bool namesHashes =
      route.kind == HubRoute::Kind::kTree || route.kind == HubRoute::Kind::kPathsInfo;
  if (namesHashes && manifest.observes()) {
    co_return unavailable("no node has a list of files with the hub's hashes");
  }
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
