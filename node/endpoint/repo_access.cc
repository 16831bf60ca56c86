#include "node/endpoint/repo_access.h"

#include <utility>

#include "absl/time/clock.h"

namespace roost {

RepoAccess::RepoAccess(const Core& core, const Inventory& inventory, absl::Duration authGrace,
                       std::function<void(const RepoId&, Visibility)> learnt)
    : core_(core), inventory_(inventory), learnt_(std::move(learnt)), access_(authGrace) {}

Visibility RepoAccess::visibilityOf(const RepoId& repo) const {
  Visibility known = inventory_.visibilityOf(repo);
  if (known != Visibility::kUnknown) return known;
  for (const RepoHolderView& holder : core_.repoHolders(repo)) {
    if (holder.advert.visibility != Visibility::kUnknown) known = holder.advert.visibility;
  }
  return known;
}

bool RepoAccess::mayWithoutAsking(const RepoId& repo, const std::optional<Token>& token,
                                  bool hubAnswers) const {
  return isPublic(repo) || access_.may(repo, token, hubAnswers, absl::Now());
}

void RepoAccess::learn(const RepoId& repo, const std::optional<Token>& token,
                       Visibility visibility) {
  if (visibility != Visibility::kUnknown) learnt_(repo, visibility);
  // That a gated repo exists is public; its files need a yes of their own.
  if (visibility == Visibility::kPrivate) accepted(repo, token);
}

void RepoAccess::accepted(const RepoId& repo, const std::optional<Token>& token) {
  access_.accepted(repo, token, absl::Now());
  if (token) tokens_.insert_or_assign(repo, *token);
}

void RepoAccess::refused(const RepoId& repo, const std::optional<Token>& token) {
  access_.refused(repo, token);
}

TokenSource RepoAccess::tokenFor(const RepoId& repo) const {
  const auto it = tokens_.find(repo);
  if (it == tokens_.end()) return nullptr;
  return [token = it->second] { return std::optional<Token>(token); };
}

}  // namespace roost
