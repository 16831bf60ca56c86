// The first 8 bytes of every peer connection, in clear: what kind of link it is. The acceptor
// reads exactly these on the loop thread, then hands the socket to the thread that will own it,
// which does TLS and everything else.
//
// Threads: the socket's, except DetachedSocket, which goes from one to the other.
// Errors:  kDeadlineExceeded, kUnavailable (closed), kInvalidArgument (other bytes); the socket is
//          closed then.
#ifndef ROOST_PROTOCOL_PREFACE_H_
#define ROOST_PROTOCOL_PREFACE_H_

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "protocol/limits.h"

namespace roost {

enum class LinkKind {
  kControl,  // "ROOSTc1\n"
  kBulk,     // "ROOSTb1\n"
};

boost::asio::awaitable<absl::Status> sendPreface(boost::asio::ip::tcp::socket& socket,
                                                 LinkKind kind,
                                                 absl::Duration timeout = kHandshakeTimeout);

boost::asio::awaitable<absl::StatusOr<LinkKind>> readPreface(
    boost::asio::ip::tcp::socket& socket, absl::Duration timeout = kHandshakeTimeout);

// A connected socket that belongs to no io_context: detach on one thread, attach on another.
// Closes the connection if nobody attaches it.
class DetachedSocket {
 public:
  // No operation may be pending on the socket.
  static absl::StatusOr<DetachedSocket> detach(boost::asio::ip::tcp::socket socket);
  ~DetachedSocket();
  DetachedSocket(DetachedSocket&& other) noexcept
      : fd_(std::exchange(other.fd_, -1)), protocol_(other.protocol_) {}
  DetachedSocket& operator=(DetachedSocket&&) = delete;

  absl::StatusOr<boost::asio::ip::tcp::socket> attach(
      const boost::asio::ip::tcp::socket::executor_type& executor) &&;

 private:
  DetachedSocket(int fd, boost::asio::ip::tcp protocol) : fd_(fd), protocol_(protocol) {}
  int fd_;
  boost::asio::ip::tcp protocol_;
};

}  // namespace roost

#endif  // ROOST_PROTOCOL_PREFACE_H_
