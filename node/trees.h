// The trees of this node and of the cluster: which folders are configured, what NAME means, and why
// nothing is exchanged where nothing is. Equal name and equal scope are one repo (tree_scope.h);
// another scope's is never looked at but to say that it is there.
//
// Threads: `loop` (values only). Errors: kNotFound, kFailedPrecondition with a sentence that names
// both scopes.
#ifndef ROOST_NODE_TREES_H_
#define ROOST_NODE_TREES_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cache/inventory.h"
#include "cache/tree_scope.h"
#include "cluster/core.h"
#include "protocol/names.h"

namespace roost {

struct OwnTree {
  RootIndex root{};
  RepoId repo;
  std::string name;
  std::string scope;
  std::string path;
  bool pull = false;
};

// In the order of the roots.
std::vector<OwnTree> ownTrees(const Inventory& inventory, const HubOrigin& origin);

// What a tree without a scope means here: this node's own of that name, else the only one of the
// cluster; with a scope as revision, that one. A tree with a scope is itself.
absl::StatusOr<RepoId> treeNamed(const Inventory& inventory, const Core& core, const RepoId& asked,
                                 const std::optional<RefName>& scope);

// The root of this node where that tree is written.
absl::StatusOr<RootIndex> treeToWrite(const Inventory& inventory, const RepoId& repo);

// Why no other node has anything of it for this one.
std::string whyNothingIsShared(const Core& core, const RepoId& repo, const std::string& scope);

// The scope's words, as its holders tell them; empty: nobody present tells.
std::string scopeOf(const Core& core, const RepoId& repo);

}  // namespace roost

#endif  // ROOST_NODE_TREES_H_
