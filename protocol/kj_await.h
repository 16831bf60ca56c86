// kj::Promise<T> ↔ boost::asio::awaitable: the border between Cap'n Proto and coroutines.
//
//   absl::StatusOr<capnp::Response<R>> r = co_await awaitPromise(request.send());
//   absl::Status s = co_await awaitPromise(link.onDisconnect());            // T = void
//   auto r = co_await withTimeout(request.send(), absl::Seconds(2));        // or kDeadlineExceeded
//   kj::Promise<int> p = toPromise<int>(executor, coroutine());             // StatusOr<int> or
//   Status
//
// Errors:  kj::Exception ends here and becomes a Status (kj_status.h), and the reverse.
// Threads: the thread of KjLoop::current().
// Rules:   A KJ callback never resumes a coroutine: it ends a timer's wait, which posts. The
// promise
//          belongs to an object that the KjLoop knows, so a frame that the io_context destroys
//          after the KjLoop is harmless. A frame must not itself keep KJ objects past the KjLoop.
#ifndef ROOST_PROTOCOL_KJ_AWAIT_H_
#define ROOST_PROTOCOL_KJ_AWAIT_H_

#include <kj/async.h>
#include <kj/debug.h>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <exception>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "protocol/kj_loop.h"
#include "protocol/kj_status.h"

namespace roost {

// absl::Status for void, absl::StatusOr<T> for others.
template <typename T>
struct StatusOrVoid {
  using Type = absl::StatusOr<T>;
};
template <>
struct StatusOrVoid<void> {
  using Type = absl::Status;
};
template <typename T>
using Outcome = typename StatusOrVoid<T>::Type;

namespace kj_await_internal {

template <typename T>
class PromiseWait final : public KjPending {
 public:
  explicit PromiseWait(kj::Promise<T> promise)
      : running_(promise.then(OnValue{this}, OnError{this}).eagerlyEvaluate(nullptr)) {}

  // Ends the wait. Called by the coroutine, never from within the promise's own callback: dropping
  // a promise there destroys the code that is running.
  void drop() {
    running_ = nullptr;
    timer_ = nullptr;
  }

  bool done() const { return result_.has_value(); }
  void useTimer(boost::asio::steady_timer& timer) { timer_ = &timer; }
  Outcome<T> take() { return *std::move(result_); }

 private:
  struct OnError {
    PromiseWait* self;
    void operator()(kj::Exception&& e) const { self->finish(Outcome<T>(statusOf(e))); }
  };
  struct OnSomething {
    PromiseWait* self;
    template <typename V>
    void operator()(V&& value) const {
      self->finish(Outcome<T>(kj::fwd<V>(value)));
    }
  };
  struct OnVoid {
    PromiseWait* self;
    void operator()() const { self->finish(absl::OkStatus()); }
  };
  using OnValue = std::conditional_t<std::is_void_v<T>, OnVoid, OnSomething>;

  void finish(Outcome<T> result) {
    result_.emplace(std::move(result));
    if (timer_ != nullptr) timer_->cancel();
  }

  void abandon() override {
    running_ = nullptr;
    finish(Outcome<T>(absl::CancelledError("the KJ loop has ended")));
  }

  boost::asio::steady_timer* timer_ = nullptr;
  std::optional<Outcome<T>> result_;
  kj::Maybe<kj::Promise<void>> running_;
};

template <typename T>
struct DropWhenDone {
  PromiseWait<T>& wait;
  ~DropWhenDone() { wait.drop(); }
};

template <typename T>
boost::asio::awaitable<Outcome<T>> waitFor(std::shared_ptr<PromiseWait<T>> wait,
                                           absl::Duration timeout) {
  boost::asio::steady_timer timer(co_await boost::asio::this_coro::executor);
  const DropWhenDone<T> dropWhenDone{*wait};
  if (!wait->done()) {
    wait->useTimer(timer);
    if (timeout == absl::InfiniteDuration()) {
      timer.expires_at(boost::asio::steady_timer::time_point::max());
    } else {
      timer.expires_after(absl::ToChronoNanoseconds(timeout));
    }
    boost::system::error_code ignored;
    co_await timer.async_wait(boost::asio::redirect_error(boost::asio::use_awaitable, ignored));
  }
  if (!wait->done()) {
    co_return Outcome<T>(
        absl::DeadlineExceededError("no answer within " + absl::FormatDuration(timeout)));
  }
  co_return wait->take();
}

inline absl::Status failureOf(const absl::Status& status) {
  return status;
}
template <typename T>
absl::Status failureOf(const absl::StatusOr<T>& result) {
  return result.status();
}

}  // namespace kj_await_internal

// The promise starts at once; the coroutine continues by post when it is done.
template <typename T>
boost::asio::awaitable<Outcome<T>> awaitPromise(kj::Promise<T> promise) {
  return kj_await_internal::waitFor<T>(
      std::make_shared<kj_await_internal::PromiseWait<T>>(kj::mv(promise)),
      absl::InfiniteDuration());
}

// The same, but after `timeout` the promise is dropped (an RPC call is thereby cancelled) and the
// result is kDeadlineExceeded.
template <typename T>
boost::asio::awaitable<Outcome<T>> withTimeout(kj::Promise<T> promise, absl::Duration timeout) {
  return kj_await_internal::waitFor<T>(
      std::make_shared<kj_await_internal::PromiseWait<T>>(kj::mv(promise)), timeout);
}

// Starts the coroutine on the executor (that of this thread's io_context). A promise that is
// dropped does not stop it: there is no cancellation in Boost 1.74; its result is then discarded.
template <typename T>
kj::Promise<T> toPromise(boost::asio::any_io_executor executor,
                         boost::asio::awaitable<Outcome<T>> work) {
  auto paf = kj::newPromiseAndFulfiller<T>();
  boost::asio::co_spawn(
      executor, std::move(work),
      [fulfiller = kj::mv(paf.fulfiller)](std::exception_ptr thrown, Outcome<T> result) mutable {
        if (thrown) {
          fulfiller->reject(kjExceptionOf(absl::InternalError("a coroutine threw an exception")));
        } else if (!result.ok()) {
          fulfiller->reject(kjExceptionOf(kj_await_internal::failureOf(result)));
        } else if constexpr (std::is_void_v<T>) {
          fulfiller->fulfill();
        } else {
          fulfiller->fulfill(*std::move(result));
        }
      });
  return kj::mv(paf.promise);
}

}  // namespace roost

#endif  // ROOST_PROTOCOL_KJ_AWAIT_H_
