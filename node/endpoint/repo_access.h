// Which repos may be shown to which client: by their visibility, as this node or any other was told
// it by the hub, and by the hub's yes to a client's own token (access.h).
//
// Threads: `loop`. Everything given must outlive this.
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
  RepoAccess(const Core& core, const Inventory& inventory, absl::Duration authGrace,
             std::function<void(const RepoId&, Visibility)> learnt);

  Visibility visibilityOf(const RepoId& repo) const;
  bool isPublic(const RepoId& repo) const { return visibilityOf(repo) == Visibility::kPublic; }
  // `hubAnswers`: the hub can be asked anew.
  bool mayWithoutAsking(const RepoId& repo, const std::optional<Token>& token,
                        bool hubAnswers) const;

  // What the hub said of a repo to this client.
  void learn(const RepoId& repo, const std::optional<Token>& token, Visibility visibility);
  void accepted(const RepoId& repo, const std::optional<Token>& token);
  void refused(const RepoId& repo, const std::optional<Token>& token);

  // A token that the hub accepted for this repo, for downloads on its behalf; null: none.
  TokenSource tokenFor(const RepoId& repo) const;

 private:
  const Core& core_;
  const Inventory& inventory_;
  const std::function<void(const RepoId&, Visibility)> learnt_;
  Access access_;
  std::map<RepoId, Token> tokens_;
};

}  // namespace roost

#endif  // ROOST_NODE_ENDPOINT_REPO_ACCESS_H_
