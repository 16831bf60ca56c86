#include "node/endpoint/http_connection.h"

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "node/await_callback.h"
#include "protocol/limits.h"
#include "protocol/socket_deadline.h"

namespace roost {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using asio::ip::tcp;

namespace {

constexpr char kJsonType[] = "application/json";

HttpAnswer plainError(int status, absl::string_view text) {
  HttpAnswer answer{.status = status};
  answer.headers = {{"Content-Type", kJsonType}, {"X-Error-Message", std::string(text)}};
  answer.body = absl::StrCat("{\"error\":\"", text, "\"}");
  return answer;
}

HttpAsk askOf(const http::request<http::string_body>& request) {
  HttpAsk ask{.method = std::string(request.method_string()),
              .target = std::string(request.target()),
              .headers = {},
              .body = request.body()};
  for (const auto& field : request) {
    ask.headers.emplace_back(absl::AsciiStrToLower(std::string(field.name_string())),
                             std::string(field.value()));
  }
  return ask;
}

bool saysNothing(int status) {
  return status == 204 || status == 304;
}

// The head of an answer, and its body where that is in memory.
std::string written(const HttpAnswer& answer, bool head, bool keepAlive, bool chunked) {
  std::string text = absl::StrCat(
      "HTTP/1.1 ", answer.status, " ",
      std::string(http::obsolete_reason(http::int_to_status(static_cast<unsigned>(answer.status)))),
      "\r\n");
  for (const auto& [name, value] : answer.headers)
    absl::StrAppend(&text, name, ": ", value, "\r\n");
  if (chunked) {
    absl::StrAppend(&text, "Transfer-Encoding: chunked\r\n");
  } else if (!saysNothing(answer.status) && (!head || answer.length || answer.stream == nullptr)) {
    absl::StrAppend(&text, "Content-Length: ", answer.length.value_or(answer.body.size()), "\r\n");
  }
  absl::StrAppend(&text, "Connection: ", keepAlive ? "keep-alive" : "close", "\r\n\r\n");
  if (!head && answer.stream == nullptr && !saysNothing(answer.status)) text += answer.body;
  return text;
}

// Counts up while it lives.
struct Counting {
  explicit Counting(std::atomic<int>& counter) : count(counter) { ++count; }
  ~Counting() { --count; }
  Counting(const Counting&) = delete;
  Counting& operator=(const Counting&) = delete;
  std::atomic<int>& count;
};

// Reads one request. 0: it is there; -1: the connection ended or is idle for too long; else the
// status that refuses it.
asio::awaitable<int> readRequest(tcp::socket& socket, boost::beast::flat_buffer& buffer,
                                 http::request_parser<http::string_body>& parser) {
  parser.header_limit(kEndpointHeadBytesMax);
  parser.body_limit(kEndpointBodyBytesMax);
  boost::system::error_code ec;
  if (buffer.size() == 0) {
    // Nothing of a request is here yet: this may take long.
    const SocketDeadline idle(socket, kEndpointIdleTimeout);
    co_await socket.async_wait(tcp::socket::wait_read,
                               asio::redirect_error(asio::use_awaitable, ec));
    if (ec) co_return -1;
  }
  {
    const SocketDeadline deadline(socket, kEndpointHeadTimeout);
    co_await http::async_read_header(socket, buffer, parser,
                                     asio::redirect_error(asio::use_awaitable, ec));
    if (deadline.passed()) co_return -1;
  }
  if (ec == http::error::header_limit) co_return 431;
  if (ec == http::error::end_of_stream || !ec.category().name() ||
      ec.category() == asio::error::get_misc_category() ||
      ec.category() == boost::system::system_category()) {
    if (ec) co_return -1;
  }
  if (ec) co_return 400;
  if (parser.get()[http::field::expect] == "100-continue") {
    static constexpr absl::string_view kGoOn = "HTTP/1.1 100 Continue\r\n\r\n";
    co_await asio::async_write(socket, asio::buffer(kGoOn.data(), kGoOn.size()),
                               asio::redirect_error(asio::use_awaitable, ec));
    if (ec) co_return -1;
  }
  const SocketDeadline deadline(socket, kEndpointBodyTimeout);
  co_await http::async_read(socket, buffer, parser, asio::redirect_error(asio::use_awaitable, ec));
  if (ec == http::error::body_limit) co_return 413;
  co_return ec ? -1 : 0;
}

}  // namespace

asio::awaitable<void> serveHttp(tcp::socket socket, std::shared_ptr<HttpServing> serving) {
  const Counting counted(serving->open);
  boost::system::error_code ec;
  socket.set_option(tcp::no_delay(true), ec);
  boost::beast::flat_buffer buffer(kEndpointHeadBytesMax + kEndpointBodyBytesMax);
  bool keepAlive = true;
  while (keepAlive) {
    http::request_parser<http::string_body> parser;
    const int refused = co_await readRequest(socket, buffer, parser);
    if (refused < 0) break;
    const Counting answering(serving->answering);
    const auto& request = parser.get();
    const bool head = request.method() == http::verb::head;
    keepAlive = refused == 0 && request.keep_alive() && !serving->stopping;
    HttpAnswer answer;
    if (refused != 0) {
      answer = plainError(refused, refused == 431   ? "the headers are too large"
                                   : refused == 413 ? "the body is too large"
                                                    : "this is not HTTP");
    } else if (serving->stopping) {
      answer = plainError(503, "the agent is stopping");
    } else {
      const HttpAnswer dropped = plainError(503, "the agent is stopping");
      const std::function<void(std::function<void(HttpAnswer)>)> start =
          [&](std::function<void(HttpAnswer)> done) { serving->handler(askOf(request), done); };
      answer = co_await awaitCallback<HttpAnswer>(start, dropped);
    }
    const bool chunked =
        !head && answer.stream != nullptr && !answer.length && !saysNothing(answer.status);
    if (chunked && request.version() < 11) keepAlive = false;
    const std::string text = written(answer, head, keepAlive, chunked);
    {
      const SocketDeadline deadline(socket, kEndpointWriteTimeout);
      co_await asio::async_write(socket, asio::buffer(text),
                                 asio::redirect_error(asio::use_awaitable, ec));
    }
    if (ec) break;
    if (!head && answer.stream != nullptr && !saysNothing(answer.status)) {
      const absl::Status sent = co_await answer.stream->send(socket);
      if (!sent.ok()) break;
    }
  }
  socket.shutdown(tcp::socket::shutdown_both, ec);
  socket.close(ec);
}

}  // namespace roost
