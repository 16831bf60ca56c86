// From what people name (a repo, perhaps a branch) to what nodes move: a commit and its files.
//
// A branch is the hub's to say; if the hub cannot be asked, the newest word that any node has of it
// counts. The files of a commit are the hub's to say too, unless this node has its manifest
// already; a peer's manifest counts where the hub does not answer, so that no member can put files
// of its own under a commit while the hub can be asked. Without a manifest the listings of all
// holders are united, and completeness stays unknown.
//
// Of a dataset cache no hub knows: its refs are the finished directories that members hold, each as
// one node has it and none mixed of two. Where they differ that of most files counts, then the
// newest, then the smallest commit. A revision names one directory, or all below it.
//
// A tree is what all members hold of it under its scope: each of its directories as one node has
// it.
//
// Threads: `loop`. Errors: kNotFound with what was not found and where; kPermissionDenied;
// kUnavailable if neither hub nor peers can answer.
#ifndef ROOST_NODE_RESOLVER_H_
#define ROOST_NODE_RESOLVER_H_

#include <boost/asio/awaitable.hpp>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "cache/inventory.h"
#include "cluster/core.h"
#include "cluster/hub_api.h"
#include "cluster/peer_links.h"
#include "node/repo_query.h"

namespace roost {

struct ResolvedRepo {
  Listing listing;
  std::vector<RefState> refs;  // the branch that was named, with what it points at; directories
};

class Resolver {
 public:
  // All must outlive this. hub: null if this node uses none; hurried gives up at once where hub
  // repeats a question.
  Resolver(const Core& core, PeerLinks& links, const Inventory& inventory, HubApi* hub,
           HubApi* hurried, std::function<void(const RepoId&, Visibility)> learnt = nullptr)
      : core_(core),
        links_(links),
        inventory_(inventory),
        hub_(hub),
        hurried_(hurried),
        learnt_(std::move(learnt)) {}

  // No revision: main.
  boost::asio::awaitable<absl::StatusOr<ResolvedRepo>> resolve(RepoId repo,
                                                               std::optional<Revision> revision,
                                                               SourceRule from);

  // What a peer may have that asks for a list. Of a dataset cache nobody may before this node knows
  // how public its source is: the hub is asked if need be, and without its word there is none.
  boost::asio::awaitable<std::optional<Listing>> listingForPeer(RepoId repo, Commit commit);

  // The newest word of the hub that any node has; if none has one, the commit of which a node has
  // the most files.
  std::optional<RefState> refInCluster(const RepoId& repo, const RefName& ref) const;

  // The hub is not asked any more: it may go now.
  void stop() {
    hub_ = nullptr;
    hurried_ = nullptr;
  }

 private:
  struct Named {
    Commit commit;
    Visibility visibility = Visibility::kUnknown;
    std::optional<RefState> ref;
  };
  // Of each directory of a dataset cache that the revision names, what any node has of it: best
  // first.
  std::vector<std::vector<RefState>> finishedInCluster(
      const RepoId& repo, const std::optional<Revision>& revision) const;
  boost::asio::awaitable<void> learnSources(RepoId cache);
  boost::asio::awaitable<absl::StatusOr<ResolvedRepo>> resolveFinished(
      RepoId repo, std::optional<Revision> revision);
  boost::asio::awaitable<absl::StatusOr<ResolvedRepo>> resolveTree(
      RepoId asked, std::optional<Revision> revision);
  boost::asio::awaitable<absl::StatusOr<Named>> commitOf(RepoId repo, RefName ref, SourceRule from);
  boost::asio::awaitable<absl::StatusOr<Listing>> filesOf(RepoId repo, Commit commit,
                                                          SourceRule from);
  boost::asio::awaitable<std::vector<Listing>> listingsInCluster(RepoId repo, Commit commit,
                                                                 bool manifestsOnly);

  const Core& core_;
  PeerLinks& links_;
  const Inventory& inventory_;
  HubApi* hub_;
  HubApi* hurried_;
  const std::function<void(const RepoId&, Visibility)> learnt_;  // from the hub
};

}  // namespace roost

#endif  // ROOST_NODE_RESOLVER_H_
