#include "node/endpoint/hub_endpoint.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "cluster/hub_errors.h"
#include "cluster/hub_json.h"
#include "cluster/hub_urls.h"
#include "node/addresses.h"
#include "node/await_callback.h"
#include "node/endpoint/hub_documents.h"
#include "protocol/errors.h"
#include "protocol/limits.h"

namespace roost {

namespace asio = boost::asio;

namespace {

constexpr char kJson[] = "application/json; charset=utf-8";
constexpr absl::Duration kHubRests = absl::Seconds(3);     // after it could not be reached
constexpr absl::Duration kHubPause = absl::Seconds(1);     // where it did not say how long
constexpr absl::Duration kHubPatience = absl::Seconds(6);  // of all pauses; clients wait 10 s
constexpr absl::Duration kLingering = absl::Seconds(30);
constexpr absl::Duration kInnerRangePatience = absl::Seconds(5);
constexpr size_t kWantedShownMax = 100'000;

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

// An error as the hub words it: clients decide by X-Error-Code.
HttpAnswer failure(int status, absl::string_view code, absl::string_view message) {
  HttpAnswer answer{.status = status};
  answer.headers = {{"Content-Type", kJson}, {"X-Error-Message", printable(message)}};
  if (!code.empty()) answer.headers.emplace_back("X-Error-Code", code);
  answer.body = jsonError(printable(message));
  return answer;
}

HttpAnswer unavailable(absl::string_view why) {
  return failure(503, "", sentence("the hub cannot be asked", why, "Try again later"));
}

HttpAnswer repoNotFound(const RepoId& repo, const std::optional<Token>& token) {
  return failure(
      token ? 404 : 401, "RepoNotFound",
      absl::StrCat(repo.toString(), " was not found, or may not be seen with this token"));
}

HttpAnswer entryNotFound(const RepoId& repo, const Commit& commit, absl::string_view path) {
  HttpAnswer answer =
      failure(404, "EntryNotFound",
              absl::StrCat(path, " does not exist in ", repo.toString(), " at ", commit.hex()));
  answer.headers.emplace_back("X-Repo-Commit", commit.hex());
  return answer;
}

// The hub could not answer: asking it again may help, and somebody else's word counts meanwhile.
bool isOutage(const HttpResult& result) {
  return !result.status.ok() || result.head.status >= 500 || result.head.status == 429 ||
         result.head.status == 408;
}

// The hub's own error, with the code that clients need even where it said none.
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
    answer.headers.emplace_back("Content-Type", kJson);
  }
  return answer;
}

std::string apiPath(const RepoId& repo) {
  return absl::StrCat("/api/", repoTypePlural(repo.type()), "/", percentEncoded(repo.name(), "/"));
}

std::string quotedRevision(const Revision& revision) {
  return percentEncoded(revisionText(revision));
}

// Starts a download again from its first byte when it gets 200 instead of 206.
bool startsAgain(const HttpAsk& ask) {
  const std::string* agent = ask.find("user-agent");
  return agent != nullptr &&
         (absl::StrContains(*agent, "hf_hub/") || absl::StartsWith(*agent, "curl/") ||
          absl::StrContains(*agent, "llama-cpp"));
}

}  // namespace

class HubEndpoint::Impl : public std::enable_shared_from_this<HubEndpoint::Impl> {
 public:
  Impl(Seams seams, Options options)
      : s_(std::move(seams)), options_(options), access_(options.authGrace) {}

  void handle(HttpAsk ask, std::function<void(HttpAnswer)> done) {
    asio::post(
        s_.io, [self = shared_from_this(), ask = std::move(ask), done = std::move(done)]() mutable {
          if (self->stopped_)
            return;  // `done` is dropped: the connection says that we are stopping
          asio::co_spawn(self->s_.io, run(self, std::move(ask), std::move(done)), asio::detached);
        });
  }

  void landed(const LandedBlob& blob) {
    const auto it = wanted_.find(blob.blob.id);
    if (it == wanted_.end()) return;
    const Wanted wanted = it->second;
    wanted_.erase(it);
    if (!options_.publish) return;
    PublishRepo order{{s_.core.self().id, 0},
                      {wanted.repo, wanted.commit, false, Visibility::kUnknown, {wanted.file}},
                      {},
                      {}};
    if (wanted.ref) order.refs.push_back(*wanted.ref);
    s_.folders.publish(order, [](RepoPublished) {});
  }

  TokenSource tokenFor(const RepoId& repo) const {
    const auto it = tokens_.find(repo);
    if (it == tokens_.end()) return nullptr;
    return [token = it->second] { return std::optional<Token>(token); };
  }

  void stop() {
    stopped_ = true;
    s_.proxy = nullptr;
    for (const auto& weak : timers_) {
      if (const auto timer = weak.lock()) timer->cancel();
    }
  }

 private:
  template <typename T>
  using Or = std::variant<T, HttpAnswer>;  // or the answer that ends the request

  static asio::awaitable<void> run(std::shared_ptr<Impl> self, HttpAsk ask,
                                   std::function<void(HttpAnswer)> done) {
    HttpAnswer answer = co_await self->answer(std::move(ask));
    done(std::move(answer));
  }

  asio::awaitable<HttpAnswer> answer(HttpAsk ask) {
    const HubRoute route = hubRoute(s_.origin, ask.method, ask.target);
    switch (route.kind) {
      case HubRoute::Kind::kFile:
        co_return co_await file(std::move(ask), route);
      case HubRoute::Kind::kInfo:
      case HubRoute::Kind::kRevision:
      case HubRoute::Kind::kTree:
      case HubRoute::Kind::kPathsInfo:
      case HubRoute::Kind::kRefs:
        co_return co_await metadata(std::move(ask), route);
      case HubRoute::Kind::kXetToken:
        co_return failure(404, "EntryNotFound", "Xet is not used through this agent");
      case HubRoute::Kind::kTelemetry:
        co_return HttpAnswer{};
      case HubRoute::Kind::kHarnesses: {
        if (!hubOpen()) co_return failure(404, "EntryNotFound", "the hub was not asked");
        HttpAnswer said = co_await forward(std::move(ask));
        if (said.status >= 500) said = failure(404, "EntryNotFound", "the hub did not answer");
        co_return said;
      }
      case HubRoute::Kind::kRoost:
        co_return own(ask, route);
      case HubRoute::Kind::kOther:
        break;
    }
    const bool writes = ask.method != "GET" && ask.method != "HEAD";
    HttpAnswer answer = co_await forward(std::move(ask));
    if (writes && route.repo) forgetNames(*route.repo);
    co_return answer;
  }

  // For people and programs of this node: a page in a browser that had its own name pointed here
  // (DNS rebinding) is told nothing.
  HttpAnswer own(const HttpAsk& ask, const HubRoute& route) const {
    const std::string* host = ask.find("host");
    if (host != nullptr && !isLoopback(host->substr(0, host->rfind(':')))) {
      return failure(403, "", "this page is for this node alone: ask for 127.0.0.1");
    }
    HttpAnswer answer;
    answer.headers = {{"Content-Type", kJson}, {"Cache-Control", "no-store"}};
    if (route.path == "roost/v1/status") {
      answer.body = s_.statusJson();
    } else if (route.path == "livez") {
      answer.body = "{\"live\":true}";
    } else if (route.path == "readyz") {
      const bool ready = s_.folders.isSettled();
      answer.status = ready ? 200 : 503;
      answer.body = ready ? "{\"ready\":true}" : "{\"ready\":false}";
    } else if (route.path.empty()) {
      answer.headers[0].second = "text/plain; charset=utf-8";
      answer.body = absl::StrCat(
          "roost ", ROOST_VERSION, ", node ", s_.core.self().name,
          ".\n\nHF_ENDPOINT with this address makes clients use this agent.\n"
          "/roost/v1/status says what the cluster holds, /livez and /readyz how the agent is.\n");
    } else {
      answer = failure(404, "EntryNotFound", "there is no such page");
    }
    return answer;
  }

  // ---- The hub

  bool hubOpen() const { return s_.proxy != nullptr && absl::Now() >= hubRestsUntil_; }

  // That the hub could not be asked a moment ago: for those who can be served without it.
  HttpResult resting() const { return {absl::UnavailableError(hubError_), {}, {}}; }

  asio::awaitable<HttpAnswer> forward(HttpAsk ask, bool follow = false) {
    if (s_.proxy == nullptr) {
      co_return failure(404, "RepoNotFound", "this agent asks no hub");
    }
    const std::string* host = ask.find("host");
    const std::string agent = host != nullptr ? absl::StrCat("http://", *host) : s_.agentUrl;
    HubProxy* proxy = s_.proxy;
    const std::function<void(std::function<void(HttpAnswer)>)> start =
        [&](std::function<void(HttpAnswer)> done) {
          proxy->forward(ask, agent, follow, std::move(done));
        };
    const HttpAnswer dropped = unavailable("the agent is stopping");
    co_return co_await awaitCallback<HttpAnswer>(start, dropped);
  }

  // `otherwise`: there is an answer without the hub, so a hub that just failed is left alone.
  asio::awaitable<HttpResult> askHub(HubProxy::Question question, bool otherwise) {
    if (s_.proxy == nullptr || (otherwise && !hubOpen())) co_return resting();
    HttpResult result = co_await askPatiently(question, otherwise);
    // A renamed repo: the hub leads to its new name.
    for (int hops = 0; hops < kHubRedirectsMax && result.status.ok(); ++hops) {
      const std::string* location = result.head.find("location");
      if (location == nullptr || result.head.status < 301 || result.head.status > 308) break;
      const auto next = followed(absl::StrCat(s_.origin.url(), question.target), *location);
      absl::string_view target = next.ok() ? absl::string_view(*next) : "";
      if (!absl::ConsumePrefix(&target, s_.origin.url()) || !absl::StartsWith(target, "/")) break;
      question.target = std::string(target);
      result = co_await askOnce(question);
    }
    if (!result.status.ok()) {
      hubRestsUntil_ = absl::Now() + kHubRests;
      hubError_ = std::string(result.status.message());
    } else {
      hubRestsUntil_ = absl::InfinitePast();
    }
    co_return result;
  }

  // A hub that says when it will answer again is believed, as far as the client can wait.
  asio::awaitable<HttpResult> askPatiently(HubProxy::Question question, bool otherwise) {
    const absl::Time until = absl::Now() + kHubPatience;
    while (true) {
      HttpResult result = co_await askOnce(question);
      const bool busy =
          result.status.ok() && (result.head.status == 429 || result.head.status == 503);
      if (!busy || otherwise) co_return result;
      const absl::Duration pause = waitAsked(result.head).value_or(kHubPause);
      if (absl::Now() + pause > until) co_return result;
      co_await sleep(pause);
    }
  }

  asio::awaitable<void> sleep(absl::Duration pause) {
    const std::function<void(std::function<void(bool)>)> start =
        [&](std::function<void(bool)> done) { startTimer(pause, [done] { done(true); }); };
    co_await awaitCallback<bool>(start, false);
  }

  asio::awaitable<HttpResult> askOnce(HubProxy::Question question) {
    if (s_.proxy == nullptr) co_return resting();
    HubProxy* proxy = s_.proxy;
    const std::function<void(std::function<void(HttpResult)>)> start =
        [&](std::function<void(HttpResult)> done) { proxy->ask(question, std::move(done)); };
    const HttpResult dropped{absl::UnavailableError("the agent is stopping"), {}, {}};
    co_return co_await awaitCallback<HttpResult>(start, dropped);
  }

  // ---- Who may see it

  Visibility visibilityOf(const RepoId& repo) const {
    Visibility known = s_.folders.inventory().visibilityOf(repo);
    if (known != Visibility::kUnknown) return known;
    for (const RepoHolderView& holder : s_.core.repoHolders(repo)) {
      if (holder.advert.visibility != Visibility::kUnknown) known = holder.advert.visibility;
    }
    return known;
  }

  bool mayWithoutAsking(const RepoId& repo, const std::optional<Token>& token,
                        bool hubAnswers) const {
    return visibilityOf(repo) == Visibility::kPublic ||
           access_.may(repo, token, hubAnswers, absl::Now());
  }

  // What the hub said of a repo to this client.
  void learn(const RepoId& repo, const std::optional<Token>& token, Visibility visibility) {
    if (visibility != Visibility::kUnknown) s_.learnt(repo, visibility);
    // That a gated repo exists is public; its files need a yes of their own.
    if (visibility == Visibility::kPrivate) accepted(repo, token);
  }

  void accepted(const RepoId& repo, const std::optional<Token>& token) {
    access_.accepted(repo, token, absl::Now());
    if (token) tokens_.insert_or_assign(repo, *token);
  }

  // ---- Where a name leads

  // Shared: a dataset has 200,000 files, and each request looks one of them up.
  using Manifest = std::shared_ptr<const Listing>;

  struct Located {
    Manifest manifest;
    std::optional<RefState> ref;
    bool stale = false;  // the hub did not say so now
  };
  struct Named {
    Commit commit;
    std::optional<RefState> ref;
    bool stale = false;
  };

  asio::awaitable<Or<Named>> commitOf(RepoId repo, Revision revision, std::optional<Token> token) {
    const absl::Time now = absl::Now();
    const auto* commit = std::get_if<Commit>(&revision);
    if (commit != nullptr && mayWithoutAsking(repo, token, hubOpen())) {
      co_return Named{*commit, std::nullopt};
    }
    const auto cached =
        commit != nullptr ? refs_.end() : refs_.find({repo, std::get<RefName>(revision)});
    const bool fresh = cached != refs_.end() && cached->second.hubTime &&
                       now - *cached->second.hubTime < options_.refTtl;
    if (fresh && mayWithoutAsking(repo, token, hubOpen())) {
      co_return Named{cached->second.commit, cached->second};
    }
    HubProxy::Question question{
        .target = absl::StrCat(apiPath(repo), "/revision/", quotedRevision(revision)),
        .token = token};
    const bool otherwise = mayWithoutAsking(repo, token, false) &&
                           (commit != nullptr || bestRef(repo, std::get<RefName>(revision)));
    const HttpResult result = co_await askHub(std::move(question), otherwise);
    if (!isOutage(result)) {
      if (result.head.status != 200) {
        if (result.head.status == 401 || result.head.status == 403 || result.head.status == 404) {
          access_.refused(repo, token);
        }
        co_return passed(result, repo);
      }
      const auto said = parseHubRevision(result.body);
      if (!said.ok()) co_return unavailable(said.status().message());
      learn(repo, token, said->visibility);
      if (commit != nullptr) co_return Named{said->commit, std::nullopt};
      const RefState ref{std::get<RefName>(revision), said->commit, absl::Now()};
      remember(repo, ref);
      co_return Named{said->commit, ref};
    }
    // The hub does not answer.
    if (!mayWithoutAsking(repo, token, false)) {
      if (s_.proxy == nullptr) co_return repoNotFound(repo, token);
      co_return passed(result, std::nullopt);
    }
    if (commit != nullptr) co_return Named{*commit, std::nullopt, true};
    const RefName& name = std::get<RefName>(revision);
    if (const auto best = bestRef(repo, name)) co_return Named{best->commit, best, true};
    if (s_.proxy == nullptr) {
      co_return s_.core.repoHolders(repo).empty()
          ? repoNotFound(repo, token)
          : failure(404, "RevisionNotFound",
                    absl::StrCat("no node knows ", name.text(), " of ", repo.toString()));
    }
    co_return passed(result, std::nullopt);
  }

  // The newest word of the hub that this node or any other remembers.
  std::optional<RefState> bestRef(const RepoId& repo, const RefName& name) const {
    std::optional<RefState> best;
    if (const auto it = refs_.find({repo, name}); it != refs_.end()) best = it->second;
    for (const auto& [node, state] : s_.core.refs(repo)) {
      if (state.ref != name) continue;
      if (!best || (state.hubTime && (!best->hubTime || *state.hubTime > *best->hubTime))) {
        best = state;
      }
    }
    return best;
  }

  void remember(const RepoId& repo, const RefState& ref) {
    if (refs_.size() >= kRefsCachedMax) refs_.erase(refs_.begin());
    refs_.insert_or_assign({repo, ref.ref}, ref);
  }

  // The files of a commit, under the client's token where the hub is asked.
  asio::awaitable<Or<Manifest>> filesOf(RepoId repo, Commit commit, std::optional<Token> token) {
    if (const auto it = manifests_.find({repo, commit}); it != manifests_.end()) {
      co_return it->second;
    }
    if (auto own = s_.folders.inventory().listing(repo, commit); own && own->complete) {
      co_return keep(*std::move(own));
    }
    Listing manifest{repo, commit, true, Visibility::kUnknown, {}};
    std::string target =
        absl::StrCat(apiPath(repo), "/tree/", commit.hex(), "?recursive=true&expand=false");
    const auto holders = s_.core.repoHolders(repo);
    const bool held = std::any_of(holders.begin(), holders.end(), [&](const RepoHolderView& h) {
      return h.advert.commit == commit && h.advert.manifest;
    });
    HttpResult result;
    for (size_t page = 0; page < kHubPagesMax; ++page) {
      HubProxy::Question question{.target = target, .token = token};
      result = co_await askHub(std::move(question), held);
      if (isOutage(result) || result.head.status != 200) break;
      auto entries = parseTreePage(result.body);
      if (!entries.ok()) co_return unavailable(entries.status().message());
      manifest.files.insert(manifest.files.end(), entries->files.begin(), entries->files.end());
      if (manifest.files.size() > kManifestFilesMax) {
        co_return unavailable("the repo has too many files");
      }
      const std::string* link = result.head.find("link");
      const auto next = link == nullptr ? std::nullopt : nextLink(*link);
      if (!next) {
        if (const absl::Status status = normalize(manifest); !status.ok()) {
          co_return unavailable(status.message());
        }
        co_return keep(std::move(manifest));
      }
      absl::string_view rest = *next;
      if (!absl::ConsumePrefix(&rest, s_.origin.url()) && !absl::StartsWith(rest, "/")) {
        co_return unavailable("the hub's list goes on elsewhere");
      }
      target = std::string(rest);
    }
    // No list from the hub: what the nodes have.
    auto known = co_await s_.resolver.resolve(repo, Revision(commit), SourceRule::kClusterOnly);
    if (known.ok()) co_return std::make_shared<const Listing>(std::move(known->listing));
    if (s_.proxy == nullptr) {
      co_return failure(404, "RevisionNotFound",
                        absl::StrCat("no node holds ", repo.toString(), " at ", commit.hex()));
    }
    if (isOutage(result)) co_return passed(result, std::nullopt);
    // A mirror without lists: its files can be asked for one by one.
    if (result.head.status == 404 && result.head.find("x-error-code") == nullptr) {
      co_return std::make_shared<const Listing>(
          Listing{repo, commit, false, Visibility::kUnknown, {}});
    }
    co_return passed(result, repo);
  }

  // Remembers a complete list, of all that are remembered at most kManifestFilesMax files.
  Manifest keep(Listing files) {
    const auto manifest = std::make_shared<const Listing>(std::move(files));
    while (!manifests_.empty() && manifestFiles_ + manifest->files.size() > kManifestFilesMax) {
      manifestFiles_ -= manifests_.begin()->second->files.size();
      manifests_.erase(manifests_.begin());
    }
    const bool isNew =
        manifests_.emplace(std::pair(manifest->repo, manifest->commit), manifest).second;
    if (isNew) manifestFiles_ += manifest->files.size();
    return manifest;
  }

  asio::awaitable<Or<Located>> locate(RepoId repo, Revision revision, std::optional<Token> token) {
    Or<Named> named = co_await commitOf(repo, revision, token);
    if (auto* error = std::get_if<HttpAnswer>(&named)) co_return std::move(*error);
    const Named& name = std::get<Named>(named);
    Or<Manifest> files = co_await filesOf(repo, name.commit, token);
    if (auto* error = std::get_if<HttpAnswer>(&files)) co_return std::move(*error);
    co_return Located{std::get<Manifest>(std::move(files)), name.ref, name.stale};
  }

  // ---- Files

  asio::awaitable<HttpAnswer> file(HttpAsk ask, HubRoute route) {
    const RepoId repo = *route.repo;
    const std::optional<Token> token = tokenOf(ask);
    Or<Located> found = co_await locate(repo, *route.revision, token);
    if (auto* error = std::get_if<HttpAnswer>(&found)) co_return std::move(*error);
    const Located& located = std::get<Located>(found);
    const Listing& manifest = *located.manifest;
    const auto entry =
        std::find_if(manifest.files.begin(), manifest.files.end(),
                     [&](const FileEntry& f) { return f.path.text() == route.path; });
    const auto path = RelativePath::parse(route.path);
    if (!path.ok()) co_return co_await forward(std::move(ask), true);
    if (auto refused = co_await mayRead(repo, manifest.commit, *path, token)) {
      co_return *std::move(refused);
    }
    if (entry == manifest.files.end()) {
      if (manifest.complete) co_return entryNotFound(repo, manifest.commit, route.path);
      if (hubOpen()) co_return co_await forward(std::move(ask), true);
      co_return unavailable("and no node has the complete list of files");
    }
    HttpAnswer answer = fileHead(ask, located, *entry);
    if (answer.status != 200) co_return answer;
    const ByteRange range = rangeOf(ask, *entry, answer);
    if (ask.method == "HEAD" || answer.status == 416) co_return answer;
    co_return co_await body(std::move(ask), located, *entry, range, std::move(answer));
  }

  // Of what is not public every file needs the hub's yes to this client. None: it may.
  asio::awaitable<std::optional<HttpAnswer>> mayRead(RepoId repo, Commit commit, RelativePath path,
                                                     std::optional<Token> token) {
    if (mayWithoutAsking(repo, token, hubOpen())) co_return std::nullopt;
    const std::string url = resolveUrl(repo, commit, path);
    absl::string_view rest = url;
    absl::ConsumePrefix(&rest, s_.origin.url());
    HubProxy::Question question{
        .method = HttpMethod::kHead, .target = std::string(rest), .token = token};
    const bool otherwise = mayWithoutAsking(repo, token, false);
    const HttpResult result = co_await askHub(std::move(question), otherwise);
    if (isOutage(result)) {
      if (otherwise) co_return std::nullopt;
      if (s_.proxy == nullptr) co_return repoNotFound(repo, token);
      co_return passed(result, std::nullopt);
    }
    // The hub looks at the token before it looks for the file.
    const std::string* code = result.head.find("x-error-code");
    const bool onlyMissing =
        result.head.status == 404 && code != nullptr && *code == "EntryNotFound";
    if (result.head.status < 400 || onlyMissing) {
      accepted(repo, token);
      co_return std::nullopt;
    }
    access_.refused(repo, token);
    co_return passed(result, repo);
  }

  HttpAnswer fileHead(const HttpAsk& ask, const Located& located, const FileEntry& file) const {
    const std::string etag = absl::StrCat("\"", file.blob.id.hex(), "\"");
    HttpAnswer answer;
    answer.headers = {{"ETag", etag},
                      {"X-Repo-Commit", located.manifest->commit.hex()},
                      {"Accept-Ranges", "bytes"},
                      {"Content-Type", "application/octet-stream"},
                      {"Cache-Control", "no-store"}};
    if (located.stale) {
      answer.headers.emplace_back(
          "X-HF-Warning", "roost; The hub does not answer: this is what the cluster holds.");
    }
    answer.length = file.blob.size;
    const std::string* match = ask.find("if-none-match");
    if (match != nullptr && (absl::StrContains(*match, etag) || *match == "*")) {
      answer.status = 304;
      answer.length = std::nullopt;
    }
    return answer;
  }

  ByteRange rangeOf(const HttpAsk& ask, const FileEntry& file, HttpAnswer& answer) const {
    const std::string* header = ask.find("range");
    const std::string* condition = ask.find("if-range");
    const uint64_t size = file.blob.size;
    ByteRange range = byteRange(header == nullptr ? "" : *header, size);
    if (condition != nullptr && !absl::StrContains(*condition, file.blob.id.hex())) {
      range = byteRange("", size);
    }
    // What this client has of it may be wrong: it must not go on from there.
    if (range.kind == ByteRange::Kind::kPart && range.first > 0 &&
        s_.readings.poisoned(file.blob.id)) {
      range =
          startsAgain(ask) ? byteRange("", size) : ByteRange{ByteRange::Kind::kUnsatisfiable, 0, 0};
    }
    if (range.kind == ByteRange::Kind::kPart) {
      answer.status = 206;
      answer.headers.emplace_back(
          "Content-Range", absl::StrCat("bytes ", range.first, "-", range.end - 1, "/", size));
      answer.length = range.end - range.first;
    } else if (range.kind == ByteRange::Kind::kUnsatisfiable) {
      answer.status = 416;
      answer.headers.emplace_back("Content-Range", absl::StrCat("bytes */", size));
      answer.length = 0;
    } else if (size == 0 && header != nullptr) {
      // Clients read a file's size off this header, and take "/0" for none.
      answer.headers.emplace_back("Content-Range", "bytes */0");
    }
    return range;
  }

  // ---- Bytes

  asio::awaitable<HttpAnswer> body(HttpAsk ask, Located located, FileEntry file, ByteRange range,
                                   HttpAnswer answer) {
    const BlobInfo blob = file.blob;
    if (range.first == range.end) co_return answer;  // an empty file
    const BlobPart part{blob, range.first, range.end};
    if (auto stream = co_await fromHere(part)) {
      answer.stream = std::move(stream);
      co_return answer;
    }
    const BlobSite site{located.manifest->repo, located.manifest->commit, file.path};
    const absl::Status room = co_await prepare(located, file);
    if (!room.ok()) {
      if (hubOpen()) co_return co_await forward(std::move(ask), true);
      co_return failure(503, "", room.message());
    }
    if (wanted_.size() < kWantedShownMax) {
      wanted_.insert_or_assign(blob.id, Wanted{site.repo, site.commit, file, located.ref});
    }
    const std::shared_ptr<BlobReading> reading = s_.readings.arriving(blob, site, range.first > 0);
    const bool small = blob.size <= kInlineBlobBytesMax;
    const bool toTheEnd = range.end == blob.size;
    const bool firstByte = range.first == 0 && range.end == 1;
    if (small || (!toTheEnd && !firstByte)) {
      const absl::Duration patience =
          small ? kEndpointAnswerTimeout - absl::Seconds(1) : kInnerRangePatience;
      const absl::Status whole = co_await verified(reading, patience);
      if (whole.ok()) {
        answer.stream = co_await fromHere(part);
        // Verified, and not under its name yet.
        if (!answer.stream) answer.stream = arrivingBody(part, reading, s_.pool);
        co_return answer;
      }
      linger(reading);
      if (hubOpen()) co_return co_await forward(std::move(ask), true);
      co_return failure(absl::IsDeadlineExceeded(whole) ? 504 : 503, "", whole.message());
    }
    // An answer that says why nothing comes is better than a body that ends early.
    const absl::Status began = co_await firstPiece(reading, range.first / kPieceBytes);
    // After the deadline the head goes out all the same: the client's patience begins anew with it.
    if (!began.ok() && !absl::IsDeadlineExceeded(began)) {
      if (hubOpen()) co_return co_await forward(std::move(ask), true);
      co_return failure(503, "", began.message());
    }
    co_await streaming(blob.id);
    answer.stream = arrivingBody(part, reading, s_.pool);
    co_return answer;
  }

  // A copy on this node, if there is one.
  asio::awaitable<std::shared_ptr<BodyStream>> fromHere(BlobPart part) {
    const auto copy = s_.folders.inventory().find(part.blob.id);
    if (!copy) co_return nullptr;
    const bool isVerified = copy->trust == Trust::kVerified || copy->trust == Trust::kRecheck;
    using Opened = std::shared_ptr<const LocalBlob>;
    const std::function<void(std::function<void(Opened)>)> open =
        [&](std::function<void(Opened)> done) { s_.folders.open(part.blob.id, std::move(done)); };
    const Opened none;
    const Opened file = co_await awaitCallback<Opened>(open, none);
    if (file == nullptr) co_return nullptr;
    if (isVerified && part.first == 0 && part.end == part.blob.size) {
      s_.readings.cure(part.blob.id);
    }
    co_return localBody(part, file, isVerified, s_.readings.local(part.blob), s_.pool);
  }

  // Finds where the blob is written.
  asio::awaitable<absl::Status> prepare(const Located& located, const FileEntry& file) {
    const CheckPresent question{
        {s_.core.self().id, 0},
        {located.manifest->repo, located.manifest->commit, false, Visibility::kUnknown, {file}}};
    const std::function<void(std::function<void(PresenceKnown)>)> ask =
        [&](std::function<void(PresenceKnown)> done) {
          s_.folders.checkPresent(question, std::move(done));
        };
    const PresenceKnown dropped{
        question.obtain, absl::UnavailableError("the agent is stopping"), {}};
    const PresenceKnown known = co_await awaitCallback<PresenceKnown>(ask, dropped);
    // Whether there is room shows when it is written: beside a client that writes the file into the
    // same cache, none is needed.
    co_return known.status;
  }

  // On the disk before the first byte that nobody has verified leaves.
  asio::awaitable<void> streaming(BlobId blob) {
    const std::function<void(std::function<void(bool)>)> start =
        [&](std::function<void(bool)> done) {
          s_.readings.streaming(blob, [done] { done(true); });
        };
    co_await awaitCallback<bool>(start, false);
  }

  asio::awaitable<absl::Status> verified(std::shared_ptr<BlobReading> reading,
                                         absl::Duration patience) {
    const std::function<void(std::function<void(absl::Status)>)> start =
        [&](std::function<void(absl::Status)> done) {
          after(patience, done);
          reading->verified([done](BlobReading::Piece whole) { done(whole.status()); });
        };
    const absl::Status dropped = absl::UnavailableError("the agent is stopping");
    co_return co_await awaitCallback<absl::Status>(start, dropped);
  }

  asio::awaitable<absl::Status> firstPiece(std::shared_ptr<BlobReading> reading, uint64_t piece) {
    const std::function<void(std::function<void(absl::Status)>)> start =
        [&](std::function<void(absl::Status)> done) {
          after(kEndpointAnswerTimeout - absl::Seconds(1), done);
          reading->piece(piece, [done](BlobReading::Piece got) { done(got.status()); });
        };
    const absl::Status dropped = absl::UnavailableError("the agent is stopping");
    co_return co_await awaitCallback<absl::Status>(start, dropped);
  }

  void after(absl::Duration patience, std::function<void(absl::Status)> done) {
    startTimer(patience, [patience, done = std::move(done)] {
      done(absl::DeadlineExceededError(
          absl::StrCat("it did not come within ", absl::FormatDuration(patience))));
    });
  }

  // Clients ask again: what was fetched until then is not thrown away.
  void linger(std::shared_ptr<BlobReading> reading) {
    startTimer(kLingering, [reading = std::move(reading)] {});
  }

  // Runs at its time, or when the agent stops.
  void startTimer(absl::Duration delay, std::function<void()> then) {
    auto timer = std::make_shared<asio::steady_timer>(s_.io, absl::ToChronoNanoseconds(delay));
    timer->async_wait(
        [timer, then = std::move(then)](const boost::system::error_code&) { then(); });
    std::erase_if(timers_, [](const auto& weak) { return weak.expired(); });
    timers_.push_back(timer);
  }

  // ---- Metadata

  // Somebody wrote to the repo through this agent: its branches may have moved.
  void forgetNames(const RepoId& repo) {
    std::erase_if(refs_, [&](const auto& entry) { return entry.first.first == repo; });
    const std::string prefix = apiPath(repo);
    std::vector<std::string> keys;
    for (const auto& [key, kept] : kept_) {
      if (absl::StrContains(key, prefix)) keys.push_back(key);
    }
    for (const std::string& key : keys) forget(key);
  }

  struct Kept {
    std::string body;
    HttpHeaders headers;
    absl::Time at;
  };

  asio::awaitable<HttpAnswer> metadata(HttpAsk ask, HubRoute route) {
    const RepoId repo = *route.repo;
    const std::optional<Token> token = tokenOf(ask);
    const bool isPublic = visibilityOf(repo) == Visibility::kPublic;
    const bool forGood = route.revision && std::holds_alternative<Commit>(*route.revision);
    const std::string key = absl::StrCat(ask.method == "POST" ? ask.body : "", " ", ask.target);
    const auto kept = kept_.find(key);
    const bool fresh =
        kept != kept_.end() && (forGood || absl::Now() - kept->second.at < options_.refTtl);
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
    const bool otherwise = mayWithoutAsking(repo, token, false) &&
                           (kept_.contains(key) || !s_.core.repoHolders(repo).empty());
    const HttpResult result = co_await askHub(std::move(question), otherwise);
    if (!isOutage(result)) {
      if (result.head.status != 200) {
        if (result.head.status == 401 || result.head.status == 403) access_.refused(repo, token);
        co_return passed(result, repo);
      }
      co_return said(ask, route, result, token, key);
    }
    // What was said before, or what the nodes know.
    if (isPublic && kept_.contains(key)) co_return keptAnswer(kept_.at(key), true);
    if (!mayWithoutAsking(repo, token, false)) {
      if (s_.proxy == nullptr) co_return repoNotFound(repo, token);
      co_return passed(result, std::nullopt);
    }
    HttpAnswer made = co_await fromCluster(ask, route, token);
    if (made.status == 503 && s_.proxy != nullptr) co_return passed(result, std::nullopt);
    co_return made;
  }

  HttpAnswer said(const HttpAsk& ask, const HubRoute& route, const HttpResult& result,
                  const std::optional<Token>& token, const std::string& key) {
    const RepoId& repo = *route.repo;
    if (route.kind == HubRoute::Kind::kInfo || route.kind == HubRoute::Kind::kRevision) {
      if (const auto revision = parseHubRevision(result.body); revision.ok()) {
        learn(repo, token, revision->visibility);
        const Revision named = route.revision.value_or(Revision(RefName::main()));
        if (const auto* ref = std::get_if<RefName>(&named)) {
          remember(repo, {*ref, revision->commit, absl::Now()});
        }
      }
    }
    Kept answer{withoutXet(result.body), {}, absl::Now()};
    const std::string* host = ask.find("host");
    const std::string agent = host != nullptr ? absl::StrCat("http://", *host) : s_.agentUrl;
    for (const auto& [name, value] : result.head.headers) {
      if (!goesToClient(name, value) || name == "etag") continue;
      answer.headers.emplace_back(
          name, name == "link" ? absl::StrReplaceAll(value, {{s_.origin.url(), agent}}) : value);
    }
    HttpAnswer whole = keptAnswer(answer, false);
    if (visibilityOf(repo) == Visibility::kPublic) keepAnswer(key, std::move(answer));
    return whole;
  }

  static HttpAnswer keptAnswer(const Kept& kept, bool stale) {
    HttpAnswer answer{.headers = kept.headers, .body = kept.body};
    if (stale) {
      answer.headers.emplace_back("X-HF-Warning",
                                  "roost; The hub does not answer: this is what it said before.");
    }
    return answer;
  }

  void keepAnswer(const std::string& key, Kept answer) {
    const size_t size = answer.body.size() + key.size();
    if (size > kHubAnswersBytesMax / 8) return;
    while (!keptOrder_.empty() &&
           (kept_.size() >= kHubAnswersCachedMax || keptBytes_ + size > kHubAnswersBytesMax)) {
      forget(keptOrder_.front());
    }
    if (kept_.contains(key)) forget(key);
    keptBytes_ += size;
    kept_.emplace(key, std::move(answer));
    keptOrder_.push_back(key);
  }

  void forget(std::string key) {
    const auto it = kept_.find(key);
    keptBytes_ -= it->second.body.size() + key.size();
    kept_.erase(it);
    keptOrder_.remove(key);
  }

  asio::awaitable<HttpAnswer> fromCluster(HttpAsk ask, HubRoute route, std::optional<Token> token) {
    const RepoId repo = *route.repo;
    HttpAnswer answer;
    answer.headers = {{"Content-Type", kJson}};
    if (s_.proxy != nullptr) {
      answer.headers.emplace_back(
          "X-HF-Warning", "roost; The hub does not answer: this is what the cluster holds.");
    }
    if (route.kind == HubRoute::Kind::kRefs) {
      std::map<RefName, RefState> refs;
      for (const auto& [node, state] : s_.core.refs(repo)) refs.insert_or_assign(state.ref, state);
      if (refs.empty()) co_return repoNotFound(repo, token);
      std::vector<RefState> list;
      for (const auto& [name, state] : refs) list.push_back(state);
      answer.body = refsDocument(list);
      co_return answer;
    }
    const Revision revision = route.revision.value_or(Revision(RefName::main()));
    Or<Located> found = co_await locate(repo, revision, token);
    if (auto* error = std::get_if<HttpAnswer>(&found)) co_return std::move(*error);
    const Listing& manifest = *std::get<Located>(found).manifest;
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
      shown.visibility = visibilityOf(repo);
      answer.body = infoDocument(shown);
    }
    co_return answer;
  }

  struct Wanted {
    RepoId repo;
    Commit commit;
    FileEntry file;
    std::optional<RefState> ref;
  };

  Seams s_;
  const Options options_;
  Access access_;
  bool stopped_ = false;
  absl::Time hubRestsUntil_ = absl::InfinitePast();
  std::string hubError_ = "this agent asks no hub";
  std::map<std::pair<RepoId, RefName>, RefState> refs_;
  std::map<std::pair<RepoId, Commit>, Manifest> manifests_;
  size_t manifestFiles_ = 0;  // in them
  std::map<RepoId, Token> tokens_;
  std::map<BlobId, Wanted> wanted_;  // fetched for a client, to be shown when it is here
  std::map<std::string, Kept> kept_;
  std::list<std::string> keptOrder_;
  size_t keptBytes_ = 0;
  std::list<std::weak_ptr<asio::steady_timer>> timers_;
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
TokenSource HubEndpoint::tokenFor(const RepoId& repo) const {
  return impl_->tokenFor(repo);
}
void HubEndpoint::stop() {
  impl_->stop();
}

}  // namespace roost
