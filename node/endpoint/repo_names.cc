#include "node/endpoint/repo_names.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "cluster/hub_json.h"
#include "cluster/hub_urls.h"
#include "protocol/limits.h"

namespace roost {

namespace asio = boost::asio;

namespace {

std::string quotedRevision(const Revision& revision) {
  return percentEncoded(revisionText(revision));
}

}  // namespace

std::string apiPath(const RepoId& repo) {
  return absl::StrCat("/api/", repoTypePlural(repo.type()), "/", percentEncoded(repo.name(), "/"));
}

RepoNames::RepoNames(const Core& core, const Inventory& inventory, Resolver& resolver, HubLine& hub,
                     RepoAccess& access, absl::Duration refTtl)
    : core_(core),
      inventory_(inventory),
      resolver_(resolver),
      hub_(hub),
      access_(access),
      refTtl_(refTtl) {}

asio::awaitable<OrAnswer<RepoNames::Named>> RepoNames::commitOf(RepoId repo, Revision revision,
                                                                std::optional<Token> token) {
  const absl::Time now = absl::Now();
  const auto* commit = std::get_if<Commit>(&revision);
  if (commit != nullptr && access_.mayWithoutAsking(repo, token, hub_.open())) {
    co_return Named{*commit, std::nullopt};
  }
  const auto cached =
      commit != nullptr ? refs_.end() : refs_.find({repo, std::get<RefName>(revision)});
  const bool fresh =
      cached != refs_.end() && cached->second.hubTime && now - *cached->second.hubTime < refTtl_;
  if (fresh && access_.mayWithoutAsking(repo, token, hub_.open())) {
    co_return Named{cached->second.commit, cached->second};
  }
  HubProxy::Question question{
      .target = absl::StrCat(apiPath(repo), "/revision/", quotedRevision(revision)),
      .token = token};
  const bool otherwise = access_.mayWithoutAsking(repo, token, false) &&
                         (commit != nullptr || newestWord(repo, std::get<RefName>(revision)));
  const HttpResult result = co_await hub_.ask(std::move(question), otherwise);
  if (!isOutage(result)) {
    if (result.head.status != 200) {
      if (result.head.status == 401 || result.head.status == 403 || result.head.status == 404) {
        access_.refused(repo, token);
      }
      co_return passed(result, repo);
    }
    const auto said = parseHubRevision(result.body);
    if (!said.ok()) co_return unavailable(said.status().message());
    access_.learn(repo, token, said->visibility);
    if (commit != nullptr) co_return Named{said->commit, std::nullopt};
    const RefState ref{std::get<RefName>(revision), said->commit, absl::Now()};
    remember(repo, ref);
    co_return Named{said->commit, ref};
  }
  // The hub does not answer.
  if (!access_.mayWithoutAsking(repo, token, false)) {
    if (!hub_.exists()) co_return repoNotFound(repo, token);
    co_return passed(result, std::nullopt);
  }
  if (commit != nullptr) co_return Named{*commit, std::nullopt, true};
  const RefName& name = std::get<RefName>(revision);
  if (const auto best = newestWord(repo, name)) co_return Named{best->commit, best, true};
  if (!hub_.exists()) {
    co_return core_.repoHolders(repo).empty()
        ? repoNotFound(repo, token)
        : failure(404, "RevisionNotFound",
                  absl::StrCat("no node knows ", name.text(), " of ", repo.toString()));
  }
  co_return passed(result, std::nullopt);
}

// The newest word of the hub that this node or any other remembers.
std::optional<RefState> RepoNames::newestWord(const RepoId& repo, const RefName& name) const {
  const std::optional<RefState> told = resolver_.refInCluster(repo, name);
  const auto own = refs_.find({repo, name});
  if (own == refs_.end()) return told;
  const bool newer =
      told && told->hubTime && (!own->second.hubTime || *told->hubTime > *own->second.hubTime);
  return newer ? told : own->second;
}

void RepoNames::remember(const RepoId& repo, const RefState& ref) {
  if (refs_.size() >= kRefsCachedMax) refs_.erase(refs_.begin());
  refs_.insert_or_assign({repo, ref.ref}, ref);
}

void RepoNames::forget(const RepoId& repo) {
  std::erase_if(refs_, [&](const auto& entry) { return entry.first.first == repo; });
}

// The files of a commit, under the client's token where the hub is asked.
asio::awaitable<OrAnswer<RepoNames::Manifest>> RepoNames::filesOf(RepoId repo, Commit commit,
                                                                  std::optional<Token> token) {
  if (const auto it = manifests_.find({repo, commit}); it != manifests_.end()) {
    co_return it->second;
  }
  if (auto own = inventory_.listing(repo, commit); own && own->complete) {
    co_return keep(*std::move(own));
  }
  Listing manifest{repo, commit, true, Visibility::kUnknown, {}};
  std::string target =
      absl::StrCat(apiPath(repo), "/tree/", commit.hex(), "?recursive=true&expand=false");
  const auto holders = core_.repoHolders(repo);
  const bool held = std::any_of(holders.begin(), holders.end(), [&](const RepoHolderView& h) {
    return h.advert.commit == commit && h.advert.manifest;
  });
  HttpResult result;
  for (size_t page = 0; page < kHubPagesMax; ++page) {
    HubProxy::Question question{.target = target, .token = token};
    result = co_await hub_.ask(std::move(question), held);
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
    if (!absl::ConsumePrefix(&rest, hub_.origin().url()) && !absl::StartsWith(rest, "/")) {
      co_return unavailable("the hub's list goes on elsewhere");
    }
    target = std::string(rest);
  }
  // No list from the hub: what the nodes have.
  auto known = co_await resolver_.resolve(repo, Revision(commit), SourceRule::kClusterOnly);
  if (known.ok()) co_return std::make_shared<const Listing>(std::move(known->listing));
  if (!hub_.exists()) {
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
RepoNames::Manifest RepoNames::keep(Listing files) {
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

asio::awaitable<OrAnswer<RepoNames::Located>> RepoNames::locate(RepoId repo, Revision revision,
                                                                std::optional<Token> token) {
  OrAnswer<Named> named = co_await commitOf(repo, revision, token);
  if (auto* error = std::get_if<HttpAnswer>(&named)) co_return std::move(*error);
  const Named& name = std::get<Named>(named);
  OrAnswer<Manifest> files = co_await filesOf(repo, name.commit, token);
  if (auto* error = std::get_if<HttpAnswer>(&files)) co_return std::move(*error);
  co_return Located{std::get<Manifest>(std::move(files)), name.ref, name.stale};
}

}  // namespace roost
