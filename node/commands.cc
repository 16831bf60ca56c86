#include "node/commands.h"

#include <algorithm>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <nlohmann/json.hpp>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "node/command_arguments.h"
#include "node/explanation.h"
#include "node/node_selection.h"
#include "node/pip_commands.h"
#include "node/repo_query.h"
#include "node/representations.h"
#include "node/torrent_commands.h"
#include "node/trees.h"
#include "protocol/errors.h"
#include "protocol/limits.h"

namespace roost {

namespace asio = boost::asio;
using nlohmann::json;

namespace {

constexpr std::chrono::milliseconds kAcquaintPause(20);

absl::StatusOr<SourceRule> sourceRuleIn(const json& arguments) {
  const std::string text = arguments.value("from", "any");
  if (text == "any") return SourceRule::kAny;
  if (text == "cluster") return SourceRule::kClusterOnly;
  if (text == "hub") return SourceRule::kHubOnly;
  return absl::InvalidArgumentError(absl::StrCat("not a source: ", roost::quoted(text)));
}

absl::StatusOr<RepoQuery> repoIn(const HubOrigin& origin, const json& arguments) {
  ROOST_ASSIGN_OR_RETURN(const std::string text, textIn(arguments, "repo"));
  ROOST_ASSIGN_OR_RETURN(RepoQuery query, parseRepoQuery(origin, text));
  if (arguments.contains("revision")) {
    ROOST_ASSIGN_OR_RETURN(const std::string revision, textIn(arguments, "revision"));
    ROOST_ASSIGN_OR_RETURN(query.revision, parseRevision(revision));
  }
  return query;
}

bool matchesAny(const std::vector<std::string>& patterns, const std::string& path) {
  return std::any_of(patterns.begin(), patterns.end(), [&](const std::string& pattern) {
    // As in huggingface_hub: a folder stands for what is in it.
    return globMatches(pattern.ends_with('/') ? pattern + "*" : pattern, path);
  });
}

absl::StatusOr<std::vector<RepresentationKey>> keysIn(const json& arguments) {
  ROOST_ASSIGN_OR_RETURN(const auto texts, textsIn(arguments, "keys"));
  if (texts.size() > kRepresentationKeysMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("more than ", kRepresentationKeysMax, " keys. Name fewer at once"));
  }
  std::vector<RepresentationKey> keys;
  for (const std::string& text : texts) {
    ROOST_ASSIGN_OR_RETURN(const RepresentationKey key, RepresentationKey::parse(text));
    keys.push_back(key);
  }
  return keys;
}

// Moves the files that were not asked for to `others`. kNotFound names a file that was asked for
// and is not there.
absl::Status select(const json& arguments, Listing& listing, std::vector<FileEntry>& others) {
  ROOST_ASSIGN_OR_RETURN(const auto include, textsIn(arguments, "include"));
  ROOST_ASSIGN_OR_RETURN(const auto exclude, textsIn(arguments, "exclude"));
  ROOST_ASSIGN_OR_RETURN(const auto files, textsIn(arguments, "files"));
  const std::string where =
      absl::StrCat(listing.repo.toString(), " at commit ", listing.commit.hex());
  for (const std::string& file : files) {
    const bool known = std::any_of(listing.files.begin(), listing.files.end(),
                                   [&](const FileEntry& e) { return e.path.text() == file; });
    if (!known) {
      return absl::NotFoundError(
          sentence(absl::StrCat("there is no file ", roost::quoted(file), " in ", where), "", ""));
    }
  }
  const std::set<std::string> named(files.begin(), files.end());
  const auto wanted = [&](const FileEntry& entry) {
    const std::string& path = entry.path.text();
    if (!named.empty() && !named.contains(path)) return false;
    return (include.empty() || matchesAny(include, path)) && !matchesAny(exclude, path);
  };
  const auto rest = std::stable_partition(listing.files.begin(), listing.files.end(), wanted);
  others.assign(rest, listing.files.end());
  listing.files.erase(rest, listing.files.end());
  if (listing.files.empty() && !others.empty()) {
    return absl::NotFoundError(absl::StrCat("no file of ", where, " matches what was asked for"));
  }
  return absl::OkStatus();
}

// No hub has them, and a part of a finished directory is none.
absl::Status refuseForFinished(const json& arguments, RepoType type, SourceRule from) {
  const bool tree = type == RepoType::kTree;
  if (from == SourceRule::kHubOnly) {
    return absl::InvalidArgumentError(
        tree ? "no hub has trees. Leave out --from"
             : "no hub has what datasets were prepared to. Leave out --from, or take --type "
               "dataset");
  }
  for (const char* key : {"include", "exclude", "files"}) {
    ROOST_ASSIGN_OR_RETURN(const auto texts, textsIn(arguments, key));
    if (texts.empty()) continue;
    return absl::InvalidArgumentError(
        tree ? "trees are copied whole. Configure a folder below it as a tree of its own"
             : "processed datasets are copied as whole directories. Name one with --revision "
               "instead of its files");
  }
  return absl::OkStatus();
}

}  // namespace

asio::awaitable<absl::StatusOr<std::string>> Commands::call(std::string method,
                                                            std::string arguments) {
  const json parsed = json::parse(arguments, nullptr, false);
  if (!parsed.is_object()) co_return absl::InvalidArgumentError("the arguments are not JSON");
  if (parsed.value("type", "") == kPipType) {
    const Document wheels = co_await ofWheels(method, parsed);
    if (!wheels.ok()) co_return wheels.status();
    co_return wheels->dump(-1, ' ', false, json::error_handler_t::replace);
  }
  Document document = absl::InvalidArgumentError(
      sentence(absl::StrCat("the agent does not know ", roost::quoted(method)),
               absl::StrCat("it is version ", ROOST_VERSION), "Use the roost of that version."));
  if (method == "status") {
    document = statusDocument(s_.core, s_.problems(), s_.now());
    document->emplace("trees", trees());
  }
  if (method == "where" && parsed.value("explain", false)) {
    document = co_await explain(parsed);
  } else if (method == "where") {
    document = where(parsed);
  }
  if (method == "limit") document = limit(s_.limits, s_.core, s_.now(), parsed);
  if (method == "ls" && parsed.value("type", "repo") == "representation") {
    document = co_await representations();
  } else if (method == "ls") {
    document = ls();
  }
  if (method == "evict") document = evict(parsed);
  if (method == "jobs") document = jobsDocument(s_.core.jobs());
  if (method == "job") document = job(parsed);
  if (method == "cancel") document = cancel(parsed);
  if (method == "warm") document = co_await warm(parsed, false);
  if (method == "warm-representations") document = co_await warmRepresentations(parsed);
  if (method == "get") document = co_await warm(parsed, true);
  if (method == "verify") document = co_await verify(parsed);
  if (method == "torrent") document = co_await torrent(parsed);
  if (method == "env") {
    json exports = json::object();
    if (s_.endpointUrl) exports["HF_ENDPOINT"] = s_.endpointUrl();
    if (s_.endpointUrl && !s_.pipIndex.empty()) {
      const std::string index = absl::StrCat(s_.endpointUrl(), "/pip/simple/");
      exports["PIP_INDEX_URL"] = index;
      exports["UV_DEFAULT_INDEX"] = index;
      // pip keeps nothing of a plain http:// index that it is not told to trust.
      const std::string url = s_.endpointUrl();
      const size_t host = url.find("://") + 3;
      exports["PIP_TRUSTED_HOST"] = url.substr(host, url.rfind(':') - host);
    }
    document = json{{"schema", "roost.env.1"},
                    {"node", s_.core.self().id.hex()},
                    {"hub", s_.origin.url()},
                    {"pip_index", s_.pipIndex},
                    {"exports", std::move(exports)}};
  }
  if (method == "version") {
    document = json{{"schema", "roost.version.1"},
                    {"version", ROOST_VERSION},
                    {"protocol", {{"min", kProtocolVersionMin}, {"max", kProtocolVersion}}}};
  }
  if (!document.ok()) co_return document.status();
  // A path on disk may be no UTF-8; the answer still is.
  co_return document->dump(-1, ' ', false, json::error_handler_t::replace);
}

asio::awaitable<Commands::Document> Commands::ofWheels(std::string method, json arguments) {
  PipCommands* pip = s_.pip ? s_.pip() : nullptr;
  if (pip == nullptr) co_return absl::UnimplementedError("no pip index here");
  if (method == "ls") co_return co_await pip->ls();
  if (method == "where") co_return co_await pip->where(arguments);
  if (method == "warm" || method == "get") {
    co_await becomeAcquainted();
    co_return co_await pip->warm(arguments);
  }
  co_return absl::InvalidArgumentError(absl::StrCat(roost::quoted(method), " knows no wheels"));
}

asio::awaitable<Commands::Document> Commands::torrent(const json& arguments) const {
  TorrentCommands* torrents = s_.torrents ? s_.torrents() : nullptr;
  if (torrents == nullptr) co_return absl::UnimplementedError("no torrents here");
  ROOST_CO_ASSIGN_OR_RETURN(RepoQuery query, repoIn(s_.origin, arguments));
  co_return co_await torrents->make(std::move(query));
}

Commands::Document Commands::where(const json& arguments) const {
  if (arguments.contains("digest")) {
    ROOST_ASSIGN_OR_RETURN(const std::string text, textIn(arguments, "digest"));
    ROOST_ASSIGN_OR_RETURN(const BlobId blob, BlobId::parse(text));
    return whereDocument(s_.core, blob);
  }
  ROOST_ASSIGN_OR_RETURN(RepoQuery query, repoIn(s_.origin, arguments));
  ROOST_RETURN_IF_ERROR(nameTree(query));
  std::optional<Commit> commit;
  if (query.revision && std::holds_alternative<Commit>(*query.revision)) {
    commit = std::get<Commit>(*query.revision);
  }
  return whereDocument(s_.core, query.repo, commit);
}

// Who holds it, and whom this node would ask for it now.
asio::awaitable<Commands::Document> Commands::explain(const json& arguments) const {
  co_await becomeAcquainted();
  ROOST_CO_ASSIGN_OR_RETURN(json document, where(arguments));
  if (arguments.contains("digest")) {
    ROOST_CO_ASSIGN_OR_RETURN(const BlobId blob,
                              BlobId::parse(document.at("digest").get<std::string>()));
    const auto size = s_.core.sizeOf(blob);
    document["plans"] = size ? explanation(s_.core, BlobInfo{blob, *size}) : json::array();
    co_return document;
  }
  ROOST_CO_ASSIGN_OR_RETURN(RepoQuery query, repoIn(s_.origin, arguments));
  ROOST_CO_RETURN_IF_ERROR(nameTree(query));
  const SourceRule rule = isOfHub(query.repo.type()) ? SourceRule::kAny : SourceRule::kClusterOnly;
  ROOST_CO_ASSIGN_OR_RETURN(const ResolvedRepo resolved,
                            co_await s_.resolver.resolve(query.repo, query.revision, rule));
  document["plans"] = co_await explanation(s_.core, resolved.listing, rule);
  co_return document;
}

// NAME of a tree alone is that of this node's scope.
absl::Status Commands::nameTree(RepoQuery& query) const {
  if (query.repo.type() != RepoType::kTree) return absl::OkStatus();
  std::optional<RefName> scope;
  if (query.revision && std::holds_alternative<RefName>(*query.revision)) {
    scope = std::get<RefName>(*query.revision);
  }
  ROOST_ASSIGN_OR_RETURN(query.repo, treeNamed(s_.folders.inventory(), s_.core, query.repo, scope));
  return absl::OkStatus();
}

Commands::Document Commands::ls() const {
  const Inventory& inventory = s_.folders.inventory();
  json repos = json::array();
  for (const RepoView& view : inventory.repos()) {
    std::string root;
    if (!view.roots.empty()) root = inventory.root(view.roots.front()).config.path;
    for (const RepoAdvert& advert : view.commits) {
      json refs = json::array();
      for (const RefState& ref : view.refs) {
        if (ref.commit == advert.commit) refs.push_back(ref.ref.text());
      }
      size_t nodes = 0;
      for (const RepoHolderView& holder : s_.core.repoHolders(view.repo)) {
        nodes += holder.advert.commit == advert.commit;
      }
      uint64_t unverified = 0, observed = 0;
      if (const auto listing = inventory.listing(view.repo, advert.commit)) {
        for (const FileEntry& file : listing->files) {
          const auto copy = inventory.find(file.blob.id);
          if (copy && copy->trust == Trust::kUnknown) unverified += file.blob.size;
          observed += file.observedAs.has_value();
        }
      }
      repos.push_back({{"type", std::string(repoTypeName(view.repo.type()))},
                       {"repo", view.repo.toString()},
                       {"commit", advert.commit.hex()},
                       {"refs", refs},
                       {"files", advert.files},
                       {"bytes", advert.bytes},
                       {"complete", advert.complete()},
                       {"unverified_bytes", unverified},
                       {"observed_files", observed},
                       {"nodes", nodes},
                       {"root", root}});
      if (view.repo.type() == RepoType::kTree) {
        repos.back()["scope"] = refs.empty() ? json() : refs.front();
      }
    }
  }
  return json{{"schema", "roost.ls.1"}, {"repos", std::move(repos)}};
}

// The trees that this node is told to share, with what keeps them from it.
json Commands::trees() const {
  json list = json::array();
  const Inventory& inventory = s_.folders.inventory();
  const NodeId self = s_.core.self().id;
  for (const OwnTree& tree : ownTrees(inventory, s_.origin)) {
    uint64_t files = 0, bytes = 0;
    std::set<NodeId> others;
    for (const RepoHolderView& holder : s_.core.repoHolders(tree.repo)) {
      if (holder.node != self) {
        others.insert(holder.node);
      } else {
        files = holder.advert.files;
        bytes = holder.advert.bytes;
      }
    }
    json entry = {{"name", tree.name},   {"repo", tree.repo.toString()},
                  {"scope", tree.scope}, {"path", tree.path},
                  {"pull", tree.pull},   {"files", files},
                  {"bytes", bytes},      {"other_nodes", others.size()}};
    if (others.empty()) entry["why"] = whyNothingIsShared(s_.core, tree.repo, tree.scope);
    list.push_back(std::move(entry));
  }
  return list;
}

asio::awaitable<Commands::Document> Commands::representations() const {
  if (s_.representations == nullptr) co_return absl::UnimplementedError("no representations here");
  json groups = json::array();
  for (const RepresentationCount& group : co_await s_.representations->count()) {
    groups.push_back({{"kind", group.kind},
                      {"model", group.model},
                      {"namespace", group.space},
                      {"count", group.count},
                      {"bytes", group.bytes}});
  }
  json conflicts = json::array();
  for (const Representations::Conflict& conflict : s_.representations->conflicts()) {
    json others = json::array();
    for (const BlobId& other : conflict.others) others.push_back(other.toString());
    conflicts.push_back({{"key", conflict.key.hex()},
                         {"used", conflict.used.toString()},
                         {"others", std::move(others)}});
  }
  co_return json{{"schema", "roost.representations.1"},
                 {"representations", std::move(groups)},
                 {"count", s_.representations->size()},
                 {"bytes", s_.representations->bytes()},
                 {"own_bytes", s_.representations->ownBytes()},
                 {"quota_bytes", s_.representations->quota()},
                 {"conflicts", std::move(conflicts)}};
}

Commands::Document Commands::evict(const json& arguments) const {
  if (s_.representations == nullptr || arguments.value("type", "") != "representation") {
    return absl::InvalidArgumentError("only representations can be evicted in this version");
  }
  ROOST_ASSIGN_OR_RETURN(const std::vector<RepresentationKey> keys, keysIn(arguments));
  RepresentationStore::Evicted evicted = s_.representations->evict(keys);
  const auto free = arguments.find("free_bytes");
  if (free != arguments.end() && free->is_number_unsigned()) {
    const auto more = s_.representations->evictLeastUsed(free->get<uint64_t>());
    evicted.count += more.count;
    evicted.bytes += more.bytes;
  }
  return json{{"schema", "roost.evict.1"}, {"evicted", evicted.count}, {"bytes", evicted.bytes}};
}

asio::awaitable<Commands::Document> Commands::warmRepresentations(const json& arguments) const {
  if (s_.representations == nullptr) co_return absl::UnimplementedError("no representations here");
  ROOST_CO_ASSIGN_OR_RETURN(std::vector<RepresentationKey> keys, keysIn(arguments));
  const Representations::Warmed warmed = co_await s_.representations->warm(std::move(keys));
  json unknown = json::array();
  for (const RepresentationKey& key : warmed.unknown) unknown.push_back(key.hex());
  co_return json{{"schema", "roost.warm-representations.1"},
                 {"fetched", warmed.fetched},
                 {"bytes", warmed.bytes},
                 {"left", warmed.left},
                 {"failed", warmed.failed},
                 {"no_room", warmed.noRoom},
                 {"unknown", std::move(unknown)}};
}

Commands::Document Commands::job(const json& arguments) const {
  const auto id = arguments.find("id");
  if (id == arguments.end() || !id->is_number_unsigned()) {
    return absl::InvalidArgumentError("the argument \"id\" is missing");
  }
  const auto view = s_.core.job(id->get<uint64_t>());
  if (!view) return absl::NotFoundError(absl::StrCat("there is no job ", id->get<uint64_t>()));
  return withSnapshot(jobDocument(*view), view->order);
}

Commands::Document Commands::cancel(const json& arguments) {
  ROOST_ASSIGN_OR_RETURN(const json before, job(arguments));
  s_.cancel(before.at("id").get<uint64_t>());
  return job(arguments);
}

json Commands::withSnapshot(json document, const JobOrder& order) const {
  const bool here = std::find(order.targets.begin(), order.targets.end(), s_.core.self().id) !=
                    order.targets.end();
  if (here) {
    document["snapshot"] = s_.folders.snapshotPath(order.listing.repo, order.listing.commit);
  }
  return document;
}

absl::StatusOr<std::vector<NodeId>> Commands::targets(const json& arguments) const {
  ROOST_ASSIGN_OR_RETURN(const auto terms, textsIn(arguments, "nodes"));
  NodeSelection selection;
  if (terms.empty()) {
    selection.all = true;
  } else {
    ROOST_ASSIGN_OR_RETURN(selection, NodeSelection::parse(absl::StrJoin(terms, ",")));
  }
  std::vector<NodeId> chosen;
  std::set<std::string> unseen(selection.names.begin(), selection.names.end());
  for (const NodeView& node : s_.core.nodes()) {
    const bool byName = unseen.erase(node.info.name) + unseen.erase(node.info.id.hex()) > 0 ||
                        std::find(selection.names.begin(), selection.names.end(), node.info.name) !=
                            selection.names.end();
    const bool byZone = std::find(selection.zones.begin(), selection.zones.end(), node.info.zone) !=
                        selection.zones.end();
    const bool live = node.self || node.state != NodeState::kGone;
    if (byName || (live && (selection.all || (selection.self && node.self) || byZone))) {
      chosen.push_back(node.info.id);
    }
  }
  if (!unseen.empty()) {
    return absl::NotFoundError(
        sentence(absl::StrCat("there is no node ", roost::quoted(*unseen.begin())), "",
                 "`roost status --nodes` lists them."));
  }
  if (chosen.empty()) return absl::NotFoundError("no node of the cluster matches --nodes");
  return chosen;
}

// Right after the start it is not known yet which nodes there are and what they hold.
asio::awaitable<void> Commands::becomeAcquainted() const {
  asio::steady_timer timer(co_await asio::this_coro::executor);
  while (!s_.core.acquainted(s_.now())) {
    timer.expires_after(kAcquaintPause);
    boost::system::error_code ignored;
    co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
}

asio::awaitable<Commands::Document> Commands::warm(const json& arguments, bool get) {
  ROOST_CO_ASSIGN_OR_RETURN(const RepoQuery query, repoIn(s_.origin, arguments));
  ROOST_CO_ASSIGN_OR_RETURN(SourceRule from, sourceRuleIn(arguments));
  if (!isOfHub(query.repo.type())) {
    ROOST_CO_RETURN_IF_ERROR(refuseForFinished(arguments, query.repo.type(), from));
    from = SourceRule::kClusterOnly;
  }
  co_await becomeAcquainted();
  std::vector<NodeId> nodes(1, s_.core.self().id);
  if (!get) {
    ROOST_CO_ASSIGN_OR_RETURN(nodes, targets(arguments));
  }
  ROOST_CO_ASSIGN_OR_RETURN(ResolvedRepo resolved,
                            co_await s_.resolver.resolve(query.repo, query.revision, from));
  JobOrder order{.title = query.repo.toString(),
                 .listing = std::move(resolved.listing),
                 .refs = std::move(resolved.refs),
                 .from = from,
                 .targets = std::move(nodes),
                 .created = s_.now()};
  ROOST_CO_ASSIGN_OR_RETURN(order.limit, rateIn(arguments, "limit"));
  ROOST_CO_RETURN_IF_ERROR(select(arguments, order.listing, order.manifestOnly));
  if (arguments.value("dry_run", false)) co_return plan(order);
  const JobOrder kept{.listing = {order.listing.repo, order.listing.commit},
                      .targets = order.targets};
  const uint64_t id = s_.order(std::move(order));
  const auto view = s_.core.job(id);
  if (!view) co_return absl::InternalError("the job was not accepted");
  co_return withSnapshot(jobDocument(*view), kept);
}

// Whether what one of them writes is there for the other.
bool Commands::writesWhere(const NodeId& a, const NodeId& b) const {
  if (a == b) return true;
  const auto first = s_.core.node(a);
  const auto second = s_.core.node(b);
  if (!first || !second || first->info.stores.empty() || second->info.stores.empty()) return false;
  return first->info.stores.front() == second->info.stores.front();
}

json Commands::plan(const JobOrder& order) const {
  json nodes = json::array();
  for (const NodeId& target : order.targets) {
    uint64_t missingFiles = 0, missing = 0, fromCluster = 0;
    std::set<BlobId> seen;
    for (const FileEntry& file : order.listing.files) {
      if (!seen.insert(file.blob.id).second) continue;
      const auto holders = s_.core.holders(file.blob.id);
      const bool held = std::any_of(holders.begin(), holders.end(), [&](const HolderView& h) {
        return writesWhere(h.node, target);
      });
      if (held) continue;
      ++missingFiles;
      missing += file.blob.size;
      if (!holders.empty() && order.from != SourceRule::kHubOnly) fromCluster += file.blob.size;
    }
    const auto node = s_.core.node(target);
    nodes.push_back({{"name", node ? node->info.name : target.shortHex()},
                     {"missing_files", missingFiles},
                     {"missing_bytes", missing},
                     {"free_bytes", node ? node->summary.freeBytes : 0},
                     {"from_cluster_bytes", fromCluster},
                     {"from_hub_bytes", missing - fromCluster}});
  }
  return {{"schema", "roost.plan.1"},
          {"repo", order.listing.repo.toString()},
          {"commit", order.listing.commit.hex()},
          {"completeness", order.listing.complete ? "complete" : "unknown"},
          {"files", order.listing.files.size()},
          {"bytes", order.listing.bytes()},
          {"nodes", std::move(nodes)}};
}

asio::awaitable<Commands::Document> Commands::verify(const json& arguments) {
  std::optional<RepoId> only;
  if (arguments.contains("repo")) {
    ROOST_CO_ASSIGN_OR_RETURN(RepoQuery query, repoIn(s_.origin, arguments));
    ROOST_CO_RETURN_IF_ERROR(nameTree(query));
    only = query.repo;
  }
  json repos = json::array();
  for (const RepoView& view : s_.folders.inventory().repos()) {
    if (only ? view.repo != *only : view.repo.origin() != s_.origin) continue;
    const VerifiedRepo result = co_await s_.folders.verifyRepo(view.repo);
    json wrong = json::array();
    for (const VerifiedRepo::Wrong& file : result.wrong) {
      wrong.push_back({{"path", file.path}, {"expected", file.expected}, {"found", file.found}});
    }
    repos.push_back({{"repo", view.repo.toString()},
                     {"files_ok", result.filesOk},
                     {"bytes_ok", result.bytesOk},
                     {"wrong", std::move(wrong)},
                     {"missing", result.missing}});
  }
  if (only && repos.empty()) {
    co_return absl::NotFoundError(absl::StrCat("this node holds nothing of ", only->toString()));
  }
  co_return json{{"schema", "roost.verify.1"}, {"repos", std::move(repos)}};
}

}  // namespace roost
