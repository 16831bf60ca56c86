// Bytes over a connected socket, plain or TLS, without ever waiting: what is possible now is done
// now. Who waits, and for how long, is kj_stream's business.
//
// Owns:    its buffers; borrows the file descriptor.
// Threads: one.
// Errors:  kUnavailable; the connection is then of no use any more.
#ifndef ROOST_PROTOCOL_BYTE_CHANNEL_H_
#define ROOST_PROTOCOL_BYTE_CHANNEL_H_

#include <kj/common.h>
#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "protocol/tls_session.h"

namespace roost {

// The rest of a gather list. The pieces, and the array of them, belong to the caller.
class GatherList {
 public:
  using Pieces = kj::ArrayPtr<const kj::ArrayPtr<const kj::byte>>;
  GatherList() = default;
  explicit GatherList(Pieces pieces) : pieces_(pieces) { skipEmpty(); }

  bool empty() const { return index_ == pieces_.size(); }
  bool atLast() const { return index_ + 1 == pieces_.size(); }
  absl::Span<const uint8_t> front() const;  // the rest of the first piece; not when empty
  size_t fill(absl::Span<iovec> vectors, size_t* bytes) const;  // returns how many were filled
  void consume(size_t bytes);

 private:
  void skipEmpty();
  Pieces pieces_;
  size_t index_ = 0;
  size_t offset_ = 0;
};

class ByteChannel {
 public:
  struct Read {
    size_t bytes = 0;
    bool ended = false;
  };
  struct Written {
    bool progressed = false;
    bool done = false;  // the list is empty and everything is with the kernel
  };

  static std::unique_ptr<ByteChannel> plain(int fd);
  static std::unique_ptr<ByteChannel> tls(int fd, std::unique_ptr<TlsSession> session);
  virtual ~ByteChannel() = default;

  virtual absl::StatusOr<Read> read(absl::Span<uint8_t> to) = 0;
  virtual absl::StatusOr<Written> write(GatherList& from) = 0;
  virtual bool hasOutput() const = 0;  // bytes of its own that write() must bring away
  virtual void prepareEnd() = 0;       // before the sending half is shut down
  virtual void releaseMemory() = 0;    // of buffers that are empty
};

}  // namespace roost

#endif  // ROOST_PROTOCOL_BYTE_CHANNEL_H_
