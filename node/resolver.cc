#include "node/resolver.h"

#include <algorithm>
#include <map>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cache/datasets_layout.h"
#include "cache/finished_directory.h"
#include "cache/tree_layout.h"
#include "node/await_callback.h"
#include "node/trees.h"
#include "protocol/errors.h"
#include "protocol/limits.h"

namespace roost {

namespace asio = boost::asio;

namespace {

// The hub has answered; asking somebody else would be asking for what it refused.
bool isFinal(const absl::Status& status) {
  return absl::IsNotFound(status) || absl::IsPermissionDenied(status) ||
         absl::IsUnauthenticated(status) || absl::IsInvalidArgument(status);
}

bool names(const std::optional<Revision>& revision, const RefState& state) {
  if (!revision) return true;
  if (const auto* commit = std::get_if<Commit>(&*revision)) return state.commit == *commit;
  const std::string& wanted = std::get<RefName>(*revision).text();
  return state.ref.text() == wanted ||
         absl::StartsWith(state.ref.text(), absl::StrCat(wanted, "/"));
}

// Nothing of another directory is in it.
bool isOfDirectory(const Listing& listing, const RefName& ref) {
  const std::string directory = absl::StrCat(datasetsFolder(listing.repo), "/", ref.text());
  return std::all_of(listing.files.begin(), listing.files.end(), [&](const FileEntry& file) {
    const auto place = datasetsPlace(listing.repo, file.path);
    return place && place->directory() == directory;
  });
}

}  // namespace

asio::awaitable<absl::StatusOr<ResolvedRepo>> Resolver::resolve(RepoId repo,
                                                                std::optional<Revision> revision,
                                                                SourceRule from) {
  if (repo.type() == RepoType::kTree) co_return co_await resolveTree(repo, revision);
  if (!isOfHub(repo.type())) co_return co_await resolveFinished(repo, revision);
  ResolvedRepo resolved{{repo, *Commit::parse(std::string(40, '0')), false, {}, {}}, {}};
  Visibility visibility = Visibility::kUnknown;
  if (revision && std::holds_alternative<Commit>(*revision)) {
    resolved.listing.commit = std::get<Commit>(*revision);
  } else {
    const RefName ref = revision ? std::get<RefName>(*revision) : RefName::main();
    ROOST_CO_ASSIGN_OR_RETURN(const Named named, co_await commitOf(repo, ref, from));
    resolved.listing.commit = named.commit;
    visibility = named.visibility;
    if (named.ref) resolved.refs.push_back(*named.ref);
  }
  const Commit commit = resolved.listing.commit;
  ROOST_CO_ASSIGN_OR_RETURN(resolved.listing, co_await filesOf(repo, commit, from));
  if (visibility != Visibility::kUnknown) resolved.listing.visibility = visibility;
  co_return resolved;
}

asio::awaitable<absl::StatusOr<Resolver::Named>> Resolver::commitOf(RepoId repo, RefName ref,
                                                                    SourceRule from) {
  const std::optional<RefState> known =
      from == SourceRule::kHubOnly ? std::nullopt : refInCluster(repo, ref);
  absl::Status hubSaid;
  HubApi* hub = from == SourceRule::kClusterOnly ? nullptr : known ? hurried_ : hub_;
  if (hub != nullptr) {
    using Answer = absl::StatusOr<HubRevision>;
    // Named, not temporaries: GCC 12 loses track of those that live across a co_await.
    const std::function<void(std::function<void(Answer)>)> ask =
        [&](std::function<void(Answer)> done) { hub->revision(repo, ref.text(), done); };
    const Answer stopping = absl::CancelledError("the agent is stopping");
    const Answer answer = co_await awaitCallback<Answer>(ask, stopping);
    if (answer.ok()) {
      if (learnt_ && answer->visibility != Visibility::kUnknown) learnt_(repo, answer->visibility);
      co_return Named{answer->commit, answer->visibility,
                      RefState{ref, answer->commit, answer->at}};
    }
    if (isFinal(answer.status())) co_return answer.status();
    hubSaid = answer.status();
  }
  if (known) co_return Named{known->commit, Visibility::kUnknown, known};
  if (!hubSaid.ok()) co_return hubSaid;
  co_return absl::NotFoundError(
      sentence(absl::StrCat("cannot find ", repo.toString(), "@", ref.text()),
               "no node of the cluster holds it, and the hub was not to be asked", ""));
}

std::optional<RefState> Resolver::refInCluster(const RepoId& repo, const RefName& ref) const {
  std::optional<RefState> best;
  std::map<Commit, uint32_t> others;  // that no hub has spoken of
  for (const auto& [node, state] : core_.refs(repo)) {
    if (state.ref != ref) continue;
    if (!state.hubTime) {
      others.emplace(state.commit, 0);
    } else if (!best || *state.hubTime > *best->hubTime) {
      best = state;
    }
  }
  if (best || others.empty()) return best;
  for (const RepoHolderView& holder : core_.repoHolders(repo)) {
    const auto other = others.find(holder.advert.commit);
    if (other != others.end()) other->second = std::max(other->second, holder.advert.files);
  }
  const auto most =
      std::max_element(others.begin(), others.end(),
                       [](const auto& a, const auto& b) { return a.second < b.second; });
  return RefState{ref, most->first, std::nullopt};
}

asio::awaitable<absl::StatusOr<Listing>> Resolver::filesOf(RepoId repo, Commit commit,
                                                           SourceRule from) {
  if (from != SourceRule::kHubOnly) {
    auto own = inventory_.listing(repo, commit);
    if (own && own->complete) co_return *std::move(own);
  }
  absl::Status hubSaid;
  if (hub_ != nullptr && from != SourceRule::kClusterOnly) {
    using Answer = absl::StatusOr<Listing>;
    const bool held = from == SourceRule::kAny && !core_.repoHolders(repo).empty();
    HubApi* hub = held ? hurried_ : hub_;
    const std::function<void(std::function<void(Answer)>)> ask =
        [&](std::function<void(Answer)> done) { hub->tree(repo, commit, done); };
    const Answer stopping = absl::CancelledError("the agent is stopping");
    Answer answer = co_await awaitCallback<Answer>(ask, stopping);
    if (answer.ok() || from == SourceRule::kHubOnly || isFinal(answer.status())) co_return answer;
    hubSaid = answer.status();
  }
  const std::vector<Listing> manifests = co_await listingsInCluster(repo, commit, true);
  if (!manifests.empty()) co_return manifests.front();
  const std::vector<Listing> listings = co_await listingsInCluster(repo, commit, false);
  if (!listings.empty()) {
    Listing united = unite(listings, nullptr);
    if (!united.files.empty()) co_return united;
  }
  if (!hubSaid.ok()) co_return hubSaid;
  co_return absl::NotFoundError(
      sentence(absl::StrCat("cannot find ", repo.toString(), " at commit ", commit.hex()),
               "no node of the cluster holds any of it, and the hub was not to be asked", ""));
}

asio::awaitable<std::vector<Listing>> Resolver::listingsInCluster(RepoId repo, Commit commit,
                                                                  bool manifestsOnly) {
  std::vector<Listing> listings;
  if (auto own = inventory_.listing(repo, commit); own && (own->complete || !manifestsOnly)) {
    listings.push_back(*std::move(own));
    if (manifestsOnly) co_return listings;
  }
  const NodeId self = core_.self().id;
  for (const RepoHolderView& holder : core_.repoHolders(repo)) {
    if (holder.node == self || holder.advert.commit != commit) continue;
    if (manifestsOnly && !holder.advert.manifest) continue;
    using Answer = absl::StatusOr<Reply>;
    const Request request = ListingRequest{repo, commit};
    const std::function<void(std::function<void(Answer)>)> ask =
        [&](std::function<void(Answer)> done) { links_.call(holder.node, request, done); };
    const Answer stopping = absl::CancelledError("the agent is stopping");
    const Answer answer = co_await awaitCallback<Answer>(ask, stopping);
    if (!answer.ok()) continue;  // another holder may know
    const auto& listing = std::get<ListingReply>(*answer).listing;
    // A peer may only answer what it was asked.
    if (!listing || listing->repo != repo || listing->commit != commit) continue;
    if (manifestsOnly && !listing->complete) continue;
    if (!isOfHub(repo.type()) && !isFinishedListing(*listing)) continue;
    listings.push_back(*listing);
    if (manifestsOnly) break;
  }
  co_return listings;
}

// ---- Dataset caches

// Asks the hub how public that is which a dataset cache of this node was made of.
asio::awaitable<void> Resolver::learnSources(RepoId cache) {
  std::vector<RepoId> sources = inventory_.sourcesOf(cache);
  if (sources.empty()) {
    // Its files are gone from the hub cache. The folder's name is the hub's but for capitals.
    auto named = RepoId::make(cache.origin(), RepoType::kDataset, cache.name());
    if (!named.ok()) co_return;
    sources.push_back(*std::move(named));
  }
  for (const RepoId& source : sources) {
    if (hurried_ == nullptr || !learnt_) co_return;
    using Answer = absl::StatusOr<HubRevision>;
    const std::function<void(std::function<void(Answer)>)> ask =
        [&](std::function<void(Answer)> done) {
          hurried_->revision(source, RefName::main().text(), done);
        };
    const Answer stopping = absl::CancelledError("the agent is stopping");
    const Answer answer = co_await awaitCallback<Answer>(ask, stopping);
    if (answer.ok()) {
      learnt_(source, answer->visibility);
    } else if (isFinal(answer.status())) {
      learnt_(cache, Visibility::kPrivate);  // whatever the source is, not everybody may have it
    }
  }
}

asio::awaitable<std::optional<Listing>> Resolver::listingForPeer(RepoId repo, Commit commit) {
  if (inventory_.waitsForWord(repo) && hub_ != nullptr) {
    co_await learnSources(repo);
    if (inventory_.waitsForWord(repo)) co_return std::nullopt;
  }
  co_return inventory_.listingForPeers(repo, commit);
}

std::vector<std::vector<RefState>> Resolver::finishedInCluster(
    const RepoId& repo, const std::optional<Revision>& revision) const {
  std::map<Commit, uint32_t> files;
  for (const RepoHolderView& holder : core_.repoHolders(repo)) {
    if (holder.advert.manifest) files[holder.advert.commit] = holder.advert.files;
  }
  std::map<RefName, std::vector<RefState>> directories;
  for (const auto& [node, state] : core_.refs(repo)) {
    if (names(revision, state) && files.contains(state.commit)) {
      directories[state.ref].push_back(state);
    }
  }
  std::vector<std::vector<RefState>> best;
  for (auto& [ref, states] : directories) {
    std::sort(states.begin(), states.end(), [&](const RefState& a, const RefState& b) {
      const uint32_t filesOfA = files[a.commit], filesOfB = files[b.commit];
      if (filesOfA != filesOfB) return filesOfA > filesOfB;
      if (a.hubTime != b.hubTime) return a.hubTime > b.hubTime;
      return a.commit < b.commit;
    });
    best.push_back(std::move(states));
  }
  return best;
}

asio::awaitable<absl::StatusOr<ResolvedRepo>> Resolver::resolveFinished(
    RepoId repo, std::optional<Revision> revision) {
  ResolvedRepo resolved{{repo, finishedCommit({}), true, {}, {}}, {}};
  Listing& all = resolved.listing;
  // What this node has it may have; others only if everybody may.
  if (inventory_.waitsForWord(repo)) co_await learnSources(repo);
  const std::vector<std::vector<RefState>> directories = finishedInCluster(repo, revision);
  for (const std::vector<RefState>& candidates : directories) {
    for (const RefState& state : candidates) {
      const std::vector<Listing> found = co_await listingsInCluster(repo, state.commit, true);
      if (found.empty() || !isOfDirectory(found.front(), state.ref)) continue;
      const Listing& one = found.front();
      all.files.insert(all.files.end(), one.files.begin(), one.files.end());
      all.visibility = std::max(all.visibility, one.visibility);
      resolved.refs.push_back(state);
      break;
    }
  }
  if (all.files.empty()) {
    const std::string revisionOf =
        revision ? absl::StrCat("@", revisionText(*revision)) : std::string();
    co_return absl::NotFoundError(sentence(
        absl::StrCat("cannot find ", repo.toString(), revisionOf),
        "no node of the cluster has prepared that dataset and shares it",
        "What is not public, or not known to be, stays on its node unless share = \"cluster\" "
        "is set for the folder there"));
  }
  ROOST_CO_RETURN_IF_ERROR(normalize(all));
  all.commit = finishedCommit(all.files);
  co_return resolved;
}

// ---- Trees

asio::awaitable<absl::StatusOr<ResolvedRepo>> Resolver::resolveTree(
    RepoId asked, std::optional<Revision> revision) {
  const RefName* scope = revision ? std::get_if<RefName>(&*revision) : nullptr;
  ROOST_CO_ASSIGN_OR_RETURN(
      const RepoId repo,
      treeNamed(inventory_, core_, asked, scope != nullptr ? std::optional(*scope) : std::nullopt));
  const bool oneCommit = revision && scope == nullptr;
  ResolvedRepo resolved{{repo, finishedCommit({}), true, {}, {}}, {}};
  Listing& all = resolved.listing;
  std::set<Commit> seen;
  for (const std::vector<RefState>& states :
       finishedInCluster(repo, oneCommit ? revision : std::nullopt)) {
    for (const RefState& state : states) {
      if (seen.size() == kTreeListsMax || !seen.insert(state.commit).second) continue;
      const std::vector<Listing> found = co_await listingsInCluster(repo, state.commit, true);
      if (found.empty()) continue;
      addDirectories(all, found.front());
      if (resolved.refs.empty()) resolved.refs.push_back(state);
    }
  }
  if (all.files.empty()) {
    std::string own = scopeOf(core_, repo);
    for (const OwnTree& tree : ownTrees(inventory_, repo.origin())) {
      if (tree.repo == repo) own = tree.scope;
    }
    co_return absl::NotFoundError(
        sentence(absl::StrCat("cannot find the tree ", treeName(repo)),
                 whyNothingIsShared(core_, repo, own.empty() ? repo.name() : own),
                 "`roost status` says which trees this node shares, and under which scope"));
  }
  all.visibility = Visibility::kPrivate;
  all.commit = finishedCommit(all.files);
  co_return resolved;
}

}  // namespace roost
