// Who may exchange a tree: a configured folder such as a compile cache, whose files are code that
// fits one kind of machine. Nodes exchange a tree only if its name and its scope are equal, so both
// are in its identity: the tree "triton" of a scope is the repo "trees/triton/<digest of the
// scope>", and the scope itself, in words, is its ref. What is not the same repo is never looked
// at.
//
// A scope is a set of words, mostly key=value: "gpu=sm_90 driver=550.54.15". Their order says
// nothing. It is compared by its text; nothing is nearly equal.
//
// Threads: any (values only). Errors: kInvalidArgument with a sentence.
#ifndef ROOST_CACHE_TREE_SCOPE_H_
#define ROOST_CACHE_TREE_SCOPE_H_

#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "protocol/names.h"

namespace roost {

class TreeScope {
 public:
  // At most 8 words of [A-Za-z0-9._+@=-], separated by spaces, commas or '/'; a key only once.
  static absl::StatusOr<TreeScope> parse(absl::string_view text);

  const RefName& ref() const { return ref_; }
  const std::string& text() const { return ref_.text(); }  // sorted, separated by '/'
  friend bool operator==(const TreeScope&, const TreeScope&) = default;

 private:
  explicit TreeScope(RefName ref) : ref_(std::move(ref)) {}
  RefName ref_;
};

// A tree's name: one segment as in names of repos.
absl::Status checkTreeName(absl::string_view name);
// The folder's own, without leading dots; to be checked.
std::string defaultTreeName(absl::string_view path);

absl::StatusOr<RepoId> treeRepo(const HubOrigin& origin, absl::string_view name,
                                const TreeScope& scope);
// "triton", also where `tree` names no scope yet.
std::string treeName(const RepoId& tree);
bool namesScope(const RepoId& tree);

}  // namespace roost

#endif  // ROOST_CACHE_TREE_SCOPE_H_
