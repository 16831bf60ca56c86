#include "cache/client_environment.h"

#include <pwd.h>
#include <unistd.h>

#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

extern char** environ;

namespace roost {
namespace {

std::optional<std::string> homeByPasswd(absl::string_view user) {
  passwd entry{};
  passwd* found = nullptr;
  std::vector<char> buffer(16 << 10);
  const std::string name(user);
  const int error = user.empty()
                        ? getpwuid_r(getuid(), &entry, buffer.data(), buffer.size(), &found)
                        : getpwnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found);
  if (error != 0 || found == nullptr) return std::nullopt;
  return std::string(entry.pw_dir);
}

bool isWord(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_';
}

std::string expandUser(const ClientEnvironment& environment, absl::string_view path) {
  if (path.empty() || path.front() != '~') return std::string(path);
  const size_t end = std::min(path.find('/'), path.size());
  const absl::string_view user = path.substr(1, end - 1);
  std::optional<std::string> home;
  if (const auto variable = environment.variables.find("HOME");
      user.empty() && variable != environment.variables.end()) {
    home = variable->second;
  } else if (environment.homeOf) {
    home = environment.homeOf(user);
  }
  if (!home) return std::string(path);
  while (absl::EndsWith(*home, "/")) home->pop_back();
  std::string expanded = absl::StrCat(*home, path.substr(end));
  return expanded.empty() ? "/" : expanded;
}

std::string expandVariables(const ClientEnvironment& environment, absl::string_view path) {
  std::string expanded;
  for (size_t i = 0; i < path.size();) {
    size_t end = i + 1;
    absl::string_view name;
    if (path[i] == '$' && i + 1 < path.size() && path[i + 1] == '{') {
      const size_t close = path.find('}', i);
      if (close != absl::string_view::npos) {
        end = close + 1;
        name = path.substr(i + 2, close - i - 2);
      }
    } else if (path[i] == '$') {
      while (end < path.size() && isWord(path[end])) ++end;
      name = path.substr(i + 1, end - i - 1);
    }
    const auto variable = environment.variables.find(name);
    if (path[i] == '$' && variable != environment.variables.end()) {
      expanded += variable->second;
    } else {
      absl::StrAppend(&expanded, path.substr(i, end - i));
    }
    i = end;
  }
  return expanded;
}

}  // namespace

ClientEnvironment ClientEnvironment::ofProcess() {
  ClientEnvironment environment;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const absl::string_view text(*entry);
    const size_t equals = text.find('=');
    if (equals == absl::string_view::npos) continue;
    environment.variables.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  environment.homeOf = homeByPasswd;
  return environment;
}

std::optional<std::string> ClientEnvironment::get(absl::string_view name) const {
  const auto found = variables.find(name);
  if (found == variables.end() || found->second.empty()) return std::nullopt;
  return found->second;
}

bool ClientEnvironment::isEmpty(absl::string_view name) const {
  const auto found = variables.find(name);
  return found != variables.end() && found->second.empty();
}

bool ClientEnvironment::isTrue(absl::string_view name) const {
  const std::string value = absl::AsciiStrToUpper(get(name).value_or(""));
  return value == "1" || value == "ON" || value == "YES" || value == "TRUE";
}

std::string ClientEnvironment::expand(absl::string_view path) const {
  return expandVariables(*this, expandUser(*this, path));
}

std::string ClientEnvironment::huggingFaceHome() const {
  if (const auto home = get("HF_HOME")) return expand(*home);
  const std::string caches =
      get("XDG_CACHE_HOME").value_or(joinPath(expandUser(*this, "~"), ".cache"));
  return expand(joinPath(caches, "huggingface"));
}

std::string joinPath(absl::string_view folder, absl::string_view name) {
  if (absl::StartsWith(name, "/") || folder.empty()) return std::string(name);
  return absl::StrCat(folder, absl::EndsWith(folder, "/") ? "" : "/", name);
}

}  // namespace roost
