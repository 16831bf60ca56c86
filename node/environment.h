// The process's environment as a value, so that what depends on it is a function of its arguments.
//
// Threads: any (values only).
#ifndef ROOST_NODE_ENVIRONMENT_H_
#define ROOST_NODE_ENVIRONMENT_H_

#include <functional>
#include <map>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace roost {

using Environment = std::map<std::string, std::string>;

// What this process was started with.
Environment processEnvironment();

// The variable's value; none if it is not set or empty (an empty variable is how shells unset one
// for a single command).
std::optional<std::string> lookUp(const Environment& environment, absl::string_view name);

// $HOME, $XDG_STATE_HOME (default ~/.local/state), $XDG_CONFIG_HOME (default ~/.config) and
// $XDG_CACHE_HOME (default ~/.cache); none without a home. The XDG specification tells to ignore
// relative paths.
std::optional<std::string> homeFolder(const Environment& environment);
std::optional<std::string> stateHome(const Environment& environment);
std::optional<std::string> configHome(const Environment& environment);
std::optional<std::string> cacheHome(const Environment& environment);

// A file's content; kNotFound if there is none.
using FileReader = std::function<absl::StatusOr<std::string>(const std::string& path)>;

// The agent's socket in its state folder, where the command line finds it.
inline constexpr char kAgentSocketName[] = "agent.sock";
// The second place: of an agent that runs as a service of the machine.
inline constexpr char kServiceSocket[] = "/run/roost/agent.sock";

}  // namespace roost

#endif  // ROOST_NODE_ENVIRONMENT_H_
