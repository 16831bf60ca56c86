#include "protocol/kj_stream.h"

#include <kj/debug.h>
#include <sys/socket.h>

#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "protocol/byte_channel.h"
#include "protocol/kj_status.h"
#include "protocol/limits.h"
#include "protocol/steady_alarm.h"

namespace roost {
namespace {

namespace asio = boost::asio;
using Socket = asio::generic::stream_protocol::socket;

class Pipe;

// A read that KJ waits for. Dropped before it is done, it closes the pipe.
class PendingRead {
 public:
  PendingRead(kj::PromiseFulfiller<size_t>& fulfiller, std::shared_ptr<Pipe> pipe,
              absl::Span<uint8_t> to, size_t least, size_t done);
  ~PendingRead() noexcept;

  kj::PromiseFulfiller<size_t>& fulfiller;
  absl::Span<uint8_t> to;
  size_t least;
  size_t done;

 private:
  std::shared_ptr<Pipe> pipe_;
};

class PendingWrite {
 public:
  PendingWrite(kj::PromiseFulfiller<void>& fulfiller, std::shared_ptr<Pipe> pipe, GatherList rest);
  ~PendingWrite() noexcept;

  kj::PromiseFulfiller<void>& fulfiller;
  GatherList rest;

 private:
  std::shared_ptr<Pipe> pipe_;
};

// The shared state of a stream: held by the stream, by pending promises and by waits in Asio.
class Pipe : public std::enable_shared_from_this<Pipe> {
 public:
  Pipe(Socket socket, std::unique_ptr<ByteChannel> channel, std::unique_ptr<Alarm> watchdog)
      : socket_(std::move(socket)),
        channel_(std::move(channel)),
        watchdog_(watchdog != nullptr ? std::move(watchdog)
                                      : std::make_unique<SteadyAlarm>(socket_.get_executor())),
        idle_(socket_.get_executor()) {}

  kj::Promise<size_t> read(absl::Span<uint8_t> to, size_t least) {
    if (!closed_.ok()) return kjExceptionOf(closed_);
    KJ_REQUIRE(reader_ == nullptr, "a read is already pending");
    noteUse();
    const absl::StatusOr<ByteChannel::Read> now = channel_->read(to);
    if (!now.ok()) {
      close(now.status());
      return kjExceptionOf(closed_);
    }
    sendOwnOutput();
    if (now->bytes >= least || now->ended) return now->bytes;
    return kj::newAdaptedPromise<size_t, PendingRead>(shared_from_this(), to, least, now->bytes);
  }

  kj::Promise<void> write(GatherList from) {
    if (!closed_.ok()) return kjExceptionOf(closed_);
    KJ_REQUIRE(writer_ == nullptr, "a write is already pending");
    noteUse();
    const absl::StatusOr<ByteChannel::Written> now = channel_->write(from);
    if (!now.ok()) {
      close(now.status());
      return kjExceptionOf(closed_);
    }
    if (now->done) return kj::READY_NOW;
    lastProgress_ = watchdog_->now();
    return kj::newAdaptedPromise<void, PendingWrite>(shared_from_this(), from);
  }

  void start(PendingRead& read) {
    reader_ = &read;
    waitReadable();
  }

  void start(PendingWrite& write) {
    writer_ = &write;
    waitWritable();
  }

  void gone(PendingRead& read) {
    if (reader_ != &read) return;
    reader_ = nullptr;
    close(absl::UnavailableError("the link was closed: a read was dropped"));
  }

  void gone(PendingWrite& write) {
    if (writer_ != &write) return;
    writer_ = nullptr;
    close(absl::UnavailableError("the link was closed: a write was dropped"));
  }

  // No more writes; what is written is sent first.
  void end() {
    if (!closed_.ok() || ending_) return;
    KJ_REQUIRE(writer_ == nullptr, "a write is still pending");
    ending_ = true;
    lastProgress_ = watchdog_->now();
    channel_->prepareEnd();
    if (!writeWaiting_) onWritable();
  }

  void close(const absl::Status& why) {
    if (!closed_.ok()) return;
    closed_ = why;
    boost::system::error_code ignored;
    socket_.close(ignored);
    watchdog_->stop();
    idle_.cancel();
    if (PendingRead* reader = std::exchange(reader_, nullptr)) {
      reader->fulfiller.reject(kjExceptionOf(why));
    }
    if (PendingWrite* writer = std::exchange(writer_, nullptr)) {
      writer->fulfiller.reject(kjExceptionOf(why));
    }
  }

 private:
  void waitReadable() {
    if (readWaiting_) return;
    readWaiting_ = true;
    socket_.async_wait(Socket::wait_read,
                       [self = shared_from_this()](const boost::system::error_code& error) {
                         self->readWaiting_ = false;
                         if (!self->closed_.ok()) return;
                         if (error) return self->close(lost(error));
                         self->onReadable();
                       });
  }

  void onReadable() {
    if (reader_ == nullptr) return;
    noteUse();
    const absl::StatusOr<ByteChannel::Read> now =
        channel_->read(reader_->to.subspan(reader_->done));
    if (!now.ok()) return close(now.status());
    reader_->done += now->bytes;
    if (reader_->done >= reader_->least || now->ended) {
      PendingRead* const reader = std::exchange(reader_, nullptr);
      reader->fulfiller.fulfill(kj::cp(reader->done));
    } else {
      waitReadable();
    }
    sendOwnOutput();
  }

  void waitWritable() {
    if (writeWaiting_) return;
    writeWaiting_ = true;
    watch();
    socket_.async_wait(Socket::wait_write,
                       [self = shared_from_this()](const boost::system::error_code& error) {
                         self->writeWaiting_ = false;
                         if (!self->closed_.ok()) return;
                         if (error) return self->close(lost(error));
                         self->onWritable();
                       });
  }

  void onWritable() {
    GatherList nothing;
    const absl::StatusOr<ByteChannel::Written> now =
        channel_->write(writer_ != nullptr ? writer_->rest : nothing);
    if (!now.ok()) return close(now.status());
    if (now->progressed) lastProgress_ = watchdog_->now();
    if (!now->done) return waitWritable();
    if (PendingWrite* const writer = std::exchange(writer_, nullptr)) writer->fulfiller.fulfill();
    if (ending_) shutdown(socket_.native_handle(), SHUT_WR);
  }

  // TLS answers some of what it reads, also when nobody writes.
  void sendOwnOutput() {
    if (!closed_.ok() || !channel_->hasOutput() || writeWaiting_) return;
    lastProgress_ = watchdog_->now();
    onWritable();
  }

  // Closes the link when a write waits and nothing has moved for the time-out.
  void watch() {
    if (watching_) return;
    watching_ = true;
    const auto timeout = absl::ToChronoNanoseconds(kStalledWriteTimeout);
    watchdog_->set(lastProgress_ + timeout, [self = shared_from_this(), timeout] {
      self->watching_ = false;
      if (!self->closed_.ok() || !self->writeWaiting_) return;
      if (self->watchdog_->now() - self->lastProgress_ < timeout) return self->watch();
      self->close(
          absl::UnavailableError(absl::StrCat("the link was closed: the peer has read nothing for ",
                                              absl::FormatDuration(kStalledWriteTimeout))));
    });
  }

  // Buffers are in use; their memory is given back when that has not been for a while.
  void noteUse() {
    used_ = true;
    if (!awaitingIdle_) releaseWhenIdle();
  }

  void releaseWhenIdle() {
    awaitingIdle_ = true;
    idle_.expires_after(absl::ToChronoNanoseconds(kBuffersKept));
    idle_.async_wait([self = shared_from_this()](const boost::system::error_code&) {
      self->awaitingIdle_ = false;
      if (!self->closed_.ok()) return;
      if (std::exchange(self->used_, false)) return self->releaseWhenIdle();
      self->channel_->releaseMemory();
    });
  }

  static absl::Status lost(const boost::system::error_code& error) {
    return absl::UnavailableError(absl::StrCat("connection lost: ", error.message()));
  }

  Socket socket_;
  std::unique_ptr<ByteChannel> channel_;
  std::unique_ptr<Alarm> watchdog_;
  asio::steady_timer idle_;
  Alarm::Time lastProgress_;
  absl::Status closed_;  // why; ok while open
  PendingRead* reader_ = nullptr;
  PendingWrite* writer_ = nullptr;
  bool readWaiting_ = false;
  bool writeWaiting_ = false;
  bool watching_ = false;
  bool awaitingIdle_ = false;
  bool used_ = false;  // since releaseWhenIdle last looked
  bool ending_ = false;
};

PendingRead::PendingRead(kj::PromiseFulfiller<size_t>& f, std::shared_ptr<Pipe> pipe,
                         absl::Span<uint8_t> space, size_t leastBytes, size_t doneBytes)
    : fulfiller(f), to(space), least(leastBytes), done(doneBytes), pipe_(std::move(pipe)) {
  pipe_->start(*this);
}

PendingRead::~PendingRead() noexcept {
  pipe_->gone(*this);
}

PendingWrite::PendingWrite(kj::PromiseFulfiller<void>& f, std::shared_ptr<Pipe> pipe,
                           GatherList list)
    : fulfiller(f), rest(list), pipe_(std::move(pipe)) {
  pipe_->start(*this);
}

PendingWrite::~PendingWrite() noexcept {
  pipe_->gone(*this);
}

class AsioStream final : public kj::AsyncIoStream {
 public:
  explicit AsioStream(std::shared_ptr<Pipe> pipe) : pipe_(std::move(pipe)) {}
  ~AsioStream() noexcept { abortRead(); }

  kj::Promise<size_t> tryRead(void* buffer, size_t minBytes, size_t maxBytes) override {
    return pipe_->read({static_cast<uint8_t*>(buffer), maxBytes}, minBytes);
  }

  kj::Promise<void> write(const void* buffer, size_t size) override {
    auto piece = kj::heap(kj::arrayPtr(static_cast<const kj::byte*>(buffer), size));
    kj::Promise<void> written = pipe_->write(GatherList(kj::arrayPtr(piece.get(), 1)));
    return written.attach(kj::mv(piece));
  }

  kj::Promise<void> write(GatherList::Pieces pieces) override {
    return pipe_->write(GatherList(pieces));
  }

  // A link always has a read pending, which learns of the end first.
  kj::Promise<void> whenWriteDisconnected() override { return kj::NEVER_DONE; }

  void shutdownWrite() override { pipe_->end(); }
  void abortRead() override { pipe_->close(absl::UnavailableError("the link was closed here")); }

 private:
  std::shared_ptr<Pipe> pipe_;
};

template <typename AnySocket>
kj::Own<kj::AsyncIoStream> streamOf(AnySocket socket, std::unique_ptr<TlsSession> session,
                                    std::unique_ptr<Alarm> watchdog) {
  const int fd = socket.native_handle();
  auto channel =
      session == nullptr ? ByteChannel::plain(fd) : ByteChannel::tls(fd, std::move(session));
  return kj::heap<AsioStream>(
      std::make_shared<Pipe>(Socket(std::move(socket)), std::move(channel), std::move(watchdog)));
}

void sendAtOnce(asio::ip::tcp::socket& socket) {
  boost::system::error_code ignored;  // a broken connection says so at the first read
  socket.set_option(asio::ip::tcp::no_delay(true), ignored);
}

}  // namespace

kj::Own<kj::AsyncIoStream> makeKjStream(asio::ip::tcp::socket socket,
                                        std::unique_ptr<Alarm> watchdog) {
  sendAtOnce(socket);
  return streamOf(std::move(socket), nullptr, std::move(watchdog));
}

kj::Own<kj::AsyncIoStream> makeKjStream(asio::local::stream_protocol::socket socket,
                                        std::unique_ptr<Alarm> watchdog) {
  return streamOf(std::move(socket), nullptr, std::move(watchdog));
}

kj::Own<kj::AsyncIoStream> makeKjStream(TlsStream stream, std::unique_ptr<Alarm> watchdog) {
  sendAtOnce(stream.socket);
  return streamOf(std::move(stream.socket), std::move(stream.session), std::move(watchdog));
}

}  // namespace roost
