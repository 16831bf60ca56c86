#include "node/control_server.h"

#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <set>

#include "absl/strings/str_cat.h"
#include "protocol/convert.h"
#include "protocol/errors.h"
#include "protocol/kj_await.h"
#include "protocol/kj_stream.h"
#include "protocol/roost.capnp.h"
#include "protocol/rpc_link.h"
#include "protocol/signal.h"

namespace roost {

namespace asio = boost::asio;
using Unix = asio::local::stream_protocol;

namespace {

constexpr size_t kControlLinksMax = 64;
constexpr size_t kSocketPathMax = 107;  // sun_path
constexpr absl::Duration kAcceptPause = absl::Milliseconds(100);

struct Answer {
  absl::StatusOr<std::string> document;
};

class ControlInterface final : public wire::Control::Server {
 public:
  ControlInterface(asio::any_io_executor executor, ControlServer::Handler handler)
      : executor_(std::move(executor)), handler_(std::move(handler)) {}

  kj::Promise<void> call(CallContext context) override {
    std::string method(toView(context.getParams().getMethod()));
    std::string arguments(toView(context.getParams().getArguments()));
    context.releaseParams();
    return toPromise<Answer>(executor_, answer(handler_, std::move(method), std::move(arguments)))
        .then([context](Answer answer) mutable {
          auto results = context.getResults();
          const absl::Status& status = answer.document.status();
          results.setCode(static_cast<uint16_t>(status.code()));
          results.setMessage(std::string(status.message()));
          if (status.ok()) results.setDocument(*answer.document);
        });
  }

 private:
  static asio::awaitable<absl::StatusOr<Answer>> answer(ControlServer::Handler handler,
                                                        std::string method, std::string arguments) {
    // GCC 12 destroys an aggregate twice that is made of a co_await in its braces.
    absl::StatusOr<std::string> document =
        co_await handler(std::move(method), std::move(arguments));
    co_return Answer{std::move(document)};
  }

  asio::any_io_executor executor_;
  ControlServer::Handler handler_;
};

}  // namespace

class ControlServer::Impl : public std::enable_shared_from_this<ControlServer::Impl> {
 public:
  Impl(asio::io_context& io, std::string path, Handler handler)
      : io_(io),
        path_(std::move(path)),
        handler_(std::move(handler)),
        acceptor_(io),
        pause_(io.get_executor()) {}

  absl::Status listen() {
    if (path_.size() > kSocketPathMax) {
      return absl::InvalidArgumentError(
          sentence(absl::StrCat("cannot make the socket ", path_),
                   absl::StrCat("a socket's path has at most ", kSocketPathMax, " bytes"),
                   "Choose a shorter --state-dir."));
    }
    unlink(path_.c_str());
    boost::system::error_code ec;
    acceptor_.open(Unix(), ec);
    // The folder is 0700; the mode is for those who made it otherwise.
    const mode_t before = umask(0177);
    if (!ec) acceptor_.bind(Unix::endpoint(path_), ec);
    umask(before);
    if (!ec) acceptor_.listen(asio::socket_base::max_listen_connections, ec);
    if (ec) return errnoStatus(ec.value(), "cannot listen on", path_);
    asio::co_spawn(io_, accept(shared_from_this()), asio::detached);
    return absl::OkStatus();
  }

  void stop() {
    if (stopped_) return;
    stopped_ = true;
    boost::system::error_code ignored;
    acceptor_.close(ignored);
    pause_.notify();
    unlink(path_.c_str());
    for (const auto& link : links_) retire(link);
    links_.clear();
  }

 private:
  using LinkPtr = std::shared_ptr<std::unique_ptr<RpcLink>>;

  void retire(const LinkPtr& link) {
    asio::post(io_, [link] { link->reset(); });
  }

  static asio::awaitable<void> accept(std::shared_ptr<Impl> self) {
    while (!self->stopped_) {
      boost::system::error_code ec;
      Unix::socket socket(self->io_);
      co_await self->acceptor_.async_accept(socket, asio::redirect_error(asio::use_awaitable, ec));
      if (ec == asio::error::operation_aborted || self->stopped_) co_return;
      if (ec) {
        // Out of descriptors: the next try would fail as fast.
        co_await self->pause_.wait(kAcceptPause);
        continue;
      }
      if (self->links_.size() >= kControlLinksMax) continue;  // the socket closes: busy
      asio::co_spawn(self->io_, serve(self, std::move(socket)), asio::detached);
    }
  }

  static asio::awaitable<void> serve(std::shared_ptr<Impl> self, Unix::socket socket) {
    auto link = std::make_shared<std::unique_ptr<RpcLink>>(
        std::make_unique<RpcLink>(makeKjStream(std::move(socket)), LinkSide::kAccepted,
                                  capnp::Capability::Client(kj::heap<ControlInterface>(
                                      self->io_.get_executor(), self->handler_))));
    self->links_.insert(link);
    co_await awaitPromise((*link)->onDisconnect());
    if (self->links_.erase(link) != 0) self->retire(link);
  }

  asio::io_context& io_;
  const std::string path_;
  const Handler handler_;
  Unix::acceptor acceptor_;
  Signal pause_;
  bool stopped_ = false;
  std::set<LinkPtr> links_;
};

absl::StatusOr<std::unique_ptr<ControlServer>> ControlServer::listen(asio::io_context& io,
                                                                     const std::string& path,
                                                                     Handler handler) {
  auto impl = std::make_shared<Impl>(io, path, std::move(handler));
  ROOST_RETURN_IF_ERROR(impl->listen());
  return std::unique_ptr<ControlServer>(new ControlServer(std::move(impl)));
}
ControlServer::~ControlServer() {
  impl_->stop();
}
void ControlServer::stop() {
  impl_->stop();
}

}  // namespace roost
