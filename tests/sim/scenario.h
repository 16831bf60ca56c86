// One random story in the imagined cluster, told by its seed: what is where, who wants it, and what
// goes wrong meanwhile; and the rules that must hold however it goes.
//
// Threads: one.
#ifndef ROOST_TESTS_SIM_SCENARIO_H_
#define ROOST_TESTS_SIM_SCENARIO_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace roost::sim {

struct ScenarioResult {
  std::vector<std::string> broken;  // rules that did not hold
  std::string story;                // what happened, a line each
  uint64_t events = 0;
};

// `faults`: links, nodes, disks and sources fail; without, all must go perfectly.
ScenarioResult runScenario(uint64_t seed, size_t nodes, bool faults);

}  // namespace roost::sim

#endif  // ROOST_TESTS_SIM_SCENARIO_H_
