// Keeps the inventory true to the folders: watch → ScanSchedule → scan on a work thread → trust of
// each copy from the index → Inventory on `loop`.
//
// Ownership: of the watch; of nothing that work threads see. Threads: `loop`; handlers are called
// there. Everything given must outlive this. Errors: what cannot be read is the inventory's
// problem.
#ifndef ROOST_NODE_FOLDER_SCANS_H_
#define ROOST_NODE_FOLDER_SCANS_H_

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cache/inventory.h"
#include "cache/pip_cache.h"
#include "node/folder_watch.h"
#include "node/index_queue.h"
#include "node/loop_work.h"
#include "node/scan_schedule.h"

namespace roost {

class FolderScans {
 public:
  struct Seams {
    boost::asio::io_context& io;  // of `loop`
    WorkPool& pool;
    std::shared_ptr<LoopWork> work;
    IndexQueue& index;
    Inventory& inventory;           // knows the roots already
    HubOrigin origin;               // of the repos in hub caches
    std::function<void()> changed;  // the inventory was told what a scan found
    std::function<void()> settled;  // all folders were read once
  };
  explicit FolderScans(Seams seams);

  void start();
  void stop();
  bool isSettled() const { return settled_; }
  std::vector<std::string> problems() const;
  // Of its roots as they are now, the one that is written to first.
  std::vector<StoreId> stores() const;

  // A change is known before the watch tells.
  void scanSoon(const RepoPlace& place);
  // The inventory was told already what landed there: a scan to follow, which may take its time.
  void landed(const RepoPlace& place);
  void scanRootSoon(RootIndex root);
  // `then` runs after the root was read, its contents too if it is read as a whole, by a scan that
  // began from now on; never if the agent stops.
  void whenRootScanned(RootIndex root, std::function<void()> then);
  // `then` runs after a scan that began from now on; never if the agent stops.
  void whenScanned(const RepoPlace& place, std::function<void()> then);

 private:
  using Waiters = std::vector<std::function<void()>>;
  struct Found;      // by a scan on its way from thread to thread
  struct FoundRoot;  // the same

  void isDirty(const Dirty& dirty);
  void scanRoot(RootIndex root);
  void rootRead(RootIndex root, const FoundRoot& found);
  void rootScanned(RootIndex root, const FoundRoot& found);
  void startScans();
  void startScan(const RepoPlace& place);
  void repoScanned(const RepoPlace& place, const Found& found);
  void repoFound(const RepoPlace& place, const Found& found);
  void settleIfDone();

  Seams s_;
  std::unique_ptr<FolderWatch> watch_;
  std::vector<bool> writable_;  // of the inventory's roots
  size_t rootsToRead_ = 0;
  bool settled_ = false;
  std::set<RootIndex> rootsSoon_;
  // Scans of roots under way; true: another is wanted after it. They are many files, if the layout
  // is read as a whole, and must not be told in another order than they began.
  std::map<RootIndex, bool> rootsRunning_;
  std::map<RootIndex, ScanSchedule::Clock::duration> rootsTook_;
  std::set<RootIndex> unread_;  // all their repos are to be scanned, watched or not
  std::map<RootIndex, std::shared_ptr<PipCacheReader>> pipReaders_;  // a work thread's in a scan
  ScanSchedule schedule_;
  boost::asio::steady_timer timer_;  // until schedule_.nextDue()
  std::optional<ScanSchedule::Clock::time_point> timerDue_;
  std::map<RepoPlace, Waiters> waiting_;                   // for a scan that has not begun
  std::map<RepoPlace, Waiters> served_;                    // by the one that runs
  std::map<RootIndex, Waiters> rootWaiting_, rootServed_;  // the same of roots
};

}  // namespace roost

#endif  // ROOST_NODE_FOLDER_SCANS_H_
