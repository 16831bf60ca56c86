// Which repos may be shown to which client: by their visibility, as this node or any other was told
// it by the hub, and by the hub's yes to a client's own token (access.h).
//
// That a repo is public holds until the hub says otherwise to somebody without a token. While it is
// used it is asked again once a TTL (due()); while the hub does not answer, its last word counts.
//
// Threads: `loop`. Everything given must outlive this. Memory: kRefsCachedMax repos.
#ifndef ROOST_NODE_ENDPOINT_REPO_ACCESS_H_
#define ROOST_NODE_ENDPOINT_REPO_ACCESS_H_

#include <functional>
#include <map>
#include <optional>

#include "cache/inventory.h"
#include "cluster/core.h"
#include "cluster/hub_calls.h"
#include "node/endpoint/access.h"

namespace roost {

class RepoAccess {
 public:
  struct Seams {
    const Core& core;
    const Inventory& inventory;
    std::function<void(const RepoId&, Visibility)> learnt;
  };
  RepoAccess(Seams seams, absl::Duration authGrace, absl::Duration ttl);

  Visibility visibilityOf(const RepoId& repo) const;
  bool isPublic(const RepoId& repo) const { return visibilityOf(repo) == Visibility::kPublic; }
  // The hub may be asked without a token: it is public, or nobody knows.
  bool maybePublic(const RepoId& repo) const;
  // `hubAnswers`: the hub can be asked anew.
  bool mayWithoutAsking(const RepoId& repo, const std::optional<Token>& token,
                        bool hubAnswers) const;
  // Nobody said yes to this client yet. Whatever this node knows of the repo, a stranger is
  // answered as if it knew nothing, by the same questions to the hub: neither their number nor the
  // time that they take tells that the repo exists.
  bool isStranger(const RepoId& repo, const std::optional<Token>& token) const {
    return !mayWithoutAsking(repo, token, false);
  }

  // What the hub said of a repo to this client.
  void learn(const RepoId& repo, const std::optional<Token>& token, Visibility visibility);
  // What the hub said of it to somebody without a token, `at` that time: nothing of its visibility,
  // or that it is not for everybody.
  void anonymousMay(const RepoId& repo, absl::Time at);
  void anonymousMayNot(const RepoId& repo);
  void accepted(const RepoId& repo, const std::optional<Token>& token);
  void refused(const RepoId& repo, const std::optional<Token>& token);

  // A public repo whose last word is older than the TTL. True once, then not for another TTL.
  bool due(const RepoId& repo, absl::Time now);

  // A token that the hub accepted for this repo, for downloads on its behalf; null: none.
  TokenSource tokenFor(const RepoId& repo) const;

 private:
  const Seams s_;
  const absl::Duration ttl_;
  Access access_;
  std::map<RepoId, Token> tokens_;
  std::map<RepoId, absl::Time> lastWord_;  // that it is public
};

}  // namespace roost

#endif  // ROOST_NODE_ENDPOINT_REPO_ACCESS_H_
