#include "node/endpoint/blob_body.h"

#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <cerrno>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "node/await_callback.h"
#include "protocol/errors.h"
#include "protocol/limits.h"
#include "protocol/socket_deadline.h"

namespace roost {

namespace asio = boost::asio;
using asio::ip::tcp;

namespace {

using Bytes = std::vector<uint8_t>;
// A piece that was read: a vector would be filled with zeros first.
struct PieceBytes {
  std::unique_ptr<uint8_t[]> memory = std::make_unique_for_overwrite<uint8_t[]>(kPieceBytes);
  size_t size = 0;
  absl::Span<const uint8_t> span() const { return {memory.get(), size}; }
};
// Run each kTrickle while a body waits.
using Tick = std::function<asio::awaitable<absl::Status>()>;

constexpr absl::Duration kSilenceMax = absl::Seconds(15);  // clients give up after 10 s

absl::Status tooSilent() {
  return absl::DeadlineExceededError("nothing came for longer than clients wait");
}

// A piece that is said to be there and cannot be read, again and again: a disk that fails.
constexpr int kMissesMax = 1000;
absl::Status unreadable() {
  return absl::AbortedError("a piece that arrived cannot be read");
}

absl::Status clientGone(const boost::system::error_code& ec) {
  return absl::UnavailableError(ec.message());
}

asio::awaitable<absl::Status> write(tcp::socket& socket, absl::Span<const uint8_t> bytes,
                                    absl::Span<const uint8_t> then = {}) {
  boost::system::error_code ec;
  const SocketDeadline deadline(socket, kEndpointWriteTimeout);
  const std::array<asio::const_buffer, 2> both = {asio::buffer(bytes.data(), bytes.size()),
                                                  asio::buffer(then.data(), then.size())};
  co_await asio::async_write(socket, both, asio::redirect_error(asio::use_awaitable, ec));
  co_return ec ? clientGone(ec) : absl::OkStatus();
}

// True if [offset, offset + count) can be sent without waiting for a disk, as far as its ends tell.
bool inPageCache(int fd, uint64_t offset, uint64_t count) {
  for (const uint64_t at : {offset, offset + count - 1}) {
    char byte = 0;
    iovec view{&byte, 1};
    if (preadv2(fd, &view, 1, static_cast<off_t>(at), RWF_NOWAIT) < 0 &&
        (errno == EAGAIN || errno == EWOULDBLOCK)) {
      return false;
    }
  }
  return true;
}

// Reads what is not in the page cache on a work thread, so that the lane never waits for a disk.
asio::awaitable<void> bringIn(WorkPool& pool, std::shared_ptr<const LocalBlob> file,
                              uint64_t offset, uint64_t count) {
  const std::function<void(std::function<void(bool)>)> start = [&](std::function<void(bool)> done) {
    (void)pool.submit({"endpoint read", WorkPriority::kReaderWaits, file->path()},
                      [file, offset, count, done] {
                        Bytes scratch(count);
                        (void)!pread(file->fd(), scratch.data(), count, static_cast<off_t>(offset));
                        done(true);
                      });
  };
  co_await awaitCallback<bool>(start, false);
}

// Sends [first, end) of an open file.
asio::awaitable<absl::Status> sendPart(tcp::socket& socket, WorkPool& pool,
                                       std::shared_ptr<const LocalBlob> file, uint64_t first,
                                       uint64_t end) {
  boost::system::error_code ec;
  socket.native_non_blocking(true, ec);
  while (first < end) {
    const uint64_t count = std::min<uint64_t>(end - first, kEndpointSendBytes);
    if (!inPageCache(file->fd(), first, count)) co_await bringIn(pool, file, first, count);
    auto offset = static_cast<off_t>(first);
    const ssize_t sent = ::sendfile(socket.native_handle(), file->fd(), &offset, count);
    if (sent > 0) {
      first += static_cast<uint64_t>(sent);
    } else if (sent == 0) {
      co_return absl::DataLossError(absl::StrCat(file->path(), " has become shorter"));
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      const SocketDeadline deadline(socket, kEndpointWriteTimeout);
      co_await socket.async_wait(tcp::socket::wait_write,
                                 asio::redirect_error(asio::use_awaitable, ec));
      if (ec) co_return clientGone(ec);
    } else if (errno != EINTR) {
      co_return errnoStatus(errno, "cannot send", file->path());
    }
  }
  co_return absl::OkStatus();
}

asio::awaitable<void> poison(BlobReading& reading) {
  const std::function<void(std::function<void(bool)>)> start =
      [&reading](std::function<void(bool)> done) { reading.poison([done] { done(true); }); };
  co_await awaitCallback<bool>(start, false);
}

// Wrong content is marked before anybody learns of it.
asio::awaitable<BlobReading::Piece> whenVerified(BlobReading& reading, Tick tick) {
  const std::function<void(std::function<void(BlobReading::Piece)>)> start =
      [&reading](std::function<void(BlobReading::Piece)> done) {
        reading.verified(std::move(done));
      };
  const BlobReading::Piece dropped = absl::UnavailableError("the client is gone");
  const AwaitTick trickle{kTrickle, std::move(tick)};
  BlobReading::Piece verified = co_await awaitTicking<BlobReading::Piece>(start, dropped, trickle);
  if (absl::IsDataLoss(verified.status())) co_await poison(reading);
  co_return verified;
}

asio::awaitable<BlobReading::Piece> askPiece(BlobReading& reading, uint64_t index, Tick tick) {
  const std::function<void(std::function<void(BlobReading::Piece)>)> start =
      [&reading, index](std::function<void(BlobReading::Piece)> done) {
        reading.piece(index, std::move(done));
      };
  const BlobReading::Piece dropped = absl::UnavailableError("the client is gone");
  const AwaitTick trickle{kTrickle, std::move(tick)};
  co_return co_await awaitTicking<BlobReading::Piece>(start, dropped, trickle);
}

// On a work thread; null if the writer lost it.
asio::awaitable<std::shared_ptr<const PieceBytes>> readPiece(
    WorkPool& pool, std::shared_ptr<const BlobWriter> writer, uint64_t index) {
  using Read = std::shared_ptr<const PieceBytes>;
  const std::function<void(std::function<void(Read)>)> start = [&](std::function<void(Read)> done) {
    (void)pool.submit({"endpoint read", WorkPriority::kReaderWaits, ""}, [writer, index, done] {
      const auto piece = std::make_shared<PieceBytes>();
      const auto count = writer->readPiece(index, {piece->memory.get(), kPieceBytes});
      if (!count.ok()) return done(nullptr);
      piece->size = *count;
      done(piece);
    });
  };
  const Read none;
  co_return co_await awaitCallback<Read>(start, none);
}

absl::Status deleted() {
  return absl::AbortedError("the file was deleted while it was read");
}

// Null if there is none any more.
asio::awaitable<std::shared_ptr<const LocalBlob>> openPublished(BlobReading& reading) {
  using Opened = std::shared_ptr<const LocalBlob>;
  const std::function<void(std::function<void(Opened)>)> open =
      [&reading](std::function<void(Opened)> done) { reading.open(std::move(done)); };
  const Opened none;
  co_return co_await awaitCallback<Opened>(open, none);
}

class LocalBody final : public BodyStream {
 public:
  LocalBody(BlobPart part, std::shared_ptr<const LocalBlob> file, bool isVerified,
            std::shared_ptr<BlobReading> reading, WorkPool& pool)
      : part_(part),
        file_(std::move(file)),
        isVerified_(isVerified),
        reading_(std::move(reading)),
        pool_(pool) {}

  asio::awaitable<absl::Status> send(tcp::socket& socket) override {
    uint64_t at = part_.first;
    if (part_.end == part_.blob.size && part_.end > at) {
      const uint64_t open = std::max(at, part_.end - std::min(part_.end, kHeldBackBytes));
      absl::Status sent = co_await sendPart(socket, pool_, file_, at, open);
      if (!sent.ok()) co_return sent;
      at = open;
      if (!isVerified_) {
        sent = co_await waitVerified(socket, at);
        if (!sent.ok()) co_return sent;
      }
      const absl::Status unchanged = file_->checkUnchanged();
      if (!unchanged.ok()) {
        reading_->foundBad(unchanged);
        co_return unchanged;
      }
    }
    co_return co_await sendPart(socket, pool_, file_, at, part_.end);
  }

 private:
  asio::awaitable<absl::Status> waitVerified(tcp::socket& socket, uint64_t& at) {
    const Tick tick = [&]() -> asio::awaitable<absl::Status> {
      if (at + 1 >= part_.end) co_return absl::OkStatus();
      const absl::Status sent = co_await sendPart(socket, pool_, file_, at, at + 1);
      ++at;
      co_return sent;
    };
    const BlobReading::Piece verified = co_await whenVerified(*reading_, tick);
    co_return verified.status();
  }

 private:
  const BlobPart part_;
  const std::shared_ptr<const LocalBlob> file_;
  const bool isVerified_;
  const std::shared_ptr<BlobReading> reading_;
  WorkPool& pool_;
};

class ArrivingBody final : public BodyStream {
 public:
  ArrivingBody(BlobPart part, std::shared_ptr<BlobReading> reading, WorkPool& pool)
      : part_(part), reading_(std::move(reading)), pool_(pool), at_(part.first) {}

  asio::awaitable<absl::Status> send(tcp::socket& socket) override {
    uint64_t next = part_.first;  // bytes before it are sent or held
    int misses = 0;
    const Tick tick = trickle(socket);
    while (next < part_.end) {
      const uint64_t index = next / kPieceBytes;
      const BlobReading::Piece writer = co_await askPiece(*reading_, index, tick);
      if (!writer.ok()) {
        if (absl::IsDataLoss(writer.status())) co_await poison(*reading_);
        co_return writer.status();
      }
      if (*writer == nullptr) break;  // all of it is here
      const auto piece = co_await readPiece(pool_, *writer, index);
      if (!piece && ++misses > kMissesMax) co_return unreadable();
      if (!piece) continue;  // the fetch began again: the piece will come
      misses = 0;
      sentHashes_[index] = pieceHash(piece->span());
      const uint64_t start = index * kPieceBytes;
      const uint64_t end = std::min(part_.end, start + piece->size);
      const absl::Span<const uint8_t> fresh = piece->span().subspan(next - start, end - next);
      next = end;
      // One byte, by which clients learn the size, completes nothing and is a prefix of nothing.
      const bool probe = part_.first == 0 && part_.end == 1;
      const absl::Status sent = co_await sendAllBut(socket, fresh, probe ? 0 : kHeldBackBytes);
      if (!sent.ok() || probe) co_return sent;
    }
    co_return co_await finish(socket);
  }

 private:
  // Sends what is held and then `fresh`, but for the last `keep` bytes, which are held.
  asio::awaitable<absl::Status> sendAllBut(tcp::socket& socket, absl::Span<const uint8_t> fresh,
                                           uint64_t keep) {
    const size_t all = held_.size() + fresh.size();
    const size_t count = all - std::min<size_t>(all, keep);
    const size_t ofHeld = std::min(count, held_.size());
    const size_t ofFresh = count - ofHeld;
    absl::Status sent;
    if (count > 0) {
      const absl::Span<const uint8_t> first(held_.data(), ofHeld);
      sent = co_await write(socket, first, fresh.first(ofFresh));
      at_ += count;
      silentTicks_ = 0;
    }
    held_.erase(held_.begin(), held_.begin() + static_cast<ptrdiff_t>(ofHeld));
    held_.insert(held_.end(), fresh.begin() + static_cast<ptrdiff_t>(ofFresh), fresh.end());
    co_return sent;
  }

  Tick trickle(tcp::socket& socket) {
    return [this, &socket]() -> asio::awaitable<absl::Status> {
      if (held_.size() > 1) co_return co_await sendAllBut(socket, {}, held_.size() - 1);
      if (++silentTicks_ * kTrickle < kSilenceMax) co_return absl::OkStatus();
      co_return tooSilent();
    };
  }

  // The rest, once the whole is known to be right and what was sent agrees with it.
  asio::awaitable<absl::Status> finish(tcp::socket& socket) {
    const Tick tick = trickle(socket);
    const BlobReading::Piece verified = co_await whenVerified(*reading_, tick);
    if (!verified.ok()) co_return verified.status();
    // What went out may be of an attempt before the one that was right. XXH3s do not tell: who
    // sends wrong bytes can make them equal.
    if (reading_->begunAgain()) co_return co_await wrong();
    const uint64_t heldEnd = at_ + held_.size();
    if (*verified != nullptr && heldEnd == part_.end) {
      if (!agrees((*verified)->pieceHashes())) co_return co_await wrong();
      co_return co_await sendAllBut(socket, {}, 0);
    }
    const std::shared_ptr<const LocalBlob> file = co_await openPublished(*reading_);
    if (file == nullptr) co_return deleted();
    if (!co_await sentIsRight(file)) co_return co_await wrong();
    held_.clear();
    co_return co_await sendPart(socket, pool_, file, at_, part_.end);
  }

  asio::awaitable<absl::Status> wrong() {
    co_await poison(*reading_);
    co_return absl::DataLossError("wrong bytes were sent before the hash was known");
  }

  bool agrees(const std::vector<PieceHash>& known) const {
    return std::all_of(sentHashes_.begin(), sentHashes_.end(), [&](const auto& sent) {
      return sent.first < known.size() && known[sent.first] == sent.second;
    });
  }

  asio::awaitable<bool> sentIsRight(std::shared_ptr<const LocalBlob> file) {
    if (sentHashes_.empty()) co_return true;
    if (const std::vector<PieceHash>* known = file->pieces()) co_return agrees(*known);
    // No list of hashes: the file itself.
    const std::function<void(std::function<void(bool)>)> start =
        [this, file](std::function<void(bool)> done) {
          (void)pool_.submit({"endpoint read", WorkPriority::kReaderWaits, ""},
                             [file, sent = sentHashes_, done] {
                               Bytes bytes;
                               for (const auto& [index, hash] : sent) {
                                 bytes.resize(pieceBytes(file->blob().size, index));
                                 if (!file->read(index * kPieceBytes, absl::MakeSpan(bytes)).ok() ||
                                     pieceHash(bytes) != hash) {
                                   return done(false);
                                 }
                               }
                               done(true);
                             });
        };
    co_return co_await awaitCallback<bool>(start, false);
  }

  const BlobPart part_;
  const std::shared_ptr<BlobReading> reading_;
  WorkPool& pool_;
  uint64_t at_;          // what was sent ends here; held_ begins here
  int silentTicks_ = 0;  // since the last byte
  Bytes held_;           // at most kHeldBackBytes
  std::map<uint64_t, PieceHash> sentHashes_;
};

class InnerBody final : public BodyStream {
 public:
  InnerBody(BlobPart part, std::shared_ptr<BlobReading> reading, BlobReading::PieceList list,
            WorkPool& pool)
      : part_(part), reading_(std::move(reading)), list_(std::move(list)), pool_(pool) {}

  asio::awaitable<absl::Status> send(tcp::socket& socket) override {
    uint64_t at = part_.first;
    int misses = 0;
    while (at < part_.end) {
      const uint64_t index = at / kPieceBytes;
      const absl::Time since = absl::Now();
      const Tick tick = [since]() -> asio::awaitable<absl::Status> {
        if (absl::Now() - since < kSilenceMax) co_return absl::OkStatus();
        co_return tooSilent();
      };
      const BlobReading::Piece writer = co_await askPiece(*reading_, index, tick);
      if (!writer.ok()) co_return writer.status();
      if (*writer == nullptr) co_return co_await sendPublished(socket, at);
      const auto piece = co_await readPiece(pool_, *writer, index);
      if (!piece && ++misses > kMissesMax) co_return unreadable();
      if (!piece) continue;  // the fetch began again: the piece will come
      misses = 0;
      if (pieceHash(piece->span()) != (*list_)[index]) {
        co_return absl::DataLossError("a piece that arrived is not what the holder verified");
      }
      const uint64_t start = index * kPieceBytes;
      const uint64_t end = std::min(part_.end, start + piece->size);
      const absl::Span<const uint8_t> wanted = piece->span().subspan(at - start, end - at);
      const absl::Status sent = co_await write(socket, wanted);
      if (!sent.ok()) co_return sent;
      at = end;
    }
    co_return absl::OkStatus();
  }

 private:
  asio::awaitable<absl::Status> sendPublished(tcp::socket& socket, uint64_t at) {
    const std::shared_ptr<const LocalBlob> file = co_await openPublished(*reading_);
    if (file == nullptr) co_return deleted();
    co_return co_await sendPart(socket, pool_, file, at, part_.end);
  }

  const BlobPart part_;
  const std::shared_ptr<BlobReading> reading_;
  const BlobReading::PieceList list_;
  WorkPool& pool_;
};

}  // namespace

std::shared_ptr<BodyStream> innerBody(BlobPart part, std::shared_ptr<BlobReading> reading,
                                      BlobReading::PieceList list, WorkPool& pool) {
  return std::make_shared<InnerBody>(part, std::move(reading), std::move(list), pool);
}

asio::awaitable<bool> hasRightPiece(std::shared_ptr<const BlobWriter> writer, uint64_t piece,
                                    BlobReading::PieceList list, WorkPool& pool) {
  const auto bytes = co_await readPiece(pool, std::move(writer), piece);
  co_return bytes != nullptr&& piece < list->size() && pieceHash(bytes->span()) == (*list)[piece];
}

std::shared_ptr<BodyStream> localBody(BlobPart part, std::shared_ptr<const LocalBlob> file,
                                      bool isVerified, std::shared_ptr<BlobReading> reading,
                                      WorkPool& pool) {
  return std::make_shared<LocalBody>(part, std::move(file), isVerified, std::move(reading), pool);
}

std::shared_ptr<BodyStream> arrivingBody(BlobPart part, std::shared_ptr<BlobReading> reading,
                                         WorkPool& pool) {
  return std::make_shared<ArrivingBody>(part, std::move(reading), pool);
}

}  // namespace roost
