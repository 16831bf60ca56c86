#include "node/command_arguments.h"

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"

namespace roost {

using nlohmann::json;

absl::StatusOr<std::string> textIn(const json& arguments, const char* key) {
  const auto it = arguments.find(key);
  if (it == arguments.end() || !it->is_string()) {
    return absl::InvalidArgumentError(absl::StrCat("the argument \"", key, "\" is missing"));
  }
  return it->get<std::string>();
}

absl::StatusOr<std::vector<std::string>> textsIn(const json& arguments, const char* key) {
  std::vector<std::string> texts;
  const auto it = arguments.find(key);
  if (it == arguments.end()) return texts;
  if (!it->is_array()) return absl::InvalidArgumentError(absl::StrCat(key, " is not a list"));
  for (const json& text : *it) {
    if (!text.is_string()) {
      return absl::InvalidArgumentError(absl::StrCat(key, " is not a list of texts"));
    }
    texts.push_back(text.get<std::string>());
  }
  return texts;
}

}  // namespace roost
