#include "node/control_connection.h"

#include <sys/socket.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <cerrno>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "protocol/convert.h"
#include "protocol/errors.h"
#include "protocol/kj_await.h"
#include "protocol/kj_stream.h"
#include "protocol/limits.h"
#include "protocol/roost.capnp.h"
#include "protocol/rpc_link.h"

namespace roost {
namespace {

namespace asio = boost::asio;
using Unix = asio::local::stream_protocol;
using CallResponse = capnp::Response<wire::Control::CallResults>;

// Orders that ask the hub answer after the hub has.
constexpr absl::Duration kOrderTimeout = absl::Minutes(10);

absl::Status noAgent(const std::string& address, absl::string_view why) {
  return absl::FailedPreconditionError(
      sentence(absl::StrCat("no agent answers at ", address), why,
               "Start one with `roost agent`, or name another with --agent."));
}

absl::Status notAllowed(const std::string& address) {
  return absl::PermissionDeniedError(
      sentence(absl::StrCat("cannot talk to the agent at ", address),
               "its socket is for the agent's own user",
               "Run the command as that user, or name another agent with --agent."));
}

boost::system::error_code connectNow(Unix::socket& socket, const std::string& address) {
  const Unix::endpoint endpoint(address);
  boost::system::error_code ec;
  socket.non_blocking(true, ec);
  if (ec) return ec;
  if (::connect(socket.native_handle(), endpoint.data(), static_cast<socklen_t>(endpoint.size())) !=
      0) {
    ec.assign(errno, boost::system::system_category());
  }
  return ec;
}

class Connection final : public ControlClient {
 public:
  absl::Status open(const std::string& address) {
    address_ = address;
    Unix::socket socket(io_);
    boost::system::error_code ec;
    if (address.size() > 107) return noAgent(address, "the path is too long for a socket");
    socket.open(Unix(), ec);
    // An agent that is stopped takes no connections: its queue fills, and connect() would wait.
    if (!ec) ec = connectNow(socket, address);
    if (ec == asio::error::access_denied) return notAllowed(address);
    if (ec) return noAgent(address, ec.message());
    link_ = std::make_unique<RpcLink>(makeKjStream(std::move(socket)), LinkSide::kDialled, nullptr);
    return absl::OkStatus();
  }

  absl::StatusOr<nlohmann::json> call(absl::string_view method,
                                      const nlohmann::json& arguments) override {
    std::optional<absl::StatusOr<std::string>> answer;
    io_.restart();
    asio::co_spawn(io_, ask(std::string(method), arguments.dump()),
                   [&](std::exception_ptr thrown, absl::StatusOr<std::string> got) {
                     if (thrown) got = absl::InternalError("the call ended with an exception");
                     answer = std::move(got);
                   });
    while (!answer && io_.run_one() != 0) {
    }
    if (!answer) return noAgent(address_, "the connection ended");
    if (!answer->ok()) return answer->status();
    auto document = nlohmann::json::parse(**answer, nullptr, false);
    if (document.is_discarded()) return absl::InternalError("the agent's answer is not JSON");
    return document;
  }

 private:
  asio::awaitable<absl::StatusOr<std::string>> ask(std::string method, std::string arguments) {
    auto request = link_->bootstrap().castAs<wire::Control>().callRequest();
    request.setMethod(method);
    request.setArguments(arguments);
    const bool hurried = method == "env";  // too late is not there
    const bool order = method == "warm" || method == "get" || method == "verify";
    absl::StatusOr<CallResponse> response = co_await withTimeout(
        kj::Promise<CallResponse>(request.send()), order     ? kOrderTimeout
                                                   : hurried ? kEnvTimeout
                                                             : kControlTimeout);
    if (!response.ok()) {
      if (absl::IsDeadlineExceeded(response.status()) && !hurried) co_return response.status();
      co_return noAgent(address_, response.status().message());
    }
    const auto code = static_cast<absl::StatusCode>(response->getCode());
    if (code != absl::StatusCode::kOk) {
      co_return absl::Status(code, toView(response->getMessage()));
    }
    co_return std::string(toView(response->getDocument()));
  }

  std::string address_;
  asio::io_context io_{1};
  KjLoop kj_{io_};
  std::unique_ptr<RpcLink> link_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<ControlClient>> connectControl(const std::string& address) {
  auto connection = std::make_unique<Connection>();
  ROOST_RETURN_IF_ERROR(connection->open(address));
  return std::unique_ptr<ControlClient>(std::move(connection));
}

}  // namespace roost
