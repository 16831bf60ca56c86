// Where a name leads: a branch to its commit, a commit to its list of files.
//
// A commit's list is for good. A branch is remembered for its TTL; then the hub is asked, under the
// client's own token where the repo is not public. While the hub does not answer, the newest word
// that this node or any other remembers counts, and is marked stale.
//
// Threads: `loop`. Everything given must outlive this. Memory: kRefsCachedMax branches, lists of
// kManifestFilesMax files in all.
#ifndef ROOST_NODE_ENDPOINT_REPO_NAMES_H_
#define ROOST_NODE_ENDPOINT_REPO_NAMES_H_

#include <boost/asio/awaitable.hpp>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "cluster/core.h"
#include "node/endpoint/hub_failures.h"
#include "node/endpoint/hub_line.h"
#include "node/endpoint/repo_access.h"
#include "node/repo_query.h"
#include "node/resolver.h"

namespace roost {

// "/api/models/org/name"
std::string apiPath(const RepoId& repo);

class RepoNames {
 public:
  // Shared: a dataset has 200,000 files, and each request looks one of them up.
  using Manifest = std::shared_ptr<const Listing>;
  struct Located {
    Manifest manifest;
    std::optional<RefState> ref;
    bool stale = false;  // the hub did not say so now
  };

  RepoNames(const Core& core, const Inventory& inventory, Resolver& resolver, HubLine& hub,
            RepoAccess& access, absl::Duration refTtl);

  boost::asio::awaitable<OrAnswer<Located>> locate(RepoId repo, Revision revision,
                                                   std::optional<Token> token);
  // The hub said so now.
  void remember(const RepoId& repo, const RefState& ref);
  // Its branches may have moved.
  void forget(const RepoId& repo);

 private:
  struct Named {
    Commit commit;
    std::optional<RefState> ref;
    bool stale = false;
  };
  boost::asio::awaitable<OrAnswer<Named>> commitOf(RepoId repo, Revision revision,
                                                   std::optional<Token> token);
  std::optional<RefState> newestWord(const RepoId& repo, const RefName& name) const;
  boost::asio::awaitable<OrAnswer<Manifest>> filesOf(RepoId repo, Commit commit,
                                                     std::optional<Token> token);
  Manifest keep(Listing files);

  const Core& core_;
  const Inventory& inventory_;
  Resolver& resolver_;
  HubLine& hub_;
  RepoAccess& access_;
  const absl::Duration refTtl_;
  std::map<std::pair<RepoId, RefName>, RefState> refs_;
  std::map<std::pair<RepoId, Commit>, Manifest> manifests_;
  size_t manifestFiles_ = 0;  // in them
};

}  // namespace roost

#endif  // ROOST_NODE_ENDPOINT_REPO_NAMES_H_
