// Runs a program of the machine and gives what it prints. It ends, or is ended, in time.
//
// Threads: any; blocking. Errors: kNotFound there is no such program; kDeadlineExceeded; kInternal
// it failed, or prints too much.
#ifndef ROOST_NODE_RUN_PROGRAM_H_
#define ROOST_NODE_RUN_PROGRAM_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace roost {

// The program is looked for in PATH. It reads nothing, and its errors go nowhere.
absl::StatusOr<std::string> runProgram(std::vector<std::string> words, size_t bytesMax,
                                       absl::Duration patience);

}  // namespace roost

#endif  // ROOST_NODE_RUN_PROGRAM_H_
