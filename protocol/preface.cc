#include "protocol/preface.h"

#include <unistd.h>

#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "protocol/names.h"
#include "protocol/socket_deadline.h"

namespace roost {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;

constexpr size_t kPrefaceBytes = 8;

absl::string_view textOf(LinkKind kind) {
  return kind == LinkKind::kControl ? "ROOSTc1\n" : "ROOSTb1\n";
}

absl::Status failure(tcp::socket& socket, const SocketDeadline& deadline,
                     const boost::system::error_code& error) {
  boost::system::error_code ignored;
  socket.close(ignored);
  if (deadline.passed()) return absl::DeadlineExceededError("no preface in time");
  return absl::UnavailableError(absl::StrCat("connection lost: ", error.message()));
}

}  // namespace

asio::awaitable<absl::Status> sendPreface(tcp::socket& socket, LinkKind kind,
                                          absl::Duration timeout) {
  const SocketDeadline deadline(socket, timeout);
  const absl::string_view text = textOf(kind);
  boost::system::error_code error;
  co_await asio::async_write(socket, asio::buffer(text.data(), text.size()),
                             asio::redirect_error(asio::use_awaitable, error));
  if (error) co_return failure(socket, deadline, error);
  co_return absl::OkStatus();
}

asio::awaitable<absl::StatusOr<LinkKind>> readPreface(tcp::socket& socket, absl::Duration timeout) {
  const SocketDeadline deadline(socket, timeout);
  std::array<char, kPrefaceBytes> bytes{};
  boost::system::error_code error;
  co_await asio::async_read(socket, asio::buffer(bytes),
                            asio::redirect_error(asio::use_awaitable, error));
  if (error) co_return failure(socket, deadline, error);
  const absl::string_view text(bytes.data(), bytes.size());
  for (LinkKind kind : {LinkKind::kControl, LinkKind::kBulk}) {
    if (text == textOf(kind)) co_return kind;
  }
  boost::system::error_code ignored;
  socket.close(ignored);
  co_return absl::InvalidArgumentError(
      absl::StrCat("not a roost peer: the connection began with ", quoted(text)));
}

absl::StatusOr<DetachedSocket> DetachedSocket::detach(tcp::socket socket) {
  boost::system::error_code error;
  const tcp::endpoint local = socket.local_endpoint(error);
  if (error) return absl::UnavailableError(absl::StrCat("connection lost: ", error.message()));
  const int fd = socket.release(error);
  if (error) return absl::UnavailableError(absl::StrCat("connection lost: ", error.message()));
  return DetachedSocket(fd, local.protocol());
}

DetachedSocket::~DetachedSocket() {
  if (fd_ >= 0) close(fd_);
}

absl::StatusOr<tcp::socket> DetachedSocket::attach(const tcp::socket::executor_type& executor) && {
  tcp::socket socket(executor);
  boost::system::error_code error;
  socket.assign(protocol_, fd_, error);
  if (error) return absl::UnavailableError(absl::StrCat("connection lost: ", error.message()));
  fd_ = -1;
  return socket;
}

}  // namespace roost
