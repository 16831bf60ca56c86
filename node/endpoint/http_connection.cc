#include "node/endpoint/http_connection.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/string.hpp>
#include <boost/beast/http.hpp>
#include <limits>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "node/await_callback.h"
#include "node/endpoint/upload_pipe.h"
#include "protocol/limits.h"
#include "protocol/signal.h"
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

HttpAnswer refusal(int status) {
  return plainError(status, status == 431   ? "the headers are too large"
                            : status == 413 ? "the body is too large"
                            : status == 503 ? "the agent is stopping"
                                            : "this is not HTTP");
}

HttpAsk askOf(const http::request_header<>& head) {
  HttpAsk ask{.method = std::string(head.method_string()),
              .target = std::string(head.target()),
              .headers = {},
              .body = {}};
  for (const auto& field : head) {
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
  } else if (!saysNothing(answer.status) && !answer.hidesLength &&
             (!head || answer.length || answer.stream == nullptr)) {
    absl::StrAppend(&text, "Content-Length: ", answer.length.value_or(answer.body.size()), "\r\n");
  }
  absl::StrAppend(&text, "Connection: ", keepAlive ? "keep-alive" : "close", "\r\n\r\n");
  if (!head && answer.stream == nullptr && !saysNothing(answer.status)) text += answer.body;
  return text;
}

// Counts up while it lives, or until end().
struct Counting {
  explicit Counting(std::atomic<int>& counter) : count(&counter) { ++*count; }
  ~Counting() { end(); }
  void end() {
    if (count != nullptr) --*count;
    count = nullptr;
  }
  Counting(const Counting&) = delete;
  Counting& operator=(const Counting&) = delete;
  std::atomic<int>* count;
};

asio::awaitable<HttpAnswer> answerTo(HttpServing& serving, HttpAsk ask) {
  const HttpAnswer dropped = plainError(503, "the agent is stopping");
  if (serving.stopping) co_return dropped;
  const std::function<void(std::function<void(HttpAnswer)>)> start =
      [&](std::function<void(HttpAnswer)> done) {
        serving.handler(std::move(ask), std::move(done));
      };
  co_return co_await awaitCallback<HttpAnswer>(start, dropped);
}

// False: the connection is to end.
asio::awaitable<bool> sendAnswer(tcp::socket& socket, const HttpAnswer& answer, bool head,
                                 bool isNew, bool keepAlive) {
  const bool streams = !head && answer.stream != nullptr && !saysNothing(answer.status);
  const bool chunked = streams && !answer.length;
  const std::string text = written(answer, head, keepAlive && (isNew || !chunked), chunked);
  boost::system::error_code ec;
  {
    const SocketDeadline deadline(socket, kEndpointWriteTimeout);
    co_await asio::async_write(socket, asio::buffer(text),
                               asio::redirect_error(asio::use_awaitable, ec));
  }
  if (ec) co_return false;
  if (!streams) co_return true;
  const absl::Status sent = co_await answer.stream->send(socket);
  co_return sent.ok() && (isNew || !chunked);
}

// What is read of a request first. The body's kind is chosen when the head is known.
using HeadParser = http::request_parser<http::empty_body>;
using WholeParser = http::request_parser<http::string_body>;
using PartsParser = http::request_parser<http::buffer_body>;

// As opposed to what came over it being wrong.
bool connectionEnded(const boost::system::error_code& ec) {
  return ec == http::error::end_of_stream || ec == http::error::partial_message ||
         (ec && (ec.category() == asio::error::get_misc_category() ||
                 ec.category() == boost::system::system_category()));
}

// Reads a request up to its body. 0: it is there; -1: the connection ended or is idle for too long;
// else the status that refuses it.
asio::awaitable<int> readHead(tcp::socket& socket, boost::beast::flat_buffer& buffer,
                              HeadParser& parser) {
  parser.header_limit(kEndpointHeadBytesMax);
  parser.body_limit(std::numeric_limits<uint64_t>::max());  // decided when we know what it is for
  boost::system::error_code ec;
  if (buffer.size() == 0) {
    // Nothing of a request is here yet: this may take long.
    const SocketDeadline idle(socket, kEndpointIdleTimeout);
    co_await socket.async_wait(tcp::socket::wait_read,
                               asio::redirect_error(asio::use_awaitable, ec));
    if (ec) co_return -1;
  }
  const SocketDeadline deadline(socket, kEndpointHeadTimeout);
  co_await http::async_read_header(socket, buffer, parser,
                                   asio::redirect_error(asio::use_awaitable, ec));
  if (deadline.passed()) co_return -1;
  if (ec == http::error::header_limit) co_return 431;
  if (connectionEnded(ec)) co_return -1;
  co_return ec ? 400 : 0;
}

// The client sends its body only when it is told to.
bool asksFirst(const HeadParser& parser) {
  return parser.get().version() >= 11 &&
         boost::beast::iequals(parser.get()[http::field::expect], "100-continue");
}

asio::awaitable<bool> tellToGoOn(tcp::socket& socket) {
  static constexpr absl::string_view kGoOn = "HTTP/1.1 100 Continue\r\n\r\n";
  boost::system::error_code ec;
  const SocketDeadline deadline(socket, kEndpointWriteTimeout);
  co_await asio::async_write(socket, asio::buffer(kGoOn.data(), kGoOn.size()),
                             asio::redirect_error(asio::use_awaitable, ec));
  co_return !ec;
}

// Reads the whole of a small body. As readHead().
asio::awaitable<int> readBody(tcp::socket& socket, boost::beast::flat_buffer& buffer,
                              HeadParser& head, size_t bytesMax, std::string& body) {
  if (head.content_length().value_or(0) > bytesMax) co_return 413;
  if (asksFirst(head) && !co_await tellToGoOn(socket)) co_return -1;
  // Beast reads as much at once as the buffer can hold, 512 bytes if nobody says how much that is.
  const bool large = head.content_length().value_or(0) > kUploadChunkBytes;
  if (large) buffer.reserve(buffer.size() + kUploadChunkBytes);
  WholeParser parser(std::move(head));
  parser.body_limit(bytesMax);
  boost::system::error_code ec;
  const SocketDeadline deadline(socket, kEndpointBodyTimeout);
  co_await http::async_read(socket, buffer, parser, asio::redirect_error(asio::use_awaitable, ec));
  if (large) buffer.shrink_to_fit();
  if (ec == http::error::body_limit) co_return 413;
  if (connectionEnded(ec)) co_return -1;
  body = std::move(parser.get().body());
  co_return ec ? 400 : 0;
}

// A body on its way to the hub, between the coroutine that receives it and the one that answers.
struct Receiving {
  explicit Receiving(const asio::any_io_executor& executor) : changed(executor) {}
  Signal changed;
  bool answered = false;   // nobody is told to go on any more
  bool tellingOn = false;  // "100 Continue" is being written
  bool whole = false;      // the body was read to its end
  bool wrong = false;      // it is not HTTP
  bool ended = false;      // nothing of it is read any more
};

asio::awaitable<void> receive(tcp::socket& socket, boost::beast::flat_buffer& buffer,
                              PartsParser& parser, UploadFeed& feed, bool asksFirst,
                              Receiving& state) {
  if (asksFirst) {
    if (!co_await feed.wanted() || state.answered) co_return;
    state.tellingOn = true;
    const bool told = co_await tellToGoOn(socket);
    state.tellingOn = false;
    state.changed.notify();
    if (!told) co_return;
  }
  std::string chunk;
  while (!parser.is_done()) {
    chunk.resize(kUploadChunkBytes);
    parser.get().body() = {chunk.data(), chunk.size(), true};
    boost::system::error_code ec;
    {
      const SocketDeadline deadline(socket, kEndpointBodyTimeout);
      co_await http::async_read_some(socket, buffer, parser,
                                     asio::redirect_error(asio::use_awaitable, ec));
    }
    if (ec && ec != http::error::need_buffer) {
      state.wrong = !connectionEnded(ec);
      co_return;
    }
    chunk.resize(chunk.size() - parser.get().body().size);
    co_await feed.put(chunk);
  }
  feed.end();
  state.whole = true;
}

// Until the client closes, or for kEndpointLinger: it may still be sending.
asio::awaitable<void> throwAway(tcp::socket& socket) {
  boost::system::error_code ec;
  socket.shutdown(tcp::socket::shutdown_send, ec);
  const SocketDeadline deadline(socket, kEndpointLinger);
  std::string bytes(kUploadChunkBytes, '\0');
  while (!ec) {
    co_await socket.async_read_some(asio::buffer(bytes),
                                    asio::redirect_error(asio::use_awaitable, ec));
  }
}

// Has the request answered while its body is passed on. False: the connection is to end.
asio::awaitable<bool> passOn(tcp::socket& socket, boost::beast::flat_buffer& buffer,
                             HeadParser& head, HttpAsk ask, HttpServing& serving,
                             Counting& answering) {
  const auto executor = co_await asio::this_coro::executor;
  const bool first = asksFirst(head);
  std::optional<uint64_t> length;
  if (const auto told = head.content_length()) length = *told;
  Upload upload = makeUpload(length, first);
  ask.upload = std::move(upload.source);
  PartsParser parser(std::move(head));
  Receiving state(executor);
  asio::co_spawn(executor, receive(socket, buffer, parser, *upload.feed, first, state),
                 [&state, &feed = upload.feed](std::exception_ptr) {
                   feed.reset();  // what was not read to its end ends at the hub too
                   state.ended = true;
                   state.changed.notify();
                 });
  HttpAnswer answer = co_await answerTo(serving, std::move(ask));
  if (state.wrong) answer = refusal(400);
  state.answered = true;
  while (state.tellingOn) co_await state.changed.wait();
  const bool keepAlive = state.whole && parser.get().keep_alive() && !serving.stopping;
  const bool sent = co_await sendAnswer(socket, answer, parser.get().method() == http::verb::head,
                                        parser.get().version() >= 11, keepAlive);
  answering.end();
  answer = {};  // with it the last who may want more of the body
  boost::system::error_code ignored;
  if (!sent) socket.close(ignored);
  if (!state.whole) socket.shutdown(tcp::socket::shutdown_send, ignored);
  {
    const SocketDeadline deadline(socket, kEndpointLinger);
    while (!state.ended) co_await state.changed.wait();
  }
  // It may still be sending what nobody reads: a reset would lose it the answer.
  if (sent && !state.whole) co_await throwAway(socket);
  const bool stays = sent && keepAlive;
  co_return stays;
}

// One request and its answer. False: the connection is to end.
asio::awaitable<bool> serveRequest(tcp::socket& socket, boost::beast::flat_buffer& buffer,
                                   HttpServing& serving) {
  HeadParser parser;
  int refused = co_await readHead(socket, buffer, parser);
  if (refused < 0) co_return false;
  Counting answering(serving.answering);
  const bool head = parser.get().method() == http::verb::head;
  const bool isNew = parser.get().version() >= 11;
  const bool keepAlive = refused == 0 && parser.get().keep_alive();
  HttpAsk ask;
  if (refused == 0) {
    ask = askOf(parser.get());
    if (!absl::StartsWith(ask.target, "/")) refused = 400;
    if (!parser.is_done() && serving.stopping) refused = 503;
  }
  if (refused == 0) {
    BodyPlan plan;
    if (!parser.is_done()) plan = serving.bodyPlan(ask.method, ask.target);
    if (!parser.is_done() && !serving.stopping && plan.flows) {
      co_return co_await passOn(socket, buffer, parser, std::move(ask), serving, answering);
    }
    if (!parser.is_done()) {
      refused = co_await readBody(socket, buffer, parser, plan.bytesMax, ask.body);
    }
  }
  if (refused < 0) co_return false;
  HttpAnswer answer;
  if (refused != 0) {
    answer = refusal(refused);
  } else {
    answer = co_await answerTo(serving, std::move(ask));
  }
  const bool stays = refused == 0 && keepAlive && !serving.stopping;
  if (!co_await sendAnswer(socket, answer, head, isNew, stays)) co_return false;
  answering.end();
  if (refused != 0) co_await throwAway(socket);
  co_return stays;
}

}  // namespace

asio::awaitable<void> serveHttp(tcp::socket socket, std::shared_ptr<HttpServing> serving) {
  const Counting counted(serving->open);
  boost::system::error_code ec;
  socket.set_option(tcp::no_delay(true), ec);
  boost::beast::flat_buffer buffer(kEndpointHeadBytesMax + kEndpointBodyBytesMax);
  while (co_await serveRequest(socket, buffer, *serving)) {
  }
  socket.shutdown(tcp::socket::shutdown_both, ec);
  socket.close(ec);
}

}  // namespace roost
