#include "tests/sim/flows.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

namespace roost::sim {
namespace {

constexpr double kHardlyAByte = 0.5;
constexpr double kWeightLeast = 0.5, kWeightMost = 2;

}  // namespace

void Flows::setRate(absl::Time now, size_t node, double rate) {
  carry(now);
  rates_[node] = rate;
  share();
}

void Flows::push(absl::Time now, size_t from, size_t to, uint64_t id, uint64_t bytes) {
  carry(now);
  const auto [flow, isNew] = flows_.try_emplace({from, to});
  if (isNew && !starts_(id)) {
    flows_.erase(flow);
  } else {
    flow->second.pieces.push_back({id, static_cast<double>(bytes)});
  }
  share();
}

void Flows::drop(absl::Time now, size_t node) {
  carry(now);
  std::erase_if(flows_, [&](const auto& entry) {
    return entry.first.first == node || entry.first.second == node;
  });
  share();
}

std::vector<uint64_t> Flows::advance(absl::Time now) {
  carry(now);
  share();
  return std::exchange(arrived_, {});
}

void Flows::carry(absl::Time now) {
  const double seconds = absl::ToDoubleSeconds(now - std::exchange(at_, now));
  for (auto it = flows_.begin(); it != flows_.end();) {
    std::deque<Piece>& pieces = it->second.pieces;
    pieces.front().left -= it->second.rate * seconds;
    if (pieces.front().left < kHardlyAByte) {
      arrived_.push_back(pieces.front().id);
      pieces.pop_front();
      while (!pieces.empty() && !starts_(pieces.front().id)) pieces.pop_front();
    }
    it = pieces.empty() ? flows_.erase(it) : std::next(it);
  }
}

double Flows::weightOf(std::pair<size_t, size_t> ends) const {
  const auto second = static_cast<uint64_t>(absl::ToUnixSeconds(at_));
  std::seed_seq seeds{seed_, static_cast<uint64_t>(ends.first), static_cast<uint64_t>(ends.second),
                      second};
  std::minstd_rand random(seeds);
  const double most = std::log(kWeightMost), least = std::log(kWeightLeast);
  return std::exp(std::uniform_real_distribution<double>(least, most)(random));
}

void Flows::share() {
  // A link: node × 2, and one more for what it receives.
  struct Link {
    double left, weights = 0;
  };
  std::map<size_t, Link> links;
  for (auto& [ends, flow] : flows_) {
    flow.settled = false;
    flow.weight = weightOf(ends);
    for (const size_t link : {2 * ends.first, 2 * ends.second + 1}) {
      links.try_emplace(link, Link{rates_.at(link / 2)}).first->second.weights += flow.weight;
    }
  }
  for (size_t open = flows_.size(); open > 0;) {
    auto tightest = links.end();
    double level = std::numeric_limits<double>::infinity();
    for (auto it = links.begin(); it != links.end(); ++it) {
      if (it->second.weights <= 0) continue;
      const double here = std::max(0.0, it->second.left) / it->second.weights;
      if (here < level) {
        level = here;
        tightest = it;
      }
    }
    const size_t full = tightest->first;
    for (auto& [ends, flow] : flows_) {
      const size_t out = 2 * ends.first, in = 2 * ends.second + 1;
      if (flow.settled || (out != full && in != full)) continue;
      flow.settled = true;
      flow.rate = flow.weight * level;
      --open;
      for (const size_t link : {out, in}) {
        links[link].left -= flow.rate;
        links[link].weights -= flow.weight;
      }
    }
    links.erase(full);
  }
  next_ = absl::InfiniteFuture();
  if (flows_.empty() && arrived_.empty()) return;
  // The weights change, and what is on its way at no rate at all is looked at again.
  next_ = arrived_.empty() ? absl::FromUnixSeconds(absl::ToUnixSeconds(at_) + 1) : at_;
  for (const auto& [ends, flow] : flows_) {
    if (flow.rate <= 0) continue;
    next_ = std::min(
        next_, at_ + absl::Seconds(flow.pieces.front().left / flow.rate) + absl::Nanoseconds(1));
  }
}

}  // namespace roost::sim
