#include "node/endpoint/upload_pipe.h"

#include <algorithm>
#include <cstring>
#include <deque>
#include <mutex>
#include <utility>

#include "node/await_callback.h"
#include "protocol/limits.h"

namespace roost {

namespace asio = boost::asio;

class UploadPipe {
 public:
  // ---- Reader.
  HttpUpload::Read read(char* to, size_t room) {
    std::function<void(bool)> waiter;
    HttpUpload::Read got;
    {
      const std::lock_guard lock(mutex_);
      asked_ = true;
      got = take(to, room);
      starved_ = got.has == HttpUpload::Has::kWait;
      waiter = std::exchange(waiter_, nullptr);
    }
    if (waiter) waiter(true);
    return got;
  }
  void onMore(std::function<void()> wake) {
    const std::lock_guard lock(mutex_);
    if (abandoned_) return;
    wake_ = std::move(wake);
    if (!chunks_.empty() || state_ != State::kOpen) goOn();
  }
  void abandon() {
    std::function<void(bool)> waiter;
    {
      const std::lock_guard lock(mutex_);
      abandoned_ = true;
      wake_ = nullptr;
      chunks_.clear();
      size_ = 0;
      waiter = std::exchange(waiter_, nullptr);
    }
    if (waiter) waiter(true);
  }

  // ---- Lane.
  // Calls back when the reader has asked for bytes, there is room for more, or nobody reads.
  void whenReady(std::function<void(bool)> done) {
    {
      const std::lock_guard lock(mutex_);
      if (!ready()) {
        waiter_ = std::move(done);
        return;
      }
    }
    done(true);
  }
  bool isReady() {
    const std::lock_guard lock(mutex_);
    return ready();
  }
  bool isAbandoned() {
    const std::lock_guard lock(mutex_);
    return abandoned_;
  }
  void put(std::string bytes) {
    const std::lock_guard lock(mutex_);
    if (abandoned_ || bytes.empty()) return;
    size_ += bytes.size();
    chunks_.push_back(std::move(bytes));
    goOn();
  }
  void end(bool whole) {
    const std::lock_guard lock(mutex_);
    if (state_ != State::kOpen) return;
    state_ = whole ? State::kWhole : State::kCut;
    goOn();
  }
  void needsAsking() {
    const std::lock_guard lock(mutex_);
    untilAsked_ = true;
  }
  void asked() {
    const std::lock_guard lock(mutex_);
    untilAsked_ = false;
  }

 private:
  enum class State { kOpen, kWhole, kCut };

  // All under the lock.
  bool ready() const { return abandoned_ || (untilAsked_ ? asked_ : size_ < kUploadBytesMax); }
  HttpUpload::Read take(char* to, size_t room) {
    using Has = HttpUpload::Has;
    if (abandoned_ || state_ == State::kCut) return {Has::kStop};
    if (chunks_.empty()) return {state_ == State::kWhole ? Has::kEnd : Has::kWait};
    const std::string& chunk = chunks_.front();
    const size_t size = std::min(room, chunk.size() - taken_);
    std::memcpy(to, chunk.data() + taken_, size);
    taken_ += size;
    size_ -= size;
    if (taken_ == chunk.size()) {
      chunks_.pop_front();
      taken_ = 0;
    }
    return {Has::kBytes, size};
  }
  void goOn() {
    if (!starved_ || !wake_) return;
    starved_ = false;
    wake_();
  }

  std::mutex mutex_;
  std::deque<std::string> chunks_;
  size_t taken_ = 0;  // of the first
  size_t size_ = 0;   // of all, without what was taken
  State state_ = State::kOpen;
  bool untilAsked_ = false;
  bool asked_ = false;
  bool starved_ = false;
  bool abandoned_ = false;
  std::function<void()> wake_;
  std::function<void(bool)> waiter_;
};

namespace {

asio::awaitable<void> whenReady(std::shared_ptr<UploadPipe> pipe) {
  if (pipe->isReady()) co_return;
  const std::function<void(std::function<void(bool)>)> start = [&](std::function<void(bool)> done) {
    pipe->whenReady(std::move(done));
  };
  co_await awaitCallback<bool>(start, false);
}

}  // namespace

HttpUpload::Read UploadSource::read(char* to, size_t room) {
  return pipe_->read(to, room);
}
void UploadSource::onMore(std::function<void()> wake) {
  pipe_->onMore(std::move(wake));
}
void UploadSource::abandon() {
  pipe_->abandon();
}

UploadFeed::~UploadFeed() {
  pipe_->end(false);
}
asio::awaitable<bool> UploadFeed::wanted() {
  pipe_->needsAsking();
  co_await whenReady(pipe_);
  pipe_->asked();
  co_return !pipe_->isAbandoned();
}
asio::awaitable<void> UploadFeed::put(std::string bytes) {
  co_await whenReady(pipe_);
  pipe_->put(std::move(bytes));
}
void UploadFeed::end() {
  pipe_->end(true);
}

Upload makeUpload(std::optional<uint64_t> length, bool asksFirst) {
  auto pipe = std::make_shared<UploadPipe>();
  return {std::make_shared<UploadSource>(pipe, length, asksFirst),
          std::make_unique<UploadFeed>(pipe)};
}

}  // namespace roost
