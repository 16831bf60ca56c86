// Trees that come by themselves (`pull` in their [[root]]): what other nodes of equal scope have of
// them is ordered as soon as it is known, one order at a time for each, and each list once.
//
// Threads: `loop`. Everything given must outlive this.
#ifndef ROOST_NODE_TREE_PULLS_H_
#define ROOST_NODE_TREE_PULLS_H_

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <map>
#include <memory>
#include <set>

#include "absl/time/time.h"
#include "cluster/core.h"
#include "node/resolver.h"
#include "node/trees.h"

namespace roost {

class TreePulls {
 public:
  struct Seams {
    boost::asio::io_context& io;
    const Core& core;
    const Inventory& inventory;
    Resolver& resolver;
    HubOrigin origin;
    std::function<uint64_t(JobOrder)> order;  // as Commands::Seams
  };
  explicit TreePulls(Seams seams);

  // Looks each kTreePullPeriod, if there is anything to look for.
  void start();
  void stop();

 private:
  struct Pull {
    std::set<Commit> tried;  // lists of other nodes that were ordered
    std::set<Commit> last;   // of them with the last job, unless that went well
    uint64_t job = 0;        // the last; 0: none yet
    bool resolving = false;
    absl::Time notBefore = absl::InfinitePast();
  };
  void look();
  void wait();
  bool isBusy(const Pull& pull) const;
  void forgetIfFailed(Pull& pull) const;
  // What the others have now that was not tried.
  std::set<Commit> news(const OwnTree& tree, const Pull& pull) const;
  boost::asio::awaitable<void> bring(OwnTree tree, std::set<Commit> news);

  Seams s_;
  boost::asio::steady_timer timer_;
  std::map<RepoId, Pull> pulls_;
  const std::shared_ptr<bool> stopped_ = std::make_shared<bool>(false);
};

}  // namespace roost

#endif  // ROOST_NODE_TREE_PULLS_H_
