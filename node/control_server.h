// The agent's Unix socket, where the command line asks: Control of roost.capnp.
//
// The socket is mode 0600 in the state folder: who can open it is who runs the agent, or root. A
// stale socket of an agent that was killed is replaced; the state folder's lock already says that
// no other agent lives.
//
// Threads: `loop`, which has a KjLoop. Memory: at most kControlLinksMax connections, messages by
// protocol limits.
#ifndef ROOST_NODE_CONTROL_SERVER_H_
#define ROOST_NODE_CONTROL_SERVER_H_

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace roost {

class ControlServer {
 public:
  // Answers one call; both texts are JSON documents.
  using Handler = std::function<boost::asio::awaitable<absl::StatusOr<std::string>>(
      std::string method, std::string arguments)>;

  static absl::StatusOr<std::unique_ptr<ControlServer>> listen(boost::asio::io_context& io,
                                                               const std::string& path,
                                                               Handler handler);
  ~ControlServer();
  // Closes the door and all connections, and removes the socket.
  void stop();

 private:
  class Impl;
  explicit ControlServer(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
  std::shared_ptr<Impl> impl_;
};

}  // namespace roost

#endif  // ROOST_NODE_CONTROL_SERVER_H_
