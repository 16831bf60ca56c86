// What is under way between the imagined nodes, as TCP would carry it: each pair has one connection
// that sends one piece after the other, and all connections share the nodes' links, up and down,
// at the same time. Not evenly: each has a weight that changes every second (max-min fairness by
// progressive filling, Bertsekas and Gallager, Data Networks, 6.5.2).
//
// Threads: one. Everything follows from the seed.
#ifndef ROOST_TESTS_SIM_FLOWS_H_
#define ROOST_TESTS_SIM_FLOWS_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <utility>
#include <vector>

#include "absl/time/time.h"

namespace roost::sim {

class Flows {
 public:
  // Called before something is sent; false: its reader has given it up, it is left out.
  using Starts = std::function<bool(uint64_t id)>;

  Flows(uint64_t seed, Starts starts) : seed_(seed), starts_(std::move(starts)) {}

  // Bytes per second, each way.
  void setRate(absl::Time now, size_t node, double rate);
  void push(absl::Time now, size_t from, size_t to, uint64_t id, uint64_t bytes);
  void drop(absl::Time now, size_t node);  // what it sends, and what is sent to it
  // When advance() has something to do; InfiniteFuture: nothing is under way.
  absl::Time next() const { return next_; }
  // What has arrived by now.
  std::vector<uint64_t> advance(absl::Time now);

 private:
  struct Piece {
    uint64_t id;
    double left;
  };
  struct Flow {
    std::deque<Piece> pieces;
    double weight = 1, rate = 0;
    bool settled = false;  // while rates are shared out
  };
  void carry(absl::Time now);
  void share();  // the links out anew
  double weightOf(std::pair<size_t, size_t> ends) const;

  const uint64_t seed_;
  const Starts starts_;
  std::map<size_t, double> rates_;
  std::map<std::pair<size_t, size_t>, Flow> flows_;
  std::vector<uint64_t> arrived_;
  absl::Time at_ = absl::InfinitePast();
  absl::Time next_ = absl::InfiniteFuture();
};

}  // namespace roost::sim

#endif  // ROOST_TESTS_SIM_FLOWS_H_
