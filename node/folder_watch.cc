#include "node/folder_watch.h"

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <optional>

namespace roost {

namespace asio = boost::asio;

class FolderWatch::Impl : public std::enable_shared_from_this<FolderWatch::Impl> {
 public:
  Impl(asio::io_context& io, WorkPool& pool, Handler handler)
      : io_(io), pool_(pool), handler_(std::move(handler)), timer_(io) {}

  void start() {
    if (watcher_.fd() >= 0) {
      descriptor_.emplace(io_, watcher_.fd());
      wait();
    }
    schedulePoll();
  }

  void dirty(const std::vector<Dirty>& all) {
    for (const Dirty& one : all) handler_(one);
  }

  // A scan changed what is watched, and with it what is polled.
  void changed(bool scanAgain, Dirty what) {
    if (scanAgain) handler_(what);
    schedulePoll();
  }

  void stop() {
    if (stopped_) return;
    stopped_ = true;
    timer_.cancel();
    // The descriptor is the watcher's to close.
    if (descriptor_) descriptor_->release();
  }

  Watcher& watcher() { return watcher_; }

 private:
  void wait() {
    descriptor_->async_wait(asio::posix::stream_descriptor::wait_read,
                            [self = shared_from_this()](boost::system::error_code ec) {
                              if (ec || self->stopped_) return;
                              self->dirty(self->watcher_.read());
                              self->wait();
                            });
  }

  void schedulePoll() {
    const absl::Time at = watcher_.nextPoll();
    if (stopped_ || polling_ || at == absl::InfiniteFuture()) return;
    const absl::Duration delay = std::max(absl::ZeroDuration(), at - absl::Now());
    timer_.expires_after(absl::ToChronoNanoseconds(delay));
    timer_.async_wait([self = shared_from_this()](boost::system::error_code ec) {
      if (!ec && !self->stopped_) self->poll();
    });
  }

  void poll() {
    polling_ = true;
    const absl::Time began = absl::Now();
    const absl::Status submitted =
        pool_.submit({"poll folders", WorkPriority::kNormal, "poll"},
                     [self = shared_from_this(), began, targets = watcher_.pollTargets(began)] {
                       auto result = std::make_shared<PollResult>(pollFolders(targets));
                       asio::post(self->io_, [self, began, result] {
                         if (self->stopped_) return;
                         self->polling_ = false;
                         self->dirty(self->watcher_.polled(*result, began, absl::Now()));
                         self->schedulePoll();
                       });
                     });
    if (!submitted.ok()) polling_ = false;  // the next scan or event tries again
  }

  asio::io_context& io_;
  WorkPool& pool_;
  Handler handler_;
  Watcher watcher_;
  std::optional<asio::posix::stream_descriptor> descriptor_;
  asio::steady_timer timer_;
  bool polling_ = false;
  bool stopped_ = false;
};

FolderWatch::FolderWatch(asio::io_context& io, WorkPool& pool, Handler handler)
    : impl_(std::make_shared<Impl>(io, pool, std::move(handler))) {
  impl_->start();
}
FolderWatch::~FolderWatch() {
  impl_->stop();
}
void FolderWatch::addRoot(const Root& root) {
  impl_->watcher().addRoot(root);
  impl_->changed(false, {});
}
void FolderWatch::seen(RootIndex root, const RootScan& scan) {
  impl_->changed(impl_->watcher().watchRoot(root, scan), {root, std::nullopt});
}
void FolderWatch::seen(RootIndex root, const RepoScan& scan) {
  impl_->changed(impl_->watcher().watchRepo(root, scan), {root, scan.repo});
}
void FolderWatch::gone(RootIndex root, const RepoId& repo) {
  impl_->watcher().forgetRepo(root, repo);
}
void FolderWatch::gone(RootIndex root) {
  impl_->watcher().forgetRoot(root);
  impl_->changed(false, {});
}
std::vector<std::string> FolderWatch::problems() const {
  return impl_->watcher().problems();
}
void FolderWatch::stop() {
  impl_->stop();
}

}  // namespace roost
