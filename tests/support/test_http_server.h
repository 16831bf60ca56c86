// A small HTTP/1.1 server on 127.0.0.1 whose answers and faults a test decides. It keeps every
// request it saw.
//
// Threads: one per connection; `answer` is called on them, one call at a time.
#ifndef ROOST_TESTS_SUPPORT_TEST_HTTP_SERVER_H_
#define ROOST_TESTS_SUPPORT_TEST_HTTP_SERVER_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace roost {

struct TestRequest {
  std::string method;
  std::string target;                          // path and query, as sent
  std::map<std::string, std::string> headers;  // names in lower case
  std::string header(const std::string& lowerName) const;
};

struct TestAnswer {
  int status = 200;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  bool sendLength = true;                         // false: the body ends with the connection
  std::optional<size_t> cutAfter = std::nullopt;  // bytes of the body, then the connection ends
  bool reset = false;                             // … by RST
  bool hang = false;                              // no answer until the server goes
};

// The part of `content` that the request's Range names: 206, or 200 without a Range.
TestAnswer rangeAnswer(const TestRequest& request, const std::string& content);

class TestHttpServer {
 public:
  explicit TestHttpServer(std::function<TestAnswer(const TestRequest&)> answer);
  ~TestHttpServer();

  std::string url() const;  // http://127.0.0.1:PORT
  std::vector<TestRequest> requests() const;
  size_t connectionsMost() const;  // that were open at the same time

 private:
  void accept();
  void serve(int socket);
  bool serveOne(int socket, std::string& unread);
  void send(int socket, const TestRequest& request, const TestAnswer& answer);
  void waitForEnd();

  std::function<TestAnswer(const TestRequest&)> answer_;
  int listener_ = -1;
  int stop_[2] = {-1, -1};  // a pipe: readable when the server goes
  uint16_t port_ = 0;
  std::thread acceptor_;
  mutable std::mutex mutex_;
  std::vector<TestRequest> requests_;
  std::vector<std::thread> connections_;
  std::set<int> sockets_;
  size_t socketsMost_ = 0;
};

}  // namespace roost

#endif  // ROOST_TESTS_SUPPORT_TEST_HTTP_SERVER_H_
