#include "node/endpoint/repo_access.h"

#include <algorithm>
#include <utility>

#include "absl/time/clock.h"
#include "protocol/limits.h"

namespace roost {

RepoAccess::RepoAccess(Seams seams, absl::Duration authGrace, absl::Duration ttl)
    : s_(std::move(seams)), ttl_(std::max(ttl, kVisibilityTtlMin)), access_(authGrace) {}

Visibility RepoAccess::visibilityOf(const RepoId& repo) const {
  Visibility known = s_.inventory.visibilityOf(repo);
  if (known != Visibility::kUnknown) return known;
  // Of others' words the strictest: one of them has heard of a change before the rest.
  for (const RepoHolderView& holder : s_.core.repoHolders(repo)) {
    known = std::max(known, holder.advert.visibility);
  }
  return known;
}

bool RepoAccess::maybePublic(const RepoId& repo) const {
  const Visibility known = visibilityOf(repo);
  return known == Visibility::kPublic || known == Visibility::kUnknown;
}

bool RepoAccess::mayWithoutAsking(const RepoId& repo, const std::optional<Token>& token,
                                  bool hubAnswers) const {
  return isPublic(repo) || access_.may(repo, token, hubAnswers, absl::Now());
}

void RepoAccess::learn(const RepoId& repo, const std::optional<Token>& token,
                       Visibility visibility) {
  if (visibility != Visibility::kUnknown) s_.learnt(repo, visibility);
  // That a gated repo exists is public; its files need a yes of their own.
  if (visibility == Visibility::kPrivate) accepted(repo, token);
}

void RepoAccess::anonymousMay(const RepoId& repo, absl::Time at) {
  if (lastWord_.size() >= kRefsCachedMax) lastWord_.erase(lastWord_.begin());
  absl::Time& last = lastWord_.try_emplace(repo, at).first->second;
  last = std::max(last, at);
}

void RepoAccess::anonymousMayNot(const RepoId& repo) {
  lastWord_.erase(repo);
  // Of a repo that nobody knew to be public it says nothing: it may just not exist.
  if (isPublic(repo)) s_.learnt(repo, Visibility::kPrivate);
}

void RepoAccess::accepted(const RepoId& repo, const std::optional<Token>& token) {
  access_.accepted(repo, token, absl::Now());
  if (token) tokens_.insert_or_assign(repo, *token);
}

void RepoAccess::refused(const RepoId& repo, const std::optional<Token>& token) {
  access_.refused(repo, token);
}

bool RepoAccess::due(const RepoId& repo, absl::Time now) {
  const auto last = lastWord_.find(repo);
  if (last != lastWord_.end() && now - last->second < ttl_) return false;
  anonymousMay(repo, now);
  return true;
}

TokenSource RepoAccess::tokenFor(const RepoId& repo) const {
  const auto it = tokens_.find(repo);
  if (it == tokens_.end()) return nullptr;
  return [token = it->second] { return std::optional<Token>(token); };
}

}  // namespace roost
