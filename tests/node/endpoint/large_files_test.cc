#include "node/endpoint/large_files.h"

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include "node/endpoint/http_connection.h"
#include "protocol/limits.h"

namespace roost {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;

constexpr char kHub2[] = "unknown/None; hf_hub/2.4.0; python/3.11.7; transformers/5.23.0";
constexpr char kHub1[] = "huggingface-cli/None; hf_hub/1.33.0; python/3.11.7";
constexpr char kHub036[] = "unknown/None; hf_hub/0.36.2; python/3.11.7; torch/2.4";
constexpr uint64_t kMost = kHttpFileBytesMax;

HttpAsk askOf(const std::string& agent) {
  return {.method = "GET", .target = "/", .headers = {{"user-agent", agent}}, .body = ""};
}

TEST(RefusesKnownSize, OfAFileOverTheLimitSinceVersion1) {
  EXPECT_TRUE(refusesKnownSize(askOf(kHub2), kMost + 1, kMost));
  EXPECT_TRUE(refusesKnownSize(askOf(kHub1), kMost + 1, kMost));
}

TEST(RefusesKnownSize, NotOfASmallerOne) {
  EXPECT_FALSE(refusesKnownSize(askOf(kHub2), kMost, kMost));
}

TEST(RefusesKnownSize, NotByOthers) {
  for (const char* agent : {kHub036, "curl/7.88.1", "llama-cpp/b4000", "node", "hf_hub/",
                            "hf_hub/x.1", "unknown/None; hf-hub/0.5.0; rust/unknown", ""}) {
    EXPECT_FALSE(refusesKnownSize(askOf(agent), kMost + 1, kMost)) << agent;
  }
  EXPECT_FALSE(refusesKnownSize(HttpAsk{}, kMost + 1, kMost));
}

class Words final : public BodyStream {
 public:
  explicit Words(std::string text) : text_(std::move(text)) {}
  asio::awaitable<absl::Status> send(tcp::socket& socket) override {
    co_await asio::async_write(socket, asio::buffer(text_), asio::use_awaitable);
    co_return absl::OkStatus();
  }

 private:
  const std::string text_;
};

// What a connection sends for one request whose answer is that of a file of 11 bytes over the
// limit.
std::string sent(const std::string& method) {
  asio::io_context io{1};
  tcp::acceptor door(io, {asio::ip::address_v4::loopback(), 0});
  auto serving = std::make_shared<HttpServing>();
  serving->handler = [](HttpAsk ask, std::function<void(HttpAnswer)> done) {
    HttpAnswer answer{.headers = {{"ETag", "\"e\""}}, .length = 11};
    if (ask.method == "GET") answer.stream = std::make_shared<Words>("hello world");
    done(withoutLength(std::move(answer)));
  };
  serving->bodyPlan = [](const std::string&, const std::string&) { return BodyPlan{}; };
  tcp::socket client(io);
  client.connect(door.local_endpoint());
  asio::co_spawn(io, serveHttp(door.accept(), serving), asio::detached);
  asio::write(client, asio::buffer(method + " / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
  io.run();
  std::string text;
  boost::system::error_code ec;
  asio::read(client, asio::dynamic_buffer(text), ec);
  return text;
}

TEST(WithoutLength, TheBodyIsOneChunkAndTheEnd) {
  const std::string text = sent("GET");
  EXPECT_NE(text.find("Transfer-Encoding: chunked\r\n"), std::string::npos) << text;
  EXPECT_EQ(text.find("Content-Length"), std::string::npos) << text;
  EXPECT_EQ(text.substr(text.find("\r\n\r\n") + 4), "b\r\nhello world\r\n0\r\n\r\n");
}

TEST(WithoutLength, AHeadSaysNothingOfIt) {
  const std::string text = sent("HEAD");
  EXPECT_EQ(text.find("Content-Length"), std::string::npos) << text;
  EXPECT_EQ(text.substr(text.find("\r\n\r\n") + 4), "");
}

TEST(WithoutLength, APartKeepsItsLength) {
  HttpAnswer part{.status = 206, .length = 5};
  EXPECT_EQ(withoutLength(part).length, 5);
}

}  // namespace
}  // namespace roost
