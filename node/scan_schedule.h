// When which repo folder is scanned. Decides only; FolderScans do it.
//
// A burst of changes is one scan, kScanDebounce after the first. A repo that this node fills, whose
// blobs are told without a scan, is scanned a fifth of the time at most: after a scan that took t
// the next change waits until 4 t later. What others write there is told by scans only: where a
// fifth would mean to wait for more than 250 ms the pause is 250 ms, or as long as the scan.
// Who waits for a scan (publish) has it at once. A scan that begins answers for everything before
// it, so nothing is scanned twice for one change.
//
// Threads: one. No clock, no I/O: the caller says what time it is.
#ifndef ROOST_NODE_SCAN_SCHEDULE_H_
#define ROOST_NODE_SCAN_SCHEDULE_H_

#include <chrono>
#include <cstddef>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "cache/inventory.h"

namespace roost {

// A repo's folder in one root.
using RepoPlace = std::pair<RootIndex, RepoId>;

// Clients rename and link in bursts.
inline constexpr std::chrono::milliseconds kScanDebounce(30);

class ScanSchedule {
 public:
  using Clock = std::chrono::steady_clock;

  // Something changed there.
  void changed(const RepoPlace& place, Clock::time_point now);
  // Something changed there, and was told already.
  void filled(const RepoPlace& place, Clock::time_point now);
  // A scan is needed that begins from here on, without delay.
  void asked(const RepoPlace& place);
  // The next scan to begin, if one is due and not too many run; it runs until ended().
  std::optional<RepoPlace> begin(Clock::time_point now);
  // `took`: without the time it waited for threads.
  void ended(const RepoPlace& place, Clock::time_point now, Clock::duration took);
  // Its folder is gone. What changed there meanwhile is still scanned.
  void gone(const RepoPlace& place);

  // What takes long takes a fifth of the time at most.
  static Clock::duration pauseAfter(Clock::duration took);

  bool knows(const RepoPlace& place) const { return places_.contains(place); }
  // Nothing runs, and nothing waits but for its time.
  bool idle() const { return running_ == 0 && queue_.empty(); }
  // When begin() may have something that it has not now; none if only ended() can bring it.
  std::optional<Clock::time_point> nextDue() const;

 private:
  struct Place {
    bool running = false;
    bool queued = false;  // to begin as soon as may be, if it runs: after that
    std::optional<Clock::time_point> due;
    bool filling = false;      // something was filled in since the scan before the last one
    bool filledSince = false;  // … since the last one began
    Clock::time_point lastEnded{};
    Clock::duration lastTook{};
  };
  static Clock::time_point notBefore(const Place& state);
  void setDue(const RepoPlace& place, Place& state, std::optional<Clock::time_point> due);
  void enqueue(const RepoPlace& place, Place& state);

  std::map<RepoPlace, Place> places_;
  std::set<std::pair<Clock::time_point, RepoPlace>> dues_;  // of places that do not run
  std::deque<RepoPlace> queue_;                             // queued, not running
  size_t running_ = 0;
};

}  // namespace roost

#endif  // ROOST_NODE_SCAN_SCHEDULE_H_
