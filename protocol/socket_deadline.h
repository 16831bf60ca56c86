// Closes a socket when a coroutine's exchange on it takes too long: Boost 1.74 cannot cancel one
// operation, closing ends them all. endAll() closes those of one io_context at shutdown, so that
// nobody waits for a stranger's handshake to time out.
//
// Threads: the socket's. The socket must outlive this object; the timer's handler may not.
#ifndef ROOST_PROTOCOL_SOCKET_DEADLINE_H_
#define ROOST_PROTOCOL_SOCKET_DEADLINE_H_

#include <boost/asio/execution_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <set>

#include "absl/time/time.h"

namespace roost {

class SocketDeadline {
 public:
  SocketDeadline(boost::asio::ip::tcp::socket& socket, absl::Duration timeout)
      : open_(boost::asio::use_service<Open>(
            boost::asio::query(socket.get_executor(), boost::asio::execution::context))),
        state_(std::make_shared<State>()),
        timer_(socket.get_executor()) {
    state_->socket = &socket;
    open_.states.insert(state_.get());
    timer_.expires_after(absl::ToChronoNanoseconds(open_.ended ? absl::ZeroDuration() : timeout));
    timer_.async_wait([state = state_](const boost::system::error_code& error) {
      if (!error) state->end();
    });
  }
  ~SocketDeadline() {
    open_.states.erase(state_.get());
    state_->socket = nullptr;
  }
  SocketDeadline(const SocketDeadline&) = delete;
  SocketDeadline& operator=(const SocketDeadline&) = delete;

  bool passed() const { return state_->passed; }

  // All deadlines of this io_context pass now, also those that are still to come.
  static void endAll(boost::asio::execution_context& io) {
    auto& open = boost::asio::use_service<Open>(io);
    open.ended = true;
    for (State* state : open.states) state->end();
  }

 private:
  struct State {
    void end() {
      if (socket == nullptr) return;
      passed = true;
      boost::system::error_code ignored;
      socket->close(ignored);
    }
    boost::asio::ip::tcp::socket* socket = nullptr;
    bool passed = false;
  };
  // Those of one io_context.
  struct Open final : boost::asio::execution_context::service {
    using key_type = Open;
    static inline boost::asio::execution_context::id id;
    explicit Open(boost::asio::execution_context& io)
        : boost::asio::execution_context::service(io) {}
    void shutdown() override {}
    std::set<State*> states;
    bool ended = false;
  };

  Open& open_;
  std::shared_ptr<State> state_;
  boost::asio::steady_timer timer_;
};

}  // namespace roost

#endif  // ROOST_PROTOCOL_SOCKET_DEADLINE_H_
