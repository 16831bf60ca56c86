// The environment that clients of the hub run in, read as huggingface_hub reads it
// (huggingface_hub/constants.py): variables, "~" and "$NAME" in paths, the Hugging Face home.
//
// Threads: any (values only). Does no I/O of its own; `homeOf` may ask the password database.
#ifndef ROOST_CACHE_CLIENT_ENVIRONMENT_H_
#define ROOST_CACHE_CLIENT_ENVIRONMENT_H_

#include <functional>
#include <map>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace roost {

struct ClientEnvironment {
  std::map<std::string, std::string, std::less<>> variables;
  // Home folder by the password database; an empty name is the user of this process.
  std::function<std::optional<std::string>(absl::string_view user)> homeOf;

  static ClientEnvironment ofProcess();

  // Set and not empty. An empty variable makes Python clients use their working folder, which
  // nobody else can know: it counts as not set.
  std::optional<std::string> get(absl::string_view name) const;
  bool isEmpty(absl::string_view name) const;  // set, but to nothing

  // 1, ON, YES or TRUE in any case, as huggingface_hub reads a switch.
  bool isTrue(absl::string_view name) const;

  // os.path.expandvars(os.path.expanduser(path)) of Python on POSIX: unknown users and variables
  // stay as they are, and what a variable holds is not expanded again.
  std::string expand(absl::string_view path) const;

  // HF_HOME, else $XDG_CACHE_HOME/huggingface, else ~/.cache/huggingface. Holds tokens: never
  // watched itself.
  std::string huggingFaceHome() const;
};

// os.path.join of two parts: an absolute second part wins.
std::string joinPath(absl::string_view folder, absl::string_view name);

}  // namespace roost

#endif  // ROOST_CACHE_CLIENT_ENVIRONMENT_H_
