#include "node/endpoint/large_files.h"

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "protocol/limits.h"
#include "protocol/socket_deadline.h"

namespace roost {

namespace asio = boost::asio;
using asio::ip::tcp;

namespace {

// Of "…; hf_hub/2.4.0; …".
int hubLibraryMajor(absl::string_view userAgent) {
  constexpr absl::string_view kName = "hf_hub/";
  const size_t at = userAgent.find(kName);
  if (at == absl::string_view::npos) return 0;
  const absl::string_view version = userAgent.substr(at + kName.size());
  int major = 0;
  return absl::SimpleAtoi(version.substr(0, version.find('.')), &major) ? major : 0;
}

class OneChunk final : public BodyStream {
 public:
  OneChunk(std::shared_ptr<BodyStream> body, uint64_t size) : body_(std::move(body)), size_(size) {}

  asio::awaitable<absl::Status> send(tcp::socket& socket) override {
    const absl::Status begun = co_await write(socket, absl::StrCat(absl::Hex(size_), "\r\n"));
    if (!begun.ok()) co_return begun;
    const absl::Status sent = co_await body_->send(socket);
    if (!sent.ok()) co_return sent;
    co_return co_await write(socket, "\r\n0\r\n\r\n");
  }

 private:
  static asio::awaitable<absl::Status> write(tcp::socket& socket, std::string text) {
    boost::system::error_code ec;
    const SocketDeadline deadline(socket, kEndpointWriteTimeout);
    co_await asio::async_write(socket, asio::buffer(text),
                               asio::redirect_error(asio::use_awaitable, ec));
    if (ec) co_return absl::UnavailableError(ec.message());
    co_return absl::OkStatus();
  }

  const std::shared_ptr<BodyStream> body_;
  const uint64_t size_;
};

}  // namespace

bool refusesKnownSize(const HttpAsk& ask, uint64_t size, uint64_t most) {
  if (size <= most) return false;
  const std::string* agent = ask.find("user-agent");
  return agent != nullptr && hubLibraryMajor(*agent) >= 1;
}

HttpAnswer withoutLength(HttpAnswer answer) {
  if (answer.status != 200 || !answer.length) return answer;
  if (answer.stream != nullptr) {
    answer.stream = std::make_shared<OneChunk>(std::move(answer.stream), *answer.length);
  }
  answer.length = std::nullopt;
  answer.hidesLength = true;
  return answer;
}

}  // namespace roost
