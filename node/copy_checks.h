// Hashes copies: in idle time what the inventory wants to be checked, and at once what somebody
// asked for. What comes of it goes into the inventory and the index.
//
// Threads: `loop`; files are read on idle and work threads. Everything given must outlive this; the
// handler is called on `loop`.
#ifndef ROOST_NODE_COPY_CHECKS_H_
#define ROOST_NODE_COPY_CHECKS_H_

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "cache/inventory.h"
#include "cache/piece_hash.h"
#include "node/index_queue.h"
#include "node/loop_work.h"

namespace roost {

// What hashing one copy came to.
struct CheckOutcome {
  absl::Status status;
  CheckedCopy copy;
  std::vector<PieceHash> pieces;
  bool settled = false;  // the file was not changing when hashing began
};

class CopyChecks {
 public:
  struct Seams {
    std::shared_ptr<LoopWork> work;
    IndexQueue& index;
    Inventory& inventory;
    std::function<void()> changed;  // the inventory was told what a copy is
  };
  explicit CopyChecks(Seams seams) : s_(std::move(seams)) {}

  // From here on copies are checked in the background.
  void allow();
  // Something may be new to check.
  void next();
  // Ends what is being hashed.
  void stop() { *cancelled_ = true; }

  // Hashes a copy now, and tells the inventory. kCancelled when the agent stops.
  boost::asio::awaitable<CheckOutcome> check(LocalCopy copy);
  // Hashes a file that is no copy of the inventory's, and tells nobody. kNotFound if there is none.
  boost::asio::awaitable<CheckOutcome> hash(std::string path, BlobInfo expected);

 private:
  using Then = std::function<void(CheckOutcome)>;
  void start(const VerifyJob& job, bool background, const Then& then);
  void ended(const VerifyJob& job, const CheckOutcome& outcome);
  boost::asio::awaitable<CheckOutcome> await(VerifyJob job, std::function<void(Then)> begin);

  Seams s_;
  bool allowed_ = false;
  size_t running_ = 0;  // in the background
  // Hashing looks at it on its own thread, and may go on after this is gone.
  const std::shared_ptr<std::atomic<bool>> cancelled_ = std::make_shared<std::atomic<bool>>(false);
};

}  // namespace roost

#endif  // ROOST_NODE_COPY_CHECKS_H_
