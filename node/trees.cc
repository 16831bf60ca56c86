#include "node/trees.h"

#include <algorithm>
#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "node/documents.h"
#include "protocol/errors.h"

namespace roost {
namespace {

// Of that name in the cluster: repo → the nodes that hold it.
std::map<RepoId, std::set<std::string>> treesCalled(const Core& core, const HubOrigin& origin,
                                                    const std::string& name) {
  std::map<RepoId, std::set<std::string>> found;
  for (const RepoId& repo : core.repos(RepoType::kTree)) {
    if (repo.origin() != origin || treeName(repo) != name || !namesScope(repo)) continue;
    for (const RepoHolderView& holder : core.repoHolders(repo)) {
      found[repo].insert(nameOf(core, holder.node));
    }
  }
  return found;
}

// "gpu=sm_80 (on a, b)"
std::string described(const Core& core, const RepoId& repo, const std::set<std::string>& nodes) {
  const std::string scope = scopeOf(core, repo);
  return absl::StrCat(scope.empty() ? repo.name() : scope, " (on ", absl::StrJoin(nodes, ", "),
                      ")");
}

std::string describedAll(const Core& core, const std::map<RepoId, std::set<std::string>>& trees) {
  std::vector<std::string> all;
  for (const auto& [repo, nodes] : trees) all.push_back(described(core, repo, nodes));
  return absl::StrJoin(all, "; ");
}

}  // namespace

std::vector<OwnTree> ownTrees(const Inventory& inventory, const HubOrigin& origin) {
  std::vector<OwnTree> trees;
  for (size_t i = 0; i < inventory.roots(); ++i) {
    const auto index = static_cast<RootIndex>(i);
    const RootConfig& config = inventory.root(index).config;
    if (config.layout != Layout::kTree) continue;
    const auto scope = TreeScope::parse(config.scope);
    if (!scope.ok()) continue;
    auto repo = treeRepo(origin, config.tree, *scope);
    if (!repo.ok()) continue;
    trees.push_back(
        {index, *std::move(repo), config.tree, scope->text(), config.path, config.pull});
  }
  return trees;
}

absl::StatusOr<RepoId> treeNamed(const Inventory& inventory, const Core& core, const RepoId& asked,
                                 const std::optional<RefName>& scope) {
  if (namesScope(asked)) return asked;
  const std::string& name = asked.name();
  if (scope) {
    ROOST_ASSIGN_OR_RETURN(const TreeScope parsed, TreeScope::parse(scope->text()));
    return treeRepo(asked.origin(), name, parsed);
  }
  std::set<RepoId> own;
  for (const OwnTree& tree : ownTrees(inventory, asked.origin())) {
    if (tree.name == name) own.insert(tree.repo);
  }
  if (own.size() == 1) return *own.begin();
  const auto cluster = treesCalled(core, asked.origin(), name);
  if (own.empty() && cluster.size() == 1) return cluster.begin()->first;
  if (own.empty() && cluster.empty()) {
    return absl::NotFoundError(
        sentence(absl::StrCat("cannot find the tree ", quoted(name)),
                 "this node is not told to share one of that name, and no other node holds one",
                 absl::StrCat("Name its folder with --root PATH:tree:SCOPE:", name)));
  }
  return absl::NotFoundError(
      sentence(absl::StrCat("there are several trees ", quoted(name)),
               absl::StrCat("they differ in their scopes: ", describedAll(core, cluster)),
               "Name one with --revision SCOPE"));
}

absl::StatusOr<RootIndex> treeToWrite(const Inventory& inventory, const RepoId& repo) {
  std::set<std::string> scopes;
  bool readOnly = false;
  for (const OwnTree& tree : ownTrees(inventory, repo.origin())) {
    if (tree.repo == repo) {
      if (inventory.root(tree.root).config.write) return tree.root;
      readOnly = true;
    } else if (tree.name == treeName(repo)) {
      scopes.insert(tree.scope);
    }
  }
  const std::string what = absl::StrCat("cannot take ", repo.toString());
  if (readOnly) {
    return absl::PermissionDeniedError(
        sentence(what, "its folder on this node is not to be written", ""));
  }
  if (!scopes.empty()) {
    return absl::FailedPreconditionError(sentence(
        what, absl::StrCat("the scope differs: this node's is ", absl::StrJoin(scopes, " and ")),
        "Only equal scopes are exchanged"));
  }
  return absl::FailedPreconditionError(
      sentence(what, "this node is not told to share a tree of that name",
               absl::StrCat("Name its folder with --root PATH:tree:SCOPE:", treeName(repo))));
}

std::string whyNothingIsShared(const Core& core, const RepoId& repo, const std::string& scope) {
  auto others = treesCalled(core, repo.origin(), treeName(repo));
  others.erase(repo);
  if (others.empty()) return "no other node holds anything of it";
  return absl::StrCat("only equal scopes are exchanged; this node's is ", scope, ", and there are ",
                      describedAll(core, others));
}

std::string scopeOf(const Core& core, const RepoId& repo) {
  for (const auto& [node, state] : core.refs(repo)) {
    const auto scope = TreeScope::parse(state.ref.text());
    if (!scope.ok()) continue;
    // A peer may say what it likes.
    const auto named = treeRepo(repo.origin(), treeName(repo), *scope);
    if (named.ok() && *named == repo) return scope->text();
  }
  return "";
}

}  // namespace roost
