#include "node/scan_schedule.h"

#include <algorithm>
#include <utility>

namespace roost {
namespace {

constexpr size_t kScansMax = 4;
constexpr int kPauseShare = 4;  // pauses are this many times as long as the scan before
// Others' blobs are to be known within a second, also where a scan takes 0.3 s.
constexpr std::chrono::milliseconds kOthersPause(250);
// One scan that was stuck, on a mount that was away, must not silence its repo for an hour.
constexpr std::chrono::seconds kPauseMax(20);

}  // namespace

ScanSchedule::Clock::duration ScanSchedule::pauseAfter(Clock::duration took) {
  return std::min<Clock::duration>(kPauseShare * took, kPauseMax);
}

ScanSchedule::Clock::time_point ScanSchedule::notBefore(const Place& state) {
  Clock::duration pause = pauseAfter(state.lastTook);
  if (!state.filling && !state.filledSince) {
    pause = std::min(pause, std::max<Clock::duration>(state.lastTook, kOthersPause));
  }
  return state.lastEnded + pause;
}

void ScanSchedule::changed(const RepoPlace& place, Clock::time_point now) {
  Place& state = places_[place];
  if (state.queued || state.due) return;
  setDue(place, state, std::max<Clock::time_point>(now + kScanDebounce, notBefore(state)));
}

void ScanSchedule::filled(const RepoPlace& place, Clock::time_point now) {
  places_[place].filledSince = true;
  changed(place, now);
}

void ScanSchedule::asked(const RepoPlace& place) {
  Place& state = places_[place];
  if (!state.queued) enqueue(place, state);
}

std::optional<RepoPlace> ScanSchedule::begin(Clock::time_point now) {
  while (!dues_.empty() && dues_.begin()->first <= now) {
    const RepoPlace place = dues_.begin()->second;
    enqueue(place, places_[place]);
  }
  if (running_ >= kScansMax || queue_.empty()) return std::nullopt;
  const RepoPlace place = queue_.front();
  queue_.pop_front();
  Place& state = places_[place];
  state.queued = false;
  state.running = true;
  state.filling = std::exchange(state.filledSince, false);
  ++running_;
  return place;
}

void ScanSchedule::ended(const RepoPlace& place, Clock::time_point now, Clock::duration took) {
  Place& state = places_[place];
  state.running = false;
  --running_;
  state.lastEnded = now;
  state.lastTook = took;
  if (state.queued) {
    queue_.push_back(place);
  } else if (state.due) {
    setDue(place, state, std::max(*state.due, notBefore(state)));
  }
}

void ScanSchedule::gone(const RepoPlace& place) {
  const auto found = places_.find(place);
  if (found == places_.end()) return;
  const Place& state = found->second;
  if (!state.running && !state.queued && !state.due) places_.erase(found);
}

std::optional<ScanSchedule::Clock::time_point> ScanSchedule::nextDue() const {
  if (dues_.empty()) return std::nullopt;
  return dues_.begin()->first;
}

void ScanSchedule::setDue(const RepoPlace& place, Place& state,
                          std::optional<Clock::time_point> due) {
  if (state.due) dues_.erase({*state.due, place});
  state.due = due;
  if (due && !state.running) dues_.insert({*due, place});
}

// A scan that begins answers for what changed before.
void ScanSchedule::enqueue(const RepoPlace& place, Place& state) {
  setDue(place, state, std::nullopt);
  state.queued = true;
  if (!state.running) queue_.push_back(place);
}

}  // namespace roost
