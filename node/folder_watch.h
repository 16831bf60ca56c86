// The Watcher on the `loop`: waits for its descriptor, polls what must be polled on a work thread,
// and says what to scan.
//
// Threads: `loop`; handlers are called there. The pool and io must outlive this.
#ifndef ROOST_NODE_FOLDER_WATCH_H_
#define ROOST_NODE_FOLDER_WATCH_H_

#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cache/watcher.h"
#include "cache/work_pool.h"

namespace roost {

class FolderWatch {
 public:
  // Folders that must be scanned again, soon.
  using Handler = std::function<void(const Dirty&)>;

  FolderWatch(boost::asio::io_context& io, WorkPool& pool, Handler handler);
  ~FolderWatch();

  // In the order of the inventory's roots.
  void addRoot(const Root& root);
  // What a scan found; the handler is called if something changed meanwhile.
  void seen(RootIndex root, const RootScan& scan);
  void seen(RootIndex root, const RepoScan& scan);
  void gone(RootIndex root, const RepoId& repo);
  void gone(RootIndex root);
  std::vector<std::string> problems() const;
  void stop();

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace roost

#endif  // ROOST_NODE_FOLDER_WATCH_H_
