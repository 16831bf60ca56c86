#include "cluster/lane_thread.h"

#include <pthread.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <future>
#include <optional>
#include <thread>
#include <utility>

#include "protocol/kj_loop.h"

namespace roost {

struct LaneThread::Impl {
  boost::asio::io_context io{1};
  std::optional<boost::asio::executor_work_guard<boost::asio::io_context::executor_type>> work{
      io.get_executor()};
  std::thread thread;
};

LaneThread::LaneThread(std::string name) : impl_(std::make_unique<Impl>()) {
  impl_->thread = std::thread([this, name = std::move(name)] {
    pthread_setname_np(pthread_self(), name.substr(0, 15).c_str());
    const KjLoop kj(impl_->io);
    impl_->io.run();
  });
}

LaneThread::~LaneThread() {
  stop();
}

void LaneThread::post(std::function<void()> job) {
  boost::asio::post(impl_->io, std::move(job));
}

boost::asio::io_context& LaneThread::io() {
  return impl_->io;
}

void LaneThread::run(const std::function<void()>& job) {
  const auto done = std::make_shared<std::promise<void>>();
  boost::asio::post(impl_->io, [&job, done] {
    job();
    done->set_value();
  });
  done->get_future().wait();
}

void LaneThread::stop() {
  if (!impl_->thread.joinable()) return;
  boost::asio::post(impl_->io, [this] { impl_->work.reset(); });
  impl_->thread.join();
}

}  // namespace roost
