// A limit of bytes per second that several users share: a bucket of tokens that may be overdrawn.
// Who finds it not in debt goes, whatever the size, and everybody waits until that has been paid
// back. So in any time T no more than rate × (T + kBurst) goes, and one thing more, the last.
//
// It can be changed at any time: debts stay, and are paid at the new rate. No clock of its own.
//
// Threads: any.
#ifndef ROOST_CLUSTER_RATE_LIMIT_H_
#define ROOST_CLUSTER_RATE_LIMIT_H_

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <mutex>
#include <optional>

#include "absl/time/time.h"

namespace roost {

class RateLimit {
 public:
  // What was not used earlier and may go now: long enough for the core's ticks.
  static constexpr absl::Duration kBurst = absl::Milliseconds(200);

  // Bytes per second; 0: no limit.
  explicit RateLimit(uint64_t rate = 0) : rate_(rate) {}

  uint64_t rate() const { return rate_; }
  uint64_t taken() const { return taken_; }  // bytes, while there was a limit
  void set(uint64_t rate, absl::Time now) {
    const std::lock_guard lock(mutex_);
    pay(now);
    if (rate_ == 0) level_ = 0;
    rate_ = rate;
    level_ = std::min(level_, most());
  }

  // Who yields to others goes once in that time all the same, if with so many bytes: each eighth
  // turn where one takes long.
  absl::Duration tricklePeriod(uint64_t bytes) const {
    constexpr absl::Duration kLeast = absl::Seconds(1);
    constexpr double kTurns = 8;
    const uint64_t rate = rate_;
    if (rate == 0) return kLeast;
    return std::max(kLeast,
                    absl::Seconds(kTurns * static_cast<double>(bytes) / static_cast<double>(rate)));
  }

  // How long until something may go; zero: now.
  absl::Duration left(absl::Time now) {
    if (rate_ == 0) return absl::ZeroDuration();
    const std::lock_guard lock(mutex_);
    return leftLocked(now);
  }
  // It goes, and is owed as far as there is not enough.
  void take(uint64_t bytes, absl::Time now) {
    if (rate_ == 0) return;
    const std::lock_guard lock(mutex_);
    pay(now);
    spend(bytes);
  }
  // It goes after the time that is given back. None: that would be longer than `patience`, and
  // nothing was taken.
  std::optional<absl::Duration> takeWithin(uint64_t bytes, absl::Time now,
                                           absl::Duration patience) {
    if (rate_ == 0) return absl::ZeroDuration();
    const std::lock_guard lock(mutex_);
    const absl::Duration wait = leftLocked(now);
    if (wait > patience) return std::nullopt;
    spend(bytes);
    return wait;
  }

 private:
  double most() const { return static_cast<double>(rate_) * absl::ToDoubleSeconds(kBurst); }
  void spend(uint64_t bytes) {
    level_ -= static_cast<double>(bytes);
    taken_ += bytes;
  }
  void pay(absl::Time now) {
    if (now > at_ && at_ != absl::InfinitePast()) {
      level_ += static_cast<double>(rate_) * absl::ToDoubleSeconds(now - at_);
      level_ = std::min(level_, most());
    }
    at_ = std::max(at_, now);
  }
  absl::Duration leftLocked(absl::Time now) {
    pay(now);
    const uint64_t rate = rate_;
    if (level_ >= 0 || rate == 0) return absl::ZeroDuration();
    // Rounded up, so that who waits so long need not wait again.
    return absl::Seconds(-level_ / static_cast<double>(rate)) + absl::Microseconds(1);
  }

  std::mutex mutex_;
  std::atomic<uint64_t> rate_;
  std::atomic<uint64_t> taken_{0};
  double level_ = 0;  // bytes; below 0: a debt
  absl::Time at_ = absl::InfinitePast();
};

}  // namespace roost

#endif  // ROOST_CLUSTER_RATE_LIMIT_H_
