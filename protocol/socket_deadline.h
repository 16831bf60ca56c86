// Closes a socket when a coroutine's exchange on it takes too long: Boost 1.74 cannot cancel one
// operation, closing ends them all.
//
// Threads: the socket's. The socket must outlive this object; the timer's handler may not.
#ifndef ROOST_PROTOCOL_SOCKET_DEADLINE_H_
#define ROOST_PROTOCOL_SOCKET_DEADLINE_H_

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>

#include "absl/time/time.h"

namespace roost {

class SocketDeadline {
 public:
  SocketDeadline(boost::asio::ip::tcp::socket& socket, absl::Duration timeout)
      : state_(std::make_shared<State>()), timer_(socket.get_executor()) {
    state_->socket = &socket;
    timer_.expires_after(absl::ToChronoNanoseconds(timeout));
    timer_.async_wait([state = state_](const boost::system::error_code& error) {
      if (error || state->socket == nullptr) return;
      state->passed = true;
      boost::system::error_code ignored;
      state->socket->close(ignored);
    });
  }
  ~SocketDeadline() { state_->socket = nullptr; }
  SocketDeadline(const SocketDeadline&) = delete;
  SocketDeadline& operator=(const SocketDeadline&) = delete;

  bool passed() const { return state_->passed; }

 private:
  struct State {
    boost::asio::ip::tcp::socket* socket = nullptr;
    bool passed = false;
  };
  std::shared_ptr<State> state_;
  boost::asio::steady_timer timer_;
};

}  // namespace roost

#endif  // ROOST_PROTOCOL_SOCKET_DEADLINE_H_
