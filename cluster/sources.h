// The nodes that one fetch has to do with: what they are to it, how fast they were, and how they
// failed.
//
// Threads: one (the core's). Entries keep their place for the life of the fetch, so that an index
// names a sender for ever.
#ifndef ROOST_CLUSTER_SOURCES_H_
#define ROOST_CLUSTER_SOURCES_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "absl/time/time.h"
#include "protocol/limits.h"
#include "protocol/node_id.h"
#include "protocol/piece_map.h"

namespace roost {

// How fast something comes while it is waited for. What is long ago counts less and less.
class Pace {
 public:
  void began(absl::Time now) {
    if (waiting_++ == 0) since_ = now;
  }
  void ended(absl::Time now, uint64_t delivered) {
    settle(now);
    --waiting_;
    bytes_ += static_cast<double>(delivered);
  }
  // Nothing may be asked for, because it said so: that is waiting, too.
  void idled(absl::Duration time) {
    if (waiting_ == 0) seconds_ += absl::ToDoubleSeconds(time);
  }
  void restart(absl::Time now) {
    since_ = now;
    bytes_ = seconds_ = 0;
  }
  double bytes() const { return bytes_; }
  double seconds(absl::Time now) {
    settle(now);
    return seconds_;
  }

 private:
  void settle(absl::Time now) {
    constexpr double kMemory = 8;  // seconds
    if (waiting_ > 0) {
      seconds_ += absl::ToDoubleSeconds(now - since_);
      since_ = now;
    }
    if (seconds_ < kMemory) return;
    seconds_ /= 2;
    bytes_ /= 2;
  }

  int waiting_ = 0;
  absl::Time since_;
  double bytes_ = 0;
  double seconds_ = 0;
};

struct Source {
  static constexpr int kFirstWindow = 1;

  NodeId node;
  bool complete = false;     // a holder
  bool unverified = false;   // a holder that has not hashed it
  bool wanter = false;       // has it in part
  bool leaseholder = false;  // downloads it from the hub
  PieceMap known;            // of a wanter: pieces that it has, as far as is known
  uint64_t knownScan = 0;    // of these, none before it is needed
  bool dead = false;         // proved useless or wrong for this fetch
  int failures = 0;          // in a row
  int refusals = 0;          // notMine in a row
  int inFlight = 0;
  int window = kFirstWindow;  // reads that may be under way at once; grows with each that lands
  uint64_t bytes = 0;         // received from it
  uint64_t scan = 0;          // where chooseAny goes on
  bool scanned = false;       // was asked for every piece
  double rate = 0;            // bytes per second; 0: unknown
  absl::Duration least = absl::InfiniteDuration();  // that a read took
  // How long a read takes from asking to landing: what waits at a loaded source counts, so this and
  // not the rate says when a read is late.
  absl::Duration usual = absl::ZeroDuration();
  int samples = 0;
  Pace pace;
  bool slow = false;  // a wanter that falls behind: others share its stripe
  absl::Time coolUntil = absl::InfinitePast();
  absl::Time refusedSince = absl::InfinitePast();
  absl::Time lastDone = absl::InfinitePast();

  // Some bytes came of a read asked at `askedAt`: with several under way, the time that counts is
  // since the one before.
  void delivered(uint64_t count, absl::Time askedAt, absl::Time now) {
    const double seconds = absl::ToDoubleSeconds(now - std::max(askedAt, lastDone));
    const absl::Duration took = now - askedAt;
    usual = samples++ == 0 ? took : usual + (took - usual) / 4;
    lastDone = now;
    failures = refusals = 0;
    bytes += count;
    // The mean is of the times: several that land at once would be infinitely fast.
    const double each = seconds / static_cast<double>(count);
    rate = 1 / std::max(1e-12, rate == 0 ? each : 0.8 / rate + 0.2 * each);
    least = std::min(least, took);
    window = std::min(window + 1, enough());
  }

  // Reads that keep the link busy: twice what is under way when nothing queues, rate × least round
  // trip (as BBR, Cardwell et al., ACM Queue 14-5), and one more. What is asked for beyond that
  // waits in a queue, where it only delays others.
  int enough() const {
    constexpr absl::Duration kShortest = absl::Milliseconds(50);  // a busy machine answers late
    constexpr absl::Duration kLongest = absl::Milliseconds(400);  // what queued itself is no way
    // Nearer than that a window fills 800 MB/s, and more would only leave the CPU's cache.
    constexpr absl::Duration kFar = absl::Milliseconds(10);
    const double horizon = absl::ToDoubleSeconds(std::clamp(2 * least, kShortest, kLongest));
    const double pieces = rate * horizon / static_cast<double>(kPieceBytes);
    constexpr double kLeast = 2;  // one comes while the next is asked for
    const int most = least < kFar ? kReadWindow : kReadWindowFar;
    return static_cast<int>(std::clamp<double>(pieces + 1, kLeast, most));
  }

  // How long a further read may take.
  absl::Duration deadline() const {
    constexpr absl::Duration kUnknown = absl::Seconds(15);
    constexpr absl::Duration kLongest = absl::Minutes(2);
    const int patience = 1 << std::min(failures, 3);
    constexpr int kSamplesMin = 2 * kReadWindow;  // the first reads find an empty queue
    if (samples < kSamplesMin) return kUnknown * patience;
    return std::clamp(usual * 4 * patience, kReadDeadlineMin, kLongest);
  }

  // So often in a row that others should be asked too.
  bool failing() const {
    constexpr int kFailuresMin = 3;
    return failures >= kFailuresMin;
  }

  void failed(absl::Time now, bool refusedConnection) {
    constexpr int kFailuresMax = 8;
    if (now < coolUntil) return;  // one cause, many reads
    ++failures;
    // What it could not send in time it may send all the same, so asking for as much again would
    // only make it later.
    window = std::max(1, window / 2);
    if (refusedConnection && failures >= kFailuresMax) dead = true;  // a slow one is none
    coolUntil = now + absl::Milliseconds(100) * (int64_t{1} << std::min(failures, 5));
  }

  // It is there, and has as much to send as it may. Says whether that is news.
  bool busy(absl::Time now) {
    if (now < coolUntil) return false;
    window = std::max(1, window / 2);
    coolUntil = now + kBusyPause;
    pace.idled(kBusyPause);
    return true;
  }

  void refused(absl::Time now) {
    if (refusals++ == 0) refusedSince = now;
    coolUntil = now + absl::Milliseconds(100);
  }
  // Refuses whatever it is asked for: its stripe has to come from elsewhere.
  bool stubborn(absl::Time now) const {
    return refusals > 0 && now - refusedSince > absl::Seconds(2);
  }
};

class Sources {
 public:
  using Index = uint16_t;
  static constexpr size_t kMax = 4'096;  // more never matter to one fetch

  std::optional<Index> find(const NodeId& node) const {
    for (size_t i = 0; i < list_.size(); ++i) {
      if (list_[i].node == node) return static_cast<Index>(i);
    }
    return std::nullopt;
  }
  std::optional<Index> findOrAdd(const NodeId& node) {
    if (const auto index = find(node)) return index;
    if (list_.size() >= kMax) return std::nullopt;
    list_.push_back(Source{node});
    return static_cast<Index>(list_.size() - 1);
  }
  Source& operator[](Index index) { return list_[index]; }
  const Source& operator[](Index index) const { return list_[index]; }
  Index size() const { return static_cast<Index>(list_.size()); }
  std::vector<Source>::iterator begin() { return list_.begin(); }
  std::vector<Source>::iterator end() { return list_.end(); }
  std::vector<Source>::const_iterator begin() const { return list_.begin(); }
  std::vector<Source>::const_iterator end() const { return list_.end(); }

 private:
  std::vector<Source> list_;
};

}  // namespace roost

#endif  // ROOST_CLUSTER_SOURCES_H_
