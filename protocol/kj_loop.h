// Cap'n Proto's event loop on an io_context: the one loop of a thread runs both.
//
// What:    KJ asks to run by EventPort::setRunnable; that becomes a posted job of at most
//          kKjTurnsPerPost turns, which posts itself again while there is more. Never run() inside
//          setRunnable: KJ callbacks would run inside whoever fulfilled a promise.
// Owns:    the kj::EventLoop and its WaitScope; borrows the io_context, which must live longer.
// Threads: made, used and destroyed on the thread that runs the io_context; one a thread.
// End:     destroy every RPC system, stream and promise first, then this, then the io_context.
//          Promises that coroutines are waiting for (kj_await.h) are dropped here, so frames that
//          the io_context still holds may be destroyed later.
#ifndef ROOST_PROTOCOL_KJ_LOOP_H_
#define ROOST_PROTOCOL_KJ_LOOP_H_

#include <kj/async.h>

#include <memory>

#include "absl/container/flat_hash_set.h"

namespace boost::asio {
class io_context;
}  // namespace boost::asio

namespace roost {

class KjPending;

class KjLoop {
 public:
  explicit KjLoop(boost::asio::io_context& io);
  ~KjLoop() noexcept;
  KjLoop(const KjLoop&) = delete;
  KjLoop& operator=(const KjLoop&) = delete;

  // The loop of this thread; there must be one.
  static KjLoop& current();

  // For promise.wait() in tests and tools, outside of any handler of the io_context.
  kj::WaitScope& waitScope() { return waitScope_; }

 private:
  friend class KjPending;
  class Port;
  std::unique_ptr<Port> port_;
  kj::EventLoop loop_;
  kj::WaitScope waitScope_;
  absl::flat_hash_set<KjPending*> pending_;
};

// Something that holds KJ objects for a coroutine, whose frame may outlive the loop. abandon() is
// called once, before the loop goes, and must let go of them.
class KjPending {
 public:
  KjPending(const KjPending&) = delete;
  KjPending& operator=(const KjPending&) = delete;

 protected:
  KjPending();
  ~KjPending();

 private:
  friend class KjLoop;
  virtual void abandon() = 0;
  KjLoop* loop_;  // null once abandoned
};

}  // namespace roost

#endif  // ROOST_PROTOCOL_KJ_LOOP_H_
