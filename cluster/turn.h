// What the parts of the core share while one event is applied: the time, the effects so far, and
// the calls that wait for an answer.
//
// Threads: one (the core's). A Turn lives for one Core::on().
#ifndef ROOST_CLUSTER_TURN_H_
#define ROOST_CLUSTER_TURN_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"
#include "cluster/core.h"

namespace roost {

// Which part a call's answer goes to.
enum class CallPurpose : uint8_t { kHeartbeat, kMembers, kFollow, kWant, kObtain, kProgress };

struct PendingCall {
  CallPurpose purpose;
  NodeId peer;
  uint64_t tag;  // the caller's own, such as a job id
  absl::Time sentAt;
};

// The calls under way. Every Call is answered, if only by kUnavailable, so this stays as small as
// what the callers have outstanding.
class CallBook {
 public:
  CallId start(const PendingCall& call) {
    const CallId id{next_++};
    pending_.emplace(id, call);
    return id;
  }
  std::optional<PendingCall> end(CallId id) {
    const auto it = pending_.find(id);
    if (it == pending_.end()) return std::nullopt;
    PendingCall call = it->second;
    pending_.erase(it);
    return call;
  }
  size_t size() const { return pending_.size(); }

 private:
  uint64_t next_ = 1;
  absl::flat_hash_map<CallId, PendingCall> pending_;
};

class Turn {
 public:
  Turn(absl::Time now, CallBook& calls) : now_(now), calls_(calls) {}

  absl::Time now() const { return now_; }
  void emit(Effect effect) { effects_.push_back(std::move(effect)); }
  void warn(std::string text) { emit(Report{Report::Level::kWarning, std::move(text)}); }
  void inform(std::string text) { emit(Report{Report::Level::kInfo, std::move(text)}); }

  CallId call(const NodeId& peer, Request request, CallPurpose purpose, uint64_t tag = 0) {
    const CallId id = calls_.start({purpose, peer, tag, now_});
    emit(Call{peer, id, std::move(request)});
    return id;
  }

  Effects take() { return std::move(effects_); }

 private:
  const absl::Time now_;
  CallBook& calls_;
  Effects effects_;
};

}  // namespace roost

#endif  // ROOST_CLUSTER_TURN_H_
