// The pages of the pip index: asked for once for the cluster (public_word.h), checked with the
// index by what it said of them before, kept on the disk, and shown in both forms. While the index
// does not answer, the page that this node or any other keeps counts.
//
// Threads: `loop`; parsing and files on work threads. Everything given must outlive this.
// Memory: kPipShownBytesMax of shown pages, besides that of PublicWord. Disk: the pages that were
// ever asked for.
#ifndef ROOST_NODE_ENDPOINT_PIP_PAGES_H_
#define ROOST_NODE_ENDPOINT_PIP_PAGES_H_

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <string>

#include "absl/time/time.h"
#include "cache/work_pool.h"
#include "cluster/core.h"
#include "node/endpoint/hub_failures.h"
#include "node/endpoint/hub_line.h"
#include "node/endpoint/pip_page.h"
#include "node/endpoint/public_word.h"
#include "node/loop_timers.h"
#include "node/peer_question.h"

namespace roost {

// A page as clients get it.
struct PipShown {
  PipPage page;
  std::string json;
  std::string html;
  std::string etag;  // without quotes; the form is to be added
};

std::shared_ptr<const PipShown> pipShown(PipPage page);

class PipPages {
 public:
  struct Seams {
    boost::asio::io_context& io;
    WorkPool& pool;
    const Core& core;
    HubLine& index;
    LoopTimers& timers;
    PeerCall call;
    std::function<std::shared_ptr<void>()> alive;  // kept while a question is under way
  };
  struct Found {
    std::shared_ptr<const PipShown> shown;
    bool stale = false;     // the index does not answer
    absl::Duration counts;  // for so long from now on
  };

  // `shares`: with other nodes. `folder`: of the agent's own, for pages; made if need be.
  PipPages(Seams seams, bool shares, std::string folder);

  // `project` is normalised.
  boost::asio::awaitable<OrAnswer<Found>> find(std::string project);
  // As it is known already, however old: what a page says of a file does not change. Or null.
  std::shared_ptr<const PipShown> known(const std::string& project) const;
  // A peer asks.
  void asked(const HubQuestionRequest& question, PeerAnswer answer);

 private:
  using Shown = std::shared_ptr<const PipShown>;
  struct Kept {
    absl::Time at;  // of the index's word that it was made of
    Shown shown;
    size_t bytes = 0;
    std::list<std::string>::iterator place;
  };

  static PublicWord::Ways ways(const HubOrigin& origin, bool shares);
  static PublicWord::Question questionOf(const std::string& project);
  RepoId repoOf(const std::string& project) const;
  std::string fileOf(const std::string& project) const;
  boost::asio::awaitable<void> recall(std::string project);
  boost::asio::awaitable<absl::StatusOr<Shown>> show(std::string project, PublicWord::Said said);
  void keep(const std::string& project, absl::Time at, Shown shown);
  void save(const std::string& project, std::shared_ptr<const PublicWord::Said> said);
  static boost::asio::awaitable<void> answerPeer(std::shared_ptr<void> alive, PipPages* self,
                                                 std::string project, HubQuestionRequest question,
                                                 PeerAnswer answer);

  Seams s_;
  const std::string folder_;
  PublicWord word_;
  std::map<std::string, Kept> shown_;
  std::list<std::string> order_;  // the one that was made longest ago first
  size_t shownBytes_ = 0;
};

}  // namespace roost

#endif  // ROOST_NODE_ENDPOINT_PIP_PAGES_H_
