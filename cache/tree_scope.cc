#include "cache/tree_scope.h"

#include <algorithm>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "protocol/digest.h"
#include "protocol/errors.h"

namespace roost {
namespace {

constexpr size_t kScopeDigits = 16;  // hex: enough that no two scopes of a cluster meet by chance

absl::string_view keyOf(absl::string_view word) {
  return word.substr(0, word.find('='));
}

}  // namespace

absl::StatusOr<TreeScope> TreeScope::parse(absl::string_view text) {
  const auto refused = [&](absl::string_view why) {
    return absl::InvalidArgumentError(
        sentence(absl::StrCat("not a scope: ", quoted(text)), why,
                 "Write words such as gpu=sm_90,torch=2.6.0, or gathered"));
  };
  std::vector<std::string> words = absl::StrSplit(text, absl::ByAnyChar(" ,/"), absl::SkipEmpty());
  if (words.empty()) return refused("it is empty");
  std::sort(words.begin(), words.end());
  for (size_t i = 1; i < words.size(); ++i) {
    if (keyOf(words[i]) == keyOf(words[i - 1])) {
      return refused(absl::StrCat(quoted(keyOf(words[i])), " is said twice"));
    }
  }
  auto ref = RefName::parse(absl::StrJoin(words, "/"));
  if (!ref.ok()) return refused(ref.status().message());
  return TreeScope(*std::move(ref));
}

absl::Status checkTreeName(absl::string_view name) {
  if (!absl::StrContains(name, '/')) {
    const auto repo = RepoId::make(HubOrigin::huggingFace(), RepoType::kTree,
                                   absl::StrCat(name, "/", std::string(kScopeDigits, '0')));
    if (repo.ok()) return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      sentence(absl::StrCat("not a name of a tree: ", quoted(name)), "",
               "Use letters, digits, '-', '_' and '.', as in triton"));
}

std::string defaultTreeName(absl::string_view path) {
  const std::vector<absl::string_view> parts = absl::StrSplit(path, '/', absl::SkipEmpty());
  absl::string_view name = parts.empty() ? "" : parts.back();
  while (absl::StartsWith(name, ".")) name.remove_prefix(1);
  return std::string(name);
}

absl::StatusOr<RepoId> treeRepo(const HubOrigin& origin, absl::string_view name,
                                const TreeScope& scope) {
  ROOST_RETURN_IF_ERROR(checkTreeName(name));
  return RepoId::make(origin, RepoType::kTree,
                      absl::StrCat(name, "/", sha256Hex(scope.text()).substr(0, kScopeDigits)));
}

std::string treeName(const RepoId& tree) {
  return tree.name().substr(0, tree.name().find('/'));
}

bool namesScope(const RepoId& tree) {
  return absl::StrContains(tree.name(), '/');
}

}  // namespace roost
