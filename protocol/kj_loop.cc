#include "protocol/kj_loop.h"

#include <kj/debug.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>

#include "protocol/limits.h"

namespace roost {
namespace {

// As kj::EventLoop is: one a thread, found by those who run on it.
thread_local KjLoop* currentLoop = nullptr;

}  // namespace

class KjLoop::Port final : public kj::EventPort {
 public:
  explicit Port(boost::asio::io_context& io) : pump_(std::make_shared<Pump>(io)) {}
  ~Port() noexcept { pump_->loop = nullptr; }

  void start(kj::EventLoop& loop) { pump_->loop = &loop; }

  bool wait() override {
    if (pump_->io.stopped()) pump_->io.restart();
    KJ_REQUIRE(pump_->io.run_one() > 0, "waiting for a promise that nothing can fulfil");
    return false;
  }

  bool poll() override {
    pump_->io.poll();
    return false;
  }

  void setRunnable(bool runnable) override {
    if (runnable) Pump::schedule(pump_);
  }

 private:
  // Outlives the port for as long as a posted job refers to it.
  struct Pump {
    explicit Pump(boost::asio::io_context& context) : io(context) {}

    static void schedule(const std::shared_ptr<Pump>& pump) {
      if (pump->scheduled) return;
      pump->scheduled = true;
      boost::asio::post(pump->io, [pump] { run(pump); });
    }

    static void run(const std::shared_ptr<Pump>& pump) {
      pump->scheduled = false;
      if (pump->loop == nullptr) return;
      pump->loop->run(kKjTurnsPerPost);
      // KJ reports only changes: after a run that was cut short it says nothing.
      if (pump->loop != nullptr && pump->loop->isRunnable()) schedule(pump);
    }

    boost::asio::io_context& io;
    kj::EventLoop* loop = nullptr;
    bool scheduled = false;
  };

  std::shared_ptr<Pump> pump_;
};

KjLoop::KjLoop(boost::asio::io_context& io)
    : port_(std::make_unique<Port>(io)), loop_(*port_), waitScope_(loop_) {
  KJ_REQUIRE(currentLoop == nullptr, "this thread already has a KjLoop");
  port_->start(loop_);
  currentLoop = this;
}

KjLoop::~KjLoop() noexcept {
  while (!pending_.empty()) {
    KjPending* pending = *pending_.begin();
    pending_.erase(pending_.begin());
    pending->loop_ = nullptr;
    pending->abandon();
  }
  currentLoop = nullptr;
}

KjLoop& KjLoop::current() {
  KJ_REQUIRE(currentLoop != nullptr, "this thread has no KjLoop");
  return *currentLoop;
}

KjPending::KjPending() : loop_(&KjLoop::current()) {
  loop_->pending_.insert(this);
}

KjPending::~KjPending() {
  if (loop_ != nullptr) loop_->pending_.erase(this);
}

}  // namespace roost
