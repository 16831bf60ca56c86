// Watched roots with the layout `representations`: finds safetensors files that carry their own
// provenance, whoever wrote them, and tells the store.
//
// Folders are looked at each kPeriod by their times, which is a system call a folder and works on
// every file system; files that are still being written are looked at until they rest; everything
// is read anew each kFullPeriod.
//
// Threads: `loop`; reading and hashing on work threads. Errors: what cannot be used is a problem,
// kept as a text while it lies there.
#ifndef ROOST_NODE_REPRESENTATION_WATCH_H_
#define ROOST_NODE_REPRESENTATION_WATCH_H_

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "cache/roots.h"
#include "node/loop_timers.h"
#include "node/representation_store.h"

namespace roost {

class RepresentationWatch {
 public:
  struct Seams {
    std::shared_ptr<LoopWork> work;
    LoopTimers& timers;
    RepresentationStore& store;
    std::vector<Root> roots;
  };
  explicit RepresentationWatch(Seams seams) : s_(std::move(seams)) {}

  // What was known before a restart, believed until a look says otherwise.
  void restore(const std::vector<RepresentationRow>& rows);
  // Looks at everything, and then for changes until stop().
  boost::asio::awaitable<void> run();
  void stop();

  std::vector<std::string> problems() const;

 private:
  struct File {
    FileStamp stamp;                       // when it was examined
    std::optional<RepresentationKey> key;  // none: it cannot be used
    std::string problem;
  };
  boost::asio::awaitable<void> look(bool all);
  boost::asio::awaitable<void> examine(std::vector<RepresentationListing::File> files);
  void gone(const std::vector<std::string>& paths);

  Seams s_;
  const std::shared_ptr<std::atomic<bool>> cancelled_ = std::make_shared<std::atomic<bool>>(false);
  std::map<std::string, File> files_;
  KnownFolders folders_;
  std::set<std::string> restless_;  // files that changed a moment ago
  std::vector<std::string> folderProblems_;
};

}  // namespace roost

#endif  // ROOST_NODE_REPRESENTATION_WATCH_H_
