// roost.toml as text values by key, before anybody says what they mean.
//
// Threads: any (pure). Errors: kInvalidArgument with file, line and a sentence; an unknown key
// names the nearest known one.
#ifndef ROOST_NODE_CONFIG_FILE_H_
#define ROOST_NODE_CONFIG_FILE_H_

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace roost {

struct ConfigFile {
  // One [[root]] table. Which keys it must have, and their values, are checked by loadConfig().
  struct Root {
    std::map<std::string, std::string> values;
    std::optional<bool> write, pull;
    int line = 0;
  };
  std::map<std::string, std::string> values;  // arrays of strings are joined with ','
  std::vector<Root> roots;
};

// `keys` and `rootKeys` are the known ones. `name` is the file's name, for messages.
absl::StatusOr<ConfigFile> parseConfigFile(absl::string_view text, const std::string& name,
                                           const std::vector<std::string>& keys,
                                           const std::vector<std::string>& rootKeys);

}  // namespace roost

#endif  // ROOST_NODE_CONFIG_FILE_H_
