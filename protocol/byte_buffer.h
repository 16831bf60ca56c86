// A first-in-first-out of bytes with a fixed capacity. Its memory is allocated on first use and
// given back by releaseIfEmpty().
//
// Threads: one. Bytes are appended at space() and taken from bytes().
#ifndef ROOST_PROTOCOL_BYTE_BUFFER_H_
#define ROOST_PROTOCOL_BYTE_BUFFER_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>

#include "absl/types/span.h"

namespace roost {

class ByteBuffer {
 public:
  explicit ByteBuffer(size_t capacity) : capacity_(capacity) {}

  bool empty() const { return begin_ == end_; }
  size_t size() const { return end_ - begin_; }
  absl::Span<const uint8_t> bytes() const { return {memory_.get() + begin_, size()}; }

  // Everything that is free, in one piece; allocates on first use.
  absl::Span<uint8_t> space() {
    if (memory_ == nullptr) memory_ = std::make_unique_for_overwrite<uint8_t[]>(capacity_);
    if (begin_ > 0) {
      std::memmove(memory_.get(), memory_.get() + begin_, size());
      end_ -= begin_;
      begin_ = 0;
    }
    return {memory_.get() + end_, capacity_ - end_};
  }
  void filled(size_t bytes) { end_ += bytes; }  // of space()

  void consume(size_t bytes) {
    begin_ += bytes;
    if (empty()) begin_ = end_ = 0;
  }

  // Copies the first bytes into `to` and consumes them; returns how many.
  size_t takeInto(absl::Span<uint8_t> to) {
    const size_t taken = std::min(size(), to.size());
    if (taken > 0) std::memcpy(to.data(), memory_.get() + begin_, taken);
    consume(taken);
    return taken;
  }

  void releaseIfEmpty() {
    if (empty()) memory_.reset();
  }

 private:
  size_t capacity_;
  size_t begin_ = 0;
  size_t end_ = 0;
  std::unique_ptr<uint8_t[]> memory_;
};

}  // namespace roost

#endif  // ROOST_PROTOCOL_BYTE_BUFFER_H_
