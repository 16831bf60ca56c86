#include "node/environment.h"

#include <unistd.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace roost {
namespace {

std::optional<std::string> xdgFolder(const Environment& environment, absl::string_view variable,
                                     absl::string_view below) {
  if (auto folder = lookUp(environment, variable); folder && absl::StartsWith(*folder, "/")) {
    return folder;
  }
  const auto home = homeFolder(environment);
  if (!home) return std::nullopt;
  return absl::StrCat(*home, below);
}

}  // namespace

Environment processEnvironment() {
  Environment environment;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const absl::string_view text(*entry);
    const size_t equals = text.find('=');
    if (equals == absl::string_view::npos) continue;
    environment.emplace(std::string(text.substr(0, equals)), std::string(text.substr(equals + 1)));
  }
  return environment;
}

std::optional<std::string> lookUp(const Environment& environment, absl::string_view name) {
  const auto found = environment.find(std::string(name));
  if (found == environment.end() || found->second.empty()) return std::nullopt;
  return found->second;
}

std::optional<std::string> homeFolder(const Environment& environment) {
  auto home = lookUp(environment, "HOME");
  if (!home || !absl::StartsWith(*home, "/")) return std::nullopt;
  while (home->size() > 1 && home->back() == '/') home->pop_back();
  return home;
}

std::optional<std::string> stateHome(const Environment& environment) {
  return xdgFolder(environment, "XDG_STATE_HOME", "/.local/state");
}

std::optional<std::string> configHome(const Environment& environment) {
  return xdgFolder(environment, "XDG_CONFIG_HOME", "/.config");
}

std::optional<std::string> cacheHome(const Environment& environment) {
  return xdgFolder(environment, "XDG_CACHE_HOME", "/.cache");
}

}  // namespace roost
