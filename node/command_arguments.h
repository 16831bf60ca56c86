// Arguments of commands (commands.h) that are texts.
//
// Threads: any (pure). Errors: kInvalidArgument.
#ifndef ROOST_NODE_COMMAND_ARGUMENTS_H_
#define ROOST_NODE_COMMAND_ARGUMENTS_H_

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace roost {

absl::StatusOr<std::string> textIn(const nlohmann::json& arguments, const char* key);
// None: an empty list.
absl::StatusOr<std::vector<std::string>> textsIn(const nlohmann::json& arguments, const char* key);

}  // namespace roost

#endif  // ROOST_NODE_COMMAND_ARGUMENTS_H_
