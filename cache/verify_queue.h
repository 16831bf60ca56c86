// Which copies are to be hashed next: what somebody waits for first, then what was never checked,
// then what was checked before; the smallest first, so that many blobs are soon known. A copy can
// have a time before which it is not given out, unless somebody waits for it.
//
// Threads: one. Never blocks.
#ifndef ROOST_CACHE_VERIFY_QUEUE_H_
#define ROOST_CACHE_VERIFY_QUEUE_H_

#include <cstdint>
#include <optional>
#include <set>
#include <tuple>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"

namespace roost {

// One place where content lies. Never reused within a process.
enum class CopyId : uint64_t {};

enum class VerifyUrgency : uint8_t { kRequested, kUnverified, kRecheck };

class VerifyQueue {
 public:
  // Adds, or changes what is said of it. Also of a copy that next() gave out: then it will be given
  // out again.
  void put(CopyId copy, VerifyUrgency urgency, uint64_t bytes,
           absl::Time from = absl::InfinitePast());
  // Makes a waiting copy more urgent.
  void request(CopyId copy);
  void remove(CopyId copy);
  // The most urgent one; it leaves the queue, and counts as left to check until done().
  std::optional<CopyId> next(absl::Time now);
  void done(CopyId copy);

  // Bytes of copies that were never checked: still to do, and since the queue was last empty.
  uint64_t bytesLeft() const { return bytesLeft_; }
  uint64_t bytesTotal() const { return bytesTotal_; }

 private:
  struct Entry {
    VerifyUrgency urgency;
    uint64_t bytes;
    absl::Time from;
    bool waiting;  // false: given out by next()
    bool counted;  // in bytesLeft_
  };
  using Key = std::tuple<VerifyUrgency, uint64_t, CopyId>;
  void line(CopyId copy, const Entry& entry);
  void unline(CopyId copy, const Entry& entry);
  void release(CopyId copy, Entry& entry, VerifyUrgency urgency);  // it waits for no time any more
  void forget(absl::flat_hash_map<CopyId, Entry>::iterator entry);

  absl::flat_hash_map<CopyId, Entry> entries_;
  std::set<Key> order_;                            // those whose time has come
  std::set<std::pair<absl::Time, CopyId>> later_;  // the other waiting ones
  uint64_t bytesLeft_ = 0;
  uint64_t bytesTotal_ = 0;
};

}  // namespace roost

#endif  // ROOST_CACHE_VERIFY_QUEUE_H_
