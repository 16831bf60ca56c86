// A question to a peer that somebody waits for: an answer that takes too long is none.
//
// Threads: `loop`. Errors: kDeadlineExceeded, and those of PeerLinks::call.
#ifndef ROOST_NODE_PEER_QUESTION_H_
#define ROOST_NODE_PEER_QUESTION_H_

#include <boost/asio/awaitable.hpp>
#include <functional>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "node/await_callback.h"
#include "node/loop_timers.h"
#include "protocol/messages.h"

namespace roost {

using PeerAnswer = std::function<void(absl::StatusOr<Reply>)>;
using PeerCall = std::function<void(const NodeId&, const Request&, PeerAnswer)>;

inline boost::asio::awaitable<absl::StatusOr<Reply>> askPeer(const PeerCall& call,
                                                             LoopTimers& timers, NodeId peer,
                                                             const Request& request,
                                                             absl::Duration patience) {
  const std::function<void(PeerAnswer)> start = [&](PeerAnswer done) {
    timers.after(patience, [done] { done(absl::DeadlineExceededError("no answer in time")); });
    call(peer, request, std::move(done));
  };
  const absl::StatusOr<Reply> dropped = absl::CancelledError("the agent is stopping");
  co_return co_await awaitCallback<absl::StatusOr<Reply>>(start, dropped);
}

}  // namespace roost

#endif  // ROOST_NODE_PEER_QUESTION_H_
