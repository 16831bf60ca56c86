#include "node/cli/endpoint_check.h"

#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "node/addresses.h"

namespace roost {
namespace {

constexpr size_t kAnswerBytesMax = 4096;
constexpr char kQuestion[] = "GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n";

// A socket that is waited for until a certain time.
class TimedSocket {
 public:
  TimedSocket(int family, absl::Time until)
      : socket_(socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)), until_(until) {}
  ~TimedSocket() {
    if (socket_ >= 0) close(socket_);
  }
  TimedSocket(const TimedSocket&) = delete;
  TimedSocket& operator=(const TimedSocket&) = delete;

  bool connectTo(const addrinfo& place) {
    if (socket_ < 0) return false;
    if (connect(socket_, place.ai_addr, place.ai_addrlen) == 0) return true;
    if (errno != EINPROGRESS || !wait(POLLOUT)) return false;
    int error = 0;
    socklen_t size = sizeof(error);
    return getsockopt(socket_, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == 0;
  }
  bool say(absl::string_view text) {
    while (!text.empty()) {
      const ssize_t sent = send(socket_, text.data(), text.size(), MSG_NOSIGNAL);
      if (sent > 0) {
        text.remove_prefix(static_cast<size_t>(sent));
      } else if (errno != EAGAIN || !wait(POLLOUT)) {
        return false;
      }
    }
    return true;
  }
  // What comes until the other side closes.
  std::string hear() {
    std::string text;
    char bytes[1024];
    while (text.size() < kAnswerBytesMax) {
      const ssize_t got = recv(socket_, bytes, sizeof(bytes), 0);
      if (got > 0) {
        text.append(bytes, static_cast<size_t>(got));
      } else if (got == 0 || errno != EAGAIN || !wait(POLLIN)) {
        break;
      }
    }
    return text;
  }

 private:
  bool wait(short what) {
    const int64_t left = absl::ToInt64Milliseconds(until_ - absl::Now());
    pollfd poller = {socket_, what, 0};
    return left > 0 && poll(&poller, 1, static_cast<int>(left)) > 0;
  }

  const int socket_;
  const absl::Time until_;
};

}  // namespace

bool endpointIs(const std::string& url, const std::string& node, absl::Duration timeout) {
  const absl::Time until = absl::Now() + timeout;
  absl::string_view text = url;
  if (!absl::ConsumePrefix(&text, "http://")) return false;
  const auto address = Address::parse(text);
  if (!address.ok()) return false;
  addrinfo wanted = {};
  wanted.ai_socktype = SOCK_STREAM;
  wanted.ai_flags = AI_NUMERICSERV | AI_NUMERICHOST;  // a name server may take long to answer
  addrinfo* found = nullptr;
  const std::string host = address->host == "localhost" ? "127.0.0.1" : address->host;
  if (getaddrinfo(host.c_str(), std::to_string(address->port).c_str(), &wanted, &found) != 0) {
    return false;
  }
  TimedSocket socket(found->ai_family, until);
  const bool open = socket.connectTo(*found);
  freeaddrinfo(found);
  return open && socket.say(kQuestion) &&
         absl::StrContains(socket.hear(), absl::StrCat("\"node\":\"", node, "\""));
}

}  // namespace roost
