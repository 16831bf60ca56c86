#include "tests/support/test_http_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace roost {
namespace {

TestRequest parse(const std::string& text) {
  TestRequest request;
  const std::vector<std::string> lines = absl::StrSplit(text, "\r\n");
  const std::vector<std::string> words = absl::StrSplit(lines.front(), ' ');
  request.method = words[0];
  request.target = words.size() > 1 ? words[1] : "";
  for (size_t i = 1; i < lines.size(); ++i) {
    const std::vector<std::string> field = absl::StrSplit(lines[i], absl::MaxSplits(": ", 1));
    if (field.size() == 2) request.headers[absl::AsciiStrToLower(field[0])] = field[1];
  }
  return request;
}

bool sendAll(int socket, const char* bytes, size_t size) {
  while (size > 0) {
    const ssize_t sent = ::send(socket, bytes, size, MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes += sent;
    size -= static_cast<size_t>(sent);
  }
  return true;
}

}  // namespace

std::string TestRequest::header(const std::string& lowerName) const {
  const auto it = headers.find(lowerName);
  return it == headers.end() ? "" : it->second;
}

TestAnswer rangeAnswer(const TestRequest& request, const std::string& content) {
  TestAnswer answer;
  unsigned long long first = 0, last = 0;
  const std::string range = request.header("range");
  if (std::sscanf(range.c_str(), "bytes=%llu-%llu", &first, &last) != 2) {
    answer.body = content;
    return answer;
  }
  last = std::min<unsigned long long>(last, content.size() - 1);
  answer.status = 206;
  answer.headers.emplace_back("Content-Range",
                              absl::StrCat("bytes ", first, "-", last, "/", content.size()));
  answer.body = content.substr(first, last - first + 1);
  return answer;
}

TestHttpServer::TestHttpServer(std::function<TestAnswer(const TestRequest&)> answer)
    : answer_(std::move(answer)) {
  listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  if (::bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      ::listen(listener_, 64) != 0 || ::pipe(stop_) != 0) {
    std::perror("cannot start the test server");
    std::abort();
  }
  ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
  port_ = ntohs(address.sin_port);
  acceptor_ = std::thread([this] { accept(); });
}

TestHttpServer::~TestHttpServer() {
  ::close(stop_[1]);
  acceptor_.join();
  {
    const std::lock_guard lock(mutex_);
    for (int socket : sockets_) ::shutdown(socket, SHUT_RDWR);
  }
  for (std::thread& connection : connections_) connection.join();
  ::close(listener_);
  ::close(stop_[0]);
}

std::string TestHttpServer::url() const {
  return absl::StrCat("http://127.0.0.1:", port_);
}

std::vector<TestRequest> TestHttpServer::requests() const {
  const std::lock_guard lock(mutex_);
  return requests_;
}

size_t TestHttpServer::connectionsMost() const {
  const std::lock_guard lock(mutex_);
  return socketsMost_;
}

void TestHttpServer::accept() {
  while (true) {
    pollfd waits[2] = {{listener_, POLLIN, 0}, {stop_[0], POLLIN, 0}};
    ::poll(waits, 2, -1);
    if (waits[1].revents != 0) return;
    const int socket = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (socket < 0) continue;
    const std::lock_guard lock(mutex_);
    sockets_.insert(socket);
    socketsMost_ = std::max(socketsMost_, sockets_.size());
    connections_.emplace_back([this, socket] { serve(socket); });
  }
}

void TestHttpServer::serve(int socket) {
  std::string unread;
  while (serveOne(socket, unread)) {
  }
  const std::lock_guard lock(mutex_);
  sockets_.erase(socket);
  ::close(socket);
}

bool TestHttpServer::serveOne(int socket, std::string& unread) {
  size_t end = std::string::npos;
  while ((end = unread.find("\r\n\r\n")) == std::string::npos) {
    char buffer[4096];
    const ssize_t got = ::recv(socket, buffer, sizeof(buffer), 0);
    if (got <= 0) return false;
    unread.append(buffer, static_cast<size_t>(got));
  }
  const TestRequest request = parse(unread.substr(0, end));
  unread.erase(0, end + 4);
  TestAnswer answer;
  {
    const std::lock_guard lock(mutex_);
    requests_.push_back(request);
    answer = answer_(request);
  }
  if (answer.hang) {
    waitForEnd();
    return false;
  }
  send(socket, request, answer);
  return answer.sendLength && !answer.cutAfter;
}

void TestHttpServer::send(int socket, const TestRequest& request, const TestAnswer& answer) {
  std::string head = absl::StrCat("HTTP/1.1 ", answer.status, " Status\r\n");
  bool lengthGiven = false;
  for (const auto& [name, value] : answer.headers) {
    absl::StrAppend(&head, name, ": ", value, "\r\n");
    lengthGiven |= absl::EqualsIgnoreCase(name, "content-length");
  }
  if (answer.sendLength && !lengthGiven) {
    absl::StrAppend(&head, "Content-Length: ", answer.body.size(), "\r\n");
  }
  if (!answer.sendLength) absl::StrAppend(&head, "Connection: close\r\n");
  head += "\r\n";
  if (!sendAll(socket, head.data(), head.size()) || request.method == "HEAD") return;
  const size_t size = std::min(answer.body.size(), answer.cutAfter.value_or(~size_t{0}));
  sendAll(socket, answer.body.data(), size);
  if (answer.reset) {
    const linger now{1, 0};
    ::setsockopt(socket, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
  }
}

void TestHttpServer::waitForEnd() {
  pollfd wait{stop_[0], POLLIN, 0};
  ::poll(&wait, 1, -1);
}

}  // namespace roost
