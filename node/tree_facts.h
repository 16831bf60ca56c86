// What of this machine a compile cache depends on, for scopes that are `gathered`: the kind of GPU,
// its driver, CUDA, torch, and the processor's instructions. Read from files and nvidia-smi; no
// program's library is loaded. What cannot be found is the word "none", so that nothing is taken
// for nearly equal.
//
// Threads: any; blocking, nvidia-smi for kTreeAskPatience at most.
#ifndef ROOST_NODE_TREE_FACTS_H_
#define ROOST_NODE_TREE_FACTS_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "node/environment.h"

namespace roost {

// The machine, as tests can imagine it.
struct Machine {
  FileReader read;
  std::function<std::vector<std::string>(const std::string& folder)> names;
  // "9.0, 550.54.15", a line for each GPU.
  std::function<absl::StatusOr<std::string>()> nvidiaSmi;
  Environment environment;
};
Machine thisMachine(Environment environment);

// "cpu=x86_64-0123abcd cuda=12.4.127 driver=550.54.15 gpu=sm_90 torch=2.6.0+cu124". `python` is a
// Python environment, or its site-packages; empty: $VIRTUAL_ENV or $CONDA_PREFIX of the agent.
std::string gatheredScope(const Machine& machine, const std::string& python);

// The scope with its word `gathered`, if it has one, put in words.
std::string withGathered(const std::string& scope, const std::function<std::string()>& gather);

}  // namespace roost

#endif  // ROOST_NODE_TREE_FACTS_H_
