#include "protocol/byte_channel.h"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "protocol/byte_buffer.h"
#include "protocol/errors.h"
#include "protocol/limits.h"

namespace roost {
namespace {

constexpr size_t kVectorsPerSend = 64;
// Smaller pieces of a list are copied together, or each would cost a TLS record.
constexpr size_t kTlsRecordBytes = 16 << 10;

absl::Status lost(int error) {
  return absl::UnavailableError(absl::StrCat("connection lost: ", errnoText(error)));
}

// Bytes moved; 0 with *blocked: the socket is not ready. EOF is 0 without *blocked (recv only).
absl::StatusOr<size_t> receiveNow(int fd, absl::Span<iovec> to, bool* blocked) {
  msghdr message{};
  message.msg_iov = to.data();
  message.msg_iovlen = to.size();
  for (;;) {
    const ssize_t got = recvmsg(fd, &message, MSG_DONTWAIT);
    *blocked = got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
    if (got >= 0 || *blocked) return static_cast<size_t>(std::max<ssize_t>(got, 0));
    if (errno != EINTR) return lost(errno);
  }
}

absl::StatusOr<size_t> sendNow(int fd, absl::Span<iovec> from) {
  msghdr message{};
  message.msg_iov = from.data();
  message.msg_iovlen = from.size();
  for (;;) {
    const ssize_t sent = sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent >= 0) return static_cast<size_t>(sent);
    if (errno == EAGAIN || errno == EWOULDBLOCK) return 0;
    if (errno != EINTR) return lost(errno);
  }
}

class PlainChannel final : public ByteChannel {
 public:
  explicit PlainChannel(int fd) : fd_(fd) {}

  absl::StatusOr<Read> read(absl::Span<uint8_t> to) override {
    Read done{.bytes = ahead_.takeInto(to)};
    to.remove_prefix(done.bytes);
    if (to.empty()) return done;
    const absl::Span<uint8_t> space = ahead_.space();
    std::array<iovec, 2> vectors{iovec{to.data(), to.size()}, iovec{space.data(), space.size()}};
    bool blocked = false;
    ROOST_ASSIGN_OR_RETURN(const size_t got, receiveNow(fd_, absl::MakeSpan(vectors), &blocked));
    const size_t direct = std::min(got, to.size());
    ahead_.filled(got - direct);
    done.bytes += direct;
    done.ended = got == 0 && !blocked;
    return done;
  }

  absl::StatusOr<Written> write(GatherList& from) override {
    Written written;
    while (!from.empty()) {
      std::array<iovec, kVectorsPerSend> vectors;
      size_t bytes = 0;
      const size_t count = from.fill(absl::MakeSpan(vectors), &bytes);
      ROOST_ASSIGN_OR_RETURN(const size_t sent,
                             sendNow(fd_, absl::MakeSpan(vectors).subspan(0, count)));
      from.consume(sent);
      written.progressed |= sent > 0;
      if (sent < bytes) return written;
    }
    written.done = true;
    return written;
  }

  bool hasOutput() const override { return false; }
  void prepareEnd() override {}
  void releaseMemory() override { ahead_.releaseIfEmpty(); }

 private:
  int fd_;
  ByteBuffer ahead_{kReadAheadBytes};
};

class TlsChannel final : public ByteChannel {
 public:
  TlsChannel(int fd, std::unique_ptr<TlsSession> session) : fd_(fd), session_(std::move(session)) {}

  absl::StatusOr<Read> read(absl::Span<uint8_t> to) override {
    Read done;
    for (bool drained = false;;) {
      ROOST_ASSIGN_OR_RETURN(const TlsSession::Read plain, session_->read(to.subspan(done.bytes)));
      done.bytes += plain.bytes;
      done.ended = plain.ended;
      if (drained || done.ended || done.bytes == to.size()) break;
      const absl::Span<uint8_t> space = session_->input().space();
      iovec vector{space.data(), space.size()};
      bool blocked = false;
      ROOST_ASSIGN_OR_RETURN(const size_t got, receiveNow(fd_, {&vector, 1}, &blocked));
      // Without TLS's own farewell somebody else may have cut the connection.
      if (got == 0 && !blocked) return absl::UnavailableError("connection lost: cut off");
      if (blocked) break;
      session_->input().filled(got);
      drained = got < space.size();
    }
    return done;
  }

  absl::StatusOr<Written> write(GatherList& from) override {
    Written written;
    for (;;) {
      ROOST_RETURN_IF_ERROR(encrypt(from));
      ByteBuffer& output = session_->output();
      if (output.empty()) break;
      const absl::Span<const uint8_t> bytes = output.bytes();
      iovec vector{const_cast<uint8_t*>(bytes.data()), bytes.size()};
      ROOST_ASSIGN_OR_RETURN(const size_t sent, sendNow(fd_, {&vector, 1}));
      output.consume(sent);
      written.progressed |= sent > 0;
      if (!output.empty()) return written;
    }
    written.done = true;
    return written;
  }

  bool hasOutput() const override { return !session_->output().empty(); }
  void prepareEnd() override { session_->writeEnd(); }
  void releaseMemory() override {
    session_->input().releaseIfEmpty();
    session_->output().releaseIfEmpty();
  }

 private:
  // Fills output() as far as it goes.
  absl::Status encrypt(GatherList& from) {
    while (!from.empty() && session_->output().size() < kTlsOutputBytes) {
      const absl::Span<const uint8_t> front = from.front();
      if (front.size() >= kTlsRecordBytes || from.atLast()) {
        ROOST_ASSIGN_OR_RETURN(const size_t taken, session_->write(front));
        from.consume(taken);
      } else {
        ROOST_RETURN_IF_ERROR(encryptTogether(from));
      }
    }
    return absl::OkStatus();
  }

  absl::Status encryptTogether(GatherList& from) {
    std::array<uint8_t, kTlsRecordBytes> record;
    size_t size = 0;
    while (!from.empty() && size < record.size()) {
      const absl::Span<const uint8_t> front = from.front();
      const size_t copied = std::min(front.size(), record.size() - size);
      std::memcpy(record.data() + size, front.data(), copied);
      from.consume(copied);
      size += copied;
    }
    // One record always fits: output() had less than kTlsOutputBytes in it.
    return session_->write(absl::MakeConstSpan(record).first(size)).status();
  }

  int fd_;
  std::unique_ptr<TlsSession> session_;
};

}  // namespace

absl::Span<const uint8_t> GatherList::front() const {
  const kj::ArrayPtr<const kj::byte> piece = pieces_[index_];
  return absl::MakeConstSpan(piece.begin() + offset_, piece.size() - offset_);
}

size_t GatherList::fill(absl::Span<iovec> vectors, size_t* bytes) const {
  size_t count = 0;
  size_t offset = offset_;
  *bytes = 0;
  for (size_t i = index_; i < pieces_.size() && count < vectors.size(); ++i, offset = 0) {
    const size_t size = pieces_[i].size() - offset;
    vectors[count++] = iovec{const_cast<kj::byte*>(pieces_[i].begin()) + offset, size};
    *bytes += size;
  }
  return count;
}

void GatherList::consume(size_t bytes) {
  while (bytes > 0) {
    const size_t step = std::min(bytes, pieces_[index_].size() - offset_);
    offset_ += step;
    bytes -= step;
    skipEmpty();
  }
}

void GatherList::skipEmpty() {
  while (index_ < pieces_.size() && offset_ == pieces_[index_].size()) {
    ++index_;
    offset_ = 0;
  }
}

std::unique_ptr<ByteChannel> ByteChannel::plain(int fd) {
  return std::make_unique<PlainChannel>(fd);
}

std::unique_ptr<ByteChannel> ByteChannel::tls(int fd, std::unique_ptr<TlsSession> session) {
  return std::make_unique<TlsChannel>(fd, std::move(session));
}

}  // namespace roost
