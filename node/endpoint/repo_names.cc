#include "node/endpoint/repo_names.h"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
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

std::string revisionTarget(const RepoId& repo, const Revision& revision) {
  return absl::StrCat(apiPath(repo), "/revision/", quotedRevision(revision));
}

constexpr absl::Duration kListless = absl::Minutes(5);  // a mirror does not learn it every minute

// A mirror that only has files: it knows no such request.
bool hasNoLists(const HttpResult& result) {
  const int status = result.head.status;
  const bool unknown = status == 404 || status == 405 || status == 501;
  return result.status.ok() && unknown && result.head.find("x-error-code") == nullptr;
}

const std::string* etagOf(const HttpHead& head) {
  const std::string* etag = head.find("x-linked-etag");
  return etag != nullptr ? etag : head.find("etag");
}

std::optional<uint64_t> sizeOf(const HttpHead& head) {
  const std::string* size = head.find("x-linked-size");
  // Of a redirect to another host it is the redirect's own.
  if (size == nullptr && head.status < 300) size = head.find("content-length");
  uint64_t bytes = 0;
  if (size == nullptr || !absl::SimpleAtoi(*size, &bytes)) return std::nullopt;
  return bytes;
}

// What an answer to HEAD names the file by, if that is a hash of its content.
std::optional<FileEntry> entryOf(const RelativePath& path, const HttpHead& head) {
  const std::string* etag = etagOf(head);
  const std::optional<uint64_t> bytes = sizeOf(head);
  if (etag == nullptr || !bytes || *bytes > kBlobBytesMax) return std::nullopt;
  const auto id = BlobId::parseHex(bareEtag(*etag));
  if (!id.ok()) return std::nullopt;
  // Too large for git: 40 digits are something else, such as the plain SHA-1 of the content.
  if (id->algorithm() == HashAlgorithm::kGitSha1 && *bytes > kGitFileBytesMax) return std::nullopt;
  return FileEntry{path, {*id, *bytes}, std::nullopt};
}

bool isCommit(const Revision& revision) {
  return std::holds_alternative<Commit>(revision);
}

}  // namespace

std::optional<MadeEtag> madeEtag(const RepoId& repo, const RelativePath& path,
                                 absl::string_view hubs) {
  const absl::string_view etag = bareEtag(hubs);
  if (etag.empty()) return std::nullopt;
  if (auto digest = MadeEtag::parseHex(absl::AsciiStrToLower(etag)); digest.ok()) return *digest;
  return MadeEtag::of(absl::StrCat(repo.toString(), "\n", path.text(), "\n", etag));
}

std::string apiPath(const RepoId& repo) {
  return absl::StrCat("/api/", repoTypePlural(repo.type()), "/", percentEncoded(repo.name(), "/"));
}

RepoNames::RepoNames(Seams seams, absl::Duration refTtl) : s_(std::move(seams)), refTtl_(refTtl) {}

// Under a commit nothing moves; but whether everybody may see it does.
asio::awaitable<PublicWord::Said> RepoNames::askAnybody(RepoId repo, Revision revision,
                                                        bool otherwise) {
  const bool forGood = isCommit(revision) && s_.access.isPublic(repo);
  const PublicWord::Question question{.target = revisionTarget(repo, revision)};
  PublicWord::Said said = co_await s_.word.ask(repo, question, forGood, otherwise);
  learn(repo, &revision, said);
  co_return said;
}

void RepoNames::learn(const RepoId& repo, const Revision* revision, const PublicWord::Said& said) {
  if (isOutage(said.result)) return;
  // An old word is for those who never had one.
  if (said.stale && s_.access.visibilityOf(repo) != Visibility::kUnknown) return;
  if (refusesRepo(said.result)) return s_.access.anonymousMayNot(repo);
  s_.access.anonymousMay(repo, said.at);
  if (revision == nullptr || said.result.head.status != 200) return;
  const auto answer = parseHubRevision(said.result.body);
  if (!answer.ok()) return;
  s_.access.learn(repo, std::nullopt, answer->visibility);
  if (const auto* ref = std::get_if<RefName>(revision)) {
    remember(repo, {*ref, answer->commit, said.at});
  }
}

asio::awaitable<std::optional<PublicWord::Said>> RepoNames::meet(RepoId repo, Revision revision,
                                                                 std::optional<Token> token) {
  const bool unknown = s_.access.visibilityOf(repo) == Visibility::kUnknown;
  if (!s_.hub.exists() || (!unknown && !s_.access.isStranger(repo, token))) co_return std::nullopt;
  co_return co_await askAnybody(repo, revision, false);
}

// A client that asks by a commit is not kept waiting for whether the repo is public still.
void RepoNames::checkLater(const RepoId& repo) {
  if (!s_.hub.open() || !s_.access.isPublic(repo) || !s_.access.due(repo, absl::Now())) return;
  asio::co_spawn(
      s_.io,
      [](std::shared_ptr<void>, RepoNames* self, RepoId asked) -> asio::awaitable<void> {
        const Revision branch(RefName::main());
        co_await self->askAnybody(asked, branch, false);
      }(s_.alive(), this, repo),
      asio::detached);
}

asio::awaitable<OrAnswer<RepoNames::Named>> RepoNames::commitOf(RepoId repo, Revision revision,
                                                                std::optional<Token> token) {
  const auto* commit = std::get_if<Commit>(&revision);
  if (commit != nullptr && s_.access.mayWithoutAsking(repo, token, s_.hub.open())) {
    checkLater(repo);
    co_return Named{*commit, std::nullopt};
  }
  const auto cached =
      commit != nullptr ? refs_.end() : refs_.find({repo, std::get<RefName>(revision)});
  const bool fresh = cached != refs_.end() && cached->second.hubTime &&
                     absl::Now() - *cached->second.hubTime < refTtl_;
  if (fresh && s_.access.mayWithoutAsking(repo, token, s_.hub.open())) {
    co_return Named{cached->second.commit, cached->second};
  }
  HttpResult result;
  bool stale = false;
  absl::Time at = absl::Now();
  bool asked = false;
  const bool otherwise = s_.access.mayWithoutAsking(repo, token, false) &&
                         (commit != nullptr || newestWord(repo, std::get<RefName>(revision)));
  if (s_.hub.exists() && (s_.access.maybePublic(repo) || s_.access.isStranger(repo, token))) {
    PublicWord::Said said = co_await askAnybody(repo, revision, otherwise);
    // Who has a token may see what others may not.
    asked = isOutage(said.result) || !mayBeHidden(said.result) || !token;
    result = std::move(said.result);
    stale = said.stale;
    at = said.at;
  }
  if (!asked) {
    HubProxy::Question question{.target = revisionTarget(repo, revision), .token = token};
    result = co_await s_.hub.ask(std::move(question), otherwise);
    stale = false;
    at = absl::Now();
  }
  if (!isOutage(result)) {
    if (result.head.status != 200) {
      if (result.head.status == 401 || result.head.status == 403 || result.head.status == 404) {
        s_.access.refused(repo, token);
      }
      co_return passed(result, repo);
    }
    const auto said = parseHubRevision(result.body);
    if (!said.ok()) co_return unavailable(said.status().message());
    if (!asked) s_.access.learn(repo, token, said->visibility);
    if (commit != nullptr) co_return Named{said->commit, std::nullopt, stale};
    if (stale) {
      if (const auto newer = newerThan(repo, std::get<RefName>(revision), at)) {
        co_return Named{newer->commit, newer, true};
      }
    }
    const RefState ref{std::get<RefName>(revision), said->commit, at};
    if (!stale) remember(repo, ref);
    co_return Named{said->commit, ref, stale};
  }
  // The hub does not answer.
  if (!s_.access.mayWithoutAsking(repo, token, false)) {
    if (!s_.hub.exists()) co_return repoUnknown(repo, token);
    co_return passed(result, std::nullopt);
  }
  if (commit != nullptr) co_return Named{*commit, std::nullopt, true};
  const RefName& name = std::get<RefName>(revision);
  if (const auto best = newestWord(repo, name)) co_return Named{best->commit, best, true};
  if (!s_.hub.exists()) {
    co_return s_.core.repoHolders(repo).empty()
        ? repoUnknown(repo, token)
        : failure(404, "RevisionNotFound",
                  absl::StrCat("no node knows ", name.text(), " of ", repo.toString()));
  }
  co_return passed(result, std::nullopt);
}

// The newest word of the hub that this node or any other remembers.
std::optional<RefState> RepoNames::newestWord(const RepoId& repo, const RefName& name) const {
  const std::optional<RefState> told = s_.resolver.refInCluster(repo, name);
  const auto own = refs_.find({repo, name});
  if (own == refs_.end()) return told;
  const bool newer =
      told && told->hubTime && (!own->second.hubTime || *told->hubTime > *own->second.hubTime);
  return newer ? told : own->second;
}

std::optional<RefState> RepoNames::newerThan(const RepoId& repo, const RefName& name,
                                             absl::Time at) const {
  auto best = newestWord(repo, name);
  if (best && best->hubTime && *best->hubTime > at) return best;
  return std::nullopt;
}

void RepoNames::remember(const RepoId& repo, const RefState& ref) {
  if (refs_.size() >= kRefsCachedMax) refs_.erase(refs_.begin());
  refs_.insert_or_assign({repo, ref.ref}, ref);
}

void RepoNames::forget(const RepoId& repo) {
  std::erase_if(refs_, [&](const auto& entry) { return entry.first.first == repo; });
}

// From a node that has the complete list: no byte of it leaves the hub twice. What it names is
// verified by its hash wherever it comes from.
asio::awaitable<std::optional<Listing>> RepoNames::manifestOfPeers(RepoId repo, Commit commit) {
  const absl::Time until = absl::Now() + kPeerListPatience;
  for (const RepoHolderView& holder : s_.core.repoHolders(repo)) {
    if (holder.node == s_.core.self().id || holder.advert.commit != commit ||
        !holder.advert.manifest) {
      continue;
    }
    const absl::Duration left = until - absl::Now();
    if (left <= absl::ZeroDuration()) break;
    const Request request = ListingRequest{repo, commit};
    const absl::StatusOr<Reply> reply =
        co_await askPeer(s_.call, s_.timers, holder.node, request, left);
    if (!reply.ok()) continue;
    const auto* answer = std::get_if<ListingReply>(&*reply);
    if (answer == nullptr || !answer->listing) continue;
    // A peer may only answer what it was asked.
    const Listing& listing = *answer->listing;
    if (listing.complete && listing.repo == repo && listing.commit == commit) co_return listing;
  }
  co_return std::nullopt;
}

asio::awaitable<HttpResult> RepoNames::page(RepoId repo, std::string target,
                                            std::optional<Token> token, bool anonymous, bool held) {
  if (anonymous) {
    const PublicWord::Question question{.target = target};
    PublicWord::Said said = co_await s_.word.ask(repo, question, /*forGood=*/true, held);
    co_return std::move(said.result);
  }
  HubProxy::Question question{.target = std::move(target), .token = token};
  co_return co_await s_.hub.ask(std::move(question), held);
}

// The files of a commit, for a client that may ask for them.
asio::awaitable<OrAnswer<RepoNames::Manifest>> RepoNames::filesOf(RepoId repo, Commit commit,
                                                                  std::optional<Token> token) {
  if (const auto it = manifests_.find({repo, commit}); it != manifests_.end()) {
    co_return it->second;
  }
  if (auto own = s_.inventory.listing(repo, commit); own && own->complete) {
    co_return keep(*std::move(own));
  }
  if (s_.access.mayWithoutAsking(repo, token, s_.hub.open())) {
    if (auto theirs = co_await manifestOfPeers(repo, commit)) co_return keep(*std::move(theirs));
  }
  const bool anonymous = s_.access.isPublic(repo) && s_.hub.exists();
  const auto holders = s_.core.repoHolders(repo);
  const bool held = std::any_of(holders.begin(), holders.end(), [&](const RepoHolderView& h) {
    return h.advert.commit == commit && h.advert.manifest;
  });
  Listing manifest{repo, commit, true, Visibility::kUnknown, {}};
  std::string target =
      absl::StrCat(apiPath(repo), "/tree/", commit.hex(), "?recursive=true&expand=false");
  HttpResult result;
  for (size_t number = 0; number < kHubPagesMax; ++number) {
    if (const auto none = listless_.find({repo, commit});
        none != listless_.end() && absl::Now() < none->second) {
      result = {absl::OkStatus(), {404, {}}, ""};
      break;
    }
    result = co_await page(repo, target, token, anonymous, held);
    if (hasNoLists(result)) {
      if (listless_.size() >= kRefsCachedMax) listless_.erase(listless_.begin());
      listless_.insert_or_assign({repo, commit}, absl::Now() + kListless);
      break;
    }
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
    absl::ConsumePrefix(&rest, s_.hub.origin().url());
    if (!absl::StartsWith(rest, "/")) {
      co_return unavailable("the hub's list goes on elsewhere");
    }
    target = std::string(rest);
  }
  // No list from the hub: what the nodes have.
  auto known = co_await s_.resolver.resolve(repo, Revision(commit), SourceRule::kClusterOnly);
  if (known.ok()) co_return std::make_shared<const Listing>(std::move(known->listing));
  if (!s_.hub.exists()) {
    co_return failure(404, "RevisionNotFound",
                      absl::StrCat("no node holds ", repo.toString(), " at ", commit.hex()));
  }
  // Its files can be asked for one by one.
  if (hasNoLists(result)) {
    co_return std::make_shared<const Listing>(
        Listing{repo, commit, false, Visibility::kUnknown, {}});
  }
  if (isOutage(result)) co_return passed(result, std::nullopt);
  co_return passed(result, repo);
}

asio::awaitable<OrAnswer<RepoNames::NamedFile>> RepoNames::fileOf(RepoId repo, Commit commit,
                                                                  RelativePath path,
                                                                  std::optional<Token> token,
                                                                  bool otherwise) {
  const std::pair key{RepoKey{repo, commit}, path};
  if (const auto known = alone_.find(key); known != alone_.end()) {
    const Alone& alone = known->second;
    if (alone.named.file || absl::Now() - alone.at < refTtl_) co_return alone.named;
  }
  const std::string url = resolveUrl(repo, commit, path);
  absl::string_view target = url;
  absl::ConsumePrefix(&target, s_.hub.origin().url());
  HubProxy::Question question{.method = HttpMethod::kHead, .target = std::string(target)};
  if (!s_.access.isPublic(repo)) question.token = token;
  const HttpResult result = co_await s_.hub.ask(std::move(question), otherwise);
  NamedFile named;
  named.asked = !isOutage(result);
  if (!named.asked && otherwise) co_return named;
  if (!named.asked) co_return passed(result, std::nullopt);
  const std::string* code = result.head.find("x-error-code");
  if (result.head.status == 404 && (code == nullptr || *code == "EntryNotFound")) {
    co_return entryNotFound(repo, commit, path.text());
  }
  if (result.head.status >= 400) co_return passed(result, repo);
  named.file = entryOf(path, result.head);
  named.size = sizeOf(result.head);
  if (const std::string* etag = etagOf(result.head)) named.madeEtag = madeEtag(repo, path, *etag);
  if (alone_.size() >= kRefsCachedMax && !alone_.contains(key)) alone_.erase(alone_.begin());
  Alone& alone = alone_[key];
  if (named.file && named.file->blob.id == alone.wrong) {
    named.misnamed = std::exchange(named.file, std::nullopt);
  }
  alone.named = named;
  alone.at = absl::Now();
  co_return named;
}

void RepoNames::misnamed(const RepoId& repo, const Commit& commit, const RelativePath& path) {
  const auto known = alone_.find({RepoKey{repo, commit}, path});
  if (known == alone_.end() || !known->second.named.file) return;
  known->second.wrong = known->second.named.file->blob.id;
  known->second.named.misnamed = std::exchange(known->second.named.file, std::nullopt);
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
