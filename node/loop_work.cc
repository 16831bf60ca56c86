#include "node/loop_work.h"

#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <utility>

namespace roost {

namespace asio = boost::asio;

namespace {
constexpr absl::Duration kFullPause = absl::Milliseconds(50);
}

void LoopWork::post(std::function<void()> job) {
  asio::post(io_, [self = shared_from_this(), job = std::move(job)] {
    if (!self->stopped_) job();
  });
}

void LoopWork::later(absl::Duration delay, std::function<void()> job) {
  auto timer = std::make_shared<asio::steady_timer>(io_, absl::ToChronoNanoseconds(delay));
  timer->async_wait([self = shared_from_this(), timer, job = std::move(job)](auto ec) {
    if (!ec && !self->stopped_) job();
  });
}

void LoopWork::submit(WorkSpec spec, std::function<void()> job) {
  const absl::Status status = pool_.submit(spec, [job] { job(); });
  if (status.ok() || stopped_ || absl::IsCancelled(status)) return;
  later(kFullPause, [self = shared_from_this(), spec = std::move(spec), job = std::move(job)] {
    self->submit(spec, job);
  });
}

}  // namespace roost
