// Many random stories. `--seed N` tells one of them again, with what happened in it.
#include "tests/sim/scenario.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"

namespace roost::sim {
namespace {

constexpr size_t kNodes = 8;
constexpr uint64_t kCalmSeeds = 60;
constexpr uint64_t kFaultSeeds = 240;

std::optional<uint64_t> onlySeed;
uint64_t seedsWanted = 0;  // 0: the usual number

void tellAll(uint64_t count, bool faults) {
  const uint64_t first = onlySeed.value_or(1);
  const uint64_t last = onlySeed.value_or(seedsWanted != 0 ? seedsWanted : count);
  for (uint64_t seed = first; seed <= last; ++seed) {
    const ScenarioResult result = runScenario(seed, kNodes, faults);
    if (onlySeed) printf("%s", result.story.c_str());
    for (const std::string& broken : result.broken) {
      ADD_FAILURE() << broken << "\nreplay: sim_scenario_test --seed " << seed
                    << " --gtest_filter=Scenario." << (faults ? "Faults" : "Calm") << "\n"
                    << result.story;
    }
  }
}

TEST(Scenario, Calm) {
  tellAll(kCalmSeeds, false);
}

TEST(Scenario, Faults) {
  tellAll(kFaultSeeds, true);
}

}  // namespace
}  // namespace roost::sim

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  for (int i = 1; i + 1 < argc; ++i) {
    uint64_t number = 0;
    if (!absl::SimpleAtoi(argv[i + 1], &number)) continue;
    if (absl::string_view(argv[i]) == "--seed") roost::sim::onlySeed = number;
    if (absl::string_view(argv[i]) == "--seeds") roost::sim::seedsWanted = number;
  }
  return RUN_ALL_TESTS();
}
