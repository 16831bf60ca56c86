#include "cluster/planner.h"

#include <algorithm>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "protocol/limits.h"

namespace roost {
namespace {

bool isFar(const PlanInput& input, const PlanHolder& holder) {
  return !input.zone.empty() && holder.zone != input.zone;
}

double fastest(const std::vector<PlanHolder>& holders) {
  double rate = 0;
  for (const PlanHolder& holder : holders) rate = std::max(rate, holder.rate);
  return rate;
}

// Smaller is better; equal ones are equally good.
struct Rank {
  bool draining, failing, unhashed, far;
  friend auto operator<=>(const Rank&, const Rank&) = default;
};
Rank rankOf(const PlanInput& input, const PlanHolder& holder) {
  return {holder.draining, holder.failing, !holder.verified, isFar(input, holder)};
}

std::optional<Reason> unusable(const PlanHolder& holder) {
  if (holder.distrusted) return Reason{Why::kDistrusted};
  if (holder.useless) return Reason{Why::kUseless};
  if (!holder.reachable) return Reason{Why::kUnreachable};
  return std::nullopt;
}

Reason chosen(const PlanInput& input, const PlanHolder& holder) {
  if (holder.draining) return {Why::kDrainingAlone};
  if (holder.failing) return {Why::kFailing};
  if (!holder.verified) return {Why::kUnhashed};
  if (input.zone.empty()) return {Why::kVerified};
  if (isFar(input, holder)) return {Why::kFarVerified, 0, holder.zone};
  return {Why::kNearVerified, 0, holder.zone};
}

void chooseHolders(const PlanInput& input, bool one, Plan& plan) {
  std::vector<const PlanHolder*> able;
  for (const PlanHolder& holder : input.holders) {
    if (holder.node == input.self) continue;
    if (auto why = unusable(holder)) {
      plan.passed.push_back({holder.node, *std::move(why)});
    } else {
      able.push_back(&holder);
    }
  }
  const double slow = fastest(input.holders) * kSlowShare;
  const auto order = [&](const PlanHolder* holder) {
    const bool isSlow = holder->rate > 0 && holder->rate < slow;
    return std::tuple(rankOf(input, *holder), isSlow, !holder->inUse, holder->draw, holder->node);
  };
  std::sort(able.begin(), able.end(),
            [&](const PlanHolder* a, const PlanHolder* b) { return order(a) < order(b); });
  const auto any = [&](auto is) {
    return std::any_of(able.begin(), able.end(), [&](const PlanHolder* h) { return is(*h); });
  };
  const bool stays = any([](const PlanHolder& h) { return !h.draining; });
  const bool near = any([&](const PlanHolder& h) { return rankOf(input, h) == Rank{}; });
  for (const PlanHolder* holder : able) {
    const auto pass = [&](Reason why) { plan.passed.push_back({holder->node, std::move(why)}); };
    if (holder->draining && stays) {
      pass({Why::kDraining});
    } else if (near && isFar(input, *holder)) {
      pass({Why::kFar, 0, holder->zone});
    } else if (one && !plan.sources.empty() &&
               rankOf(input, *holder) != rankOf(input, *able.front())) {
      pass({Why::kBetterThere});
    } else if (plan.sources.size() == kHoldersAtOnce) {
      pass({Why::kEnough, kHoldersAtOnce});
    } else {
      plan.sources.push_back({holder->node, chosen(input, *holder), true, !holder->verified});
    }
  }
}

// Those who have a part of it, or are about to.
void addWanters(const PlanInput& input, Plan& plan) {
  const bool follows =
      input.leaseholder && *input.leaseholder != input.self && plan.sources.empty();
  if (follows) plan.sources.push_back({*input.leaseholder, {Why::kLeaseholder}, false});
  for (const NodeId& wanter : input.wanters) {
    if (wanter == input.self || (follows && wanter == *input.leaseholder)) continue;
    const bool holds = std::any_of(plan.sources.begin(), plan.sources.end(),
                                   [&](const PlannedSource& s) { return s.node == wanter; });
    if (!holds) plan.sources.push_back({wanter, {Why::kWanter}, false});
  }
}

size_t othersThatWant(const PlanInput& input) {
  return static_cast<size_t>(std::count_if(input.wanters.begin(), input.wanters.end(),
                                           [&](const NodeId& node) { return node != input.self; }));
}

// Why not a swarm; none: a swarm.
std::optional<Reason> againstSwarm(const PlanInput& input, const Plan& plan) {
  if (input.blob.size < kSwarmBlobBytesMin && !input.swarmByOrder) {
    return Reason{Why::kTooSmallForSwarm};
  }
  if (input.blob.size > kSwarmBlobBytesMax) return Reason{Why::kTooLargeForSwarm};
  const size_t wanters = othersThatWant(input) + 1;
  if (wanters < input.swarmNodes) return Reason{Why::kFewWanters, input.swarmNodes};
  if (input.visibility != Visibility::kPublic) return Reason{Why::kNotPublic};
  const bool loose = wanters >= kStripeWantersMax || input.churn * 100 >= wanters * kChurnPercent;
  if (!loose && !input.swarmByOrder) return Reason{Why::kCoordinated, wanters};
  const bool held = std::any_of(plan.sources.begin(), plan.sources.end(), [&](const auto& source) {
    return std::any_of(input.holders.begin(), input.holders.end(),
                       [&](const PlanHolder& h) { return h.node == source.node && h.swarm; });
  });
  if (!held) return Reason{Why::kNoSwarmHolder};
  return std::nullopt;
}

// Nobody has it that can be asked.
void planWithoutHolder(const PlanInput& input, Plan& plan) {
  const size_t others = othersThatWant(input);
  const bool mayAskHub = input.hubAllowed && input.rule != SourceRule::kClusterOnly;
  addWanters(input, plan);
  plan.atOnce = plan.sources.size();
  if (mayAskHub) {
    plan.lane = Lane::kHub;
    plan.reasons = {others > 0 ? Reason{Why::kHubForAll, others + 1} : Reason{Why::kNoHolder}};
  } else if (!plan.sources.empty()) {
    plan.lane = Lane::kStripes;
    plan.reasons = {{Why::kHubForAll, others + 1}};
  } else {
    plan.reasons = {{input.rule == SourceRule::kClusterOnly ? Why::kClusterOnly : Why::kNoHubHere}};
  }
}

}  // namespace

absl::string_view laneName(Lane lane) {
  switch (lane) {
    case Lane::kNone:
      return "none";
    case Lane::kInline:
      return "inline";
    case Lane::kDirect:
      return "direct";
    case Lane::kStripes:
      return "direct-stripes";
    case Lane::kSwarm:
      return "swarm";
    case Lane::kHub:
      return "hub";
  }
  return "none";
}

Plan planOf(const PlanInput& input) {
  Plan plan;
  if (input.here) {
    plan.reasons = {{Why::kHere}};
    return plan;
  }
  if (input.rule == SourceRule::kHubOnly) {
    plan.lane = input.hubAllowed ? Lane::kHub : Lane::kNone;
    plan.reasons = {{input.hubAllowed ? Why::kHubOnly : Why::kNoHubHere}};
    return plan;
  }
  const bool small = input.blob.size <= kInlineBlobBytesMax;
  if (!input.disputed) chooseHolders(input, small, plan);
  if (plan.sources.empty()) {
    planWithoutHolder(input, plan);
    if (input.disputed) plan.reasons.insert(plan.reasons.begin(), {Why::kDisputed});
    return plan;
  }
  plan.atOnce = plan.sources.size();
  if (small) {
    plan.lane = Lane::kInline;
    plan.atOnce = 1;
    plan.reasons = {{Why::kSmall}};
    return plan;
  }
  const size_t others = othersThatWant(input);
  plan.lane = others == 0 ? Lane::kDirect : Lane::kStripes;
  plan.reasons = {others == 0 ? Reason{Why::kAlone} : Reason{Why::kWantedByMany, others + 1}};
  if (input.swarmNodes > 0) {
    if (auto against = againstSwarm(input, plan)) {
      plan.reasons.push_back(*std::move(against));
    } else {
      plan.lane = Lane::kSwarm;
      plan.reasons = {{Why::kWideAndLoose, others + 1}};
    }
  }
  addWanters(input, plan);
  plan.atOnce = plan.sources.size();
  return plan;
}

}  // namespace roost
