#include "node/endpoint/kept_body.h"

#include <utility>

#include "protocol/limits.h"

namespace roost {

KeptBody::KeptBody(WorkPool& pool, std::string share, Open open, Done done)
    : pool_(pool), share_(std::move(share)), open_(std::move(open)), done_(std::move(done)) {}

KeptBody::~KeptBody() {
  if (!writer_) return;
  // Removing the temporary is the disk's work; a pool that takes no more jobs is one that stops.
  (void)pool_.submit({"drop body", WorkPriority::kNormal, share_},
                     [writer = std::move(writer_)]() mutable { writer.reset(); });
}

bool KeptBody::put(absl::string_view bytes) {
  const std::lock_guard lock(mutex_);
  if (over_) return true;
  waiting_.emplace_back(bytes);
  waitingBytes_ += bytes.size();
  workLocked();
  return over_ || waitingBytes_ < kKeptWaitingBytesMax;
}

void KeptBody::whenRoom(std::function<void(bool)> call) {
  {
    const std::lock_guard lock(mutex_);
    if (!over_ && waitingBytes_ >= kKeptWaitingBytesMax) {
      whenRoom_ = std::move(call);
      return;
    }
  }
  call(true);
}

void KeptBody::end() {
  const std::lock_guard lock(mutex_);
  if (over_) return;
  ended_ = true;
  workLocked();
}

// Under the lock.
void KeptBody::workLocked() {
  if (working_ || over_) return;
  const absl::Status submitted = pool_.submit({"keep body", WorkPriority::kNormal, share_},
                                              [self = shared_from_this()] { self->work(); });
  working_ = submitted.ok();
  over_ = !submitted.ok();  // too much to do: the client's bytes are what counts
  if (over_) waiting_.clear();
}

// One batch a job, so that a long body does not hold a thread.
void KeptBody::work() {
  std::vector<std::string> chunks;
  bool last = false;
  {
    const std::lock_guard lock(mutex_);
    chunks.swap(waiting_);
    last = ended_;
  }
  if (const absl::Status written = write(chunks); !written.ok()) return fail(written);
  size_t bytes = 0;
  for (const std::string& chunk : chunks) bytes += chunk.size();
  std::function<void(bool)> whenRoom;
  {
    const std::lock_guard lock(mutex_);
    waitingBytes_ -= bytes;
    if (waitingBytes_ < kKeptWaitingBytesMax) whenRoom = std::exchange(whenRoom_, nullptr);
    working_ = false;
    // What came meanwhile, or an end that did.
    if (!last && (!waiting_.empty() || ended_)) workLocked();
    over_ = over_ || last;
  }
  if (whenRoom) whenRoom(true);
  if (!last) return;
  absl::StatusOr<UnnamedWriter::Written> kept = writer_->publish();
  writer_ = nullptr;
  done_(std::move(kept));
}

absl::Status KeptBody::write(const std::vector<std::string>& chunks) {
  if (!writer_) {
    auto opened = open_();
    if (!opened.ok()) return opened.status();
    writer_ = *std::move(opened);
  }
  for (const std::string& chunk : chunks) {
    const absl::Span<const uint8_t> bytes(reinterpret_cast<const uint8_t*>(chunk.data()),
                                          chunk.size());
    if (absl::Status status = writer_->write(bytes); !status.ok()) return status;
  }
  return absl::OkStatus();
}

void KeptBody::fail(const absl::Status& why) {
  writer_ = nullptr;
  std::function<void(bool)> whenRoom;
  {
    const std::lock_guard lock(mutex_);
    over_ = true;
    working_ = false;
    waiting_.clear();
    whenRoom = std::exchange(whenRoom_, nullptr);
  }
  if (whenRoom) whenRoom(true);
  done_(why);
}

}  // namespace roost
