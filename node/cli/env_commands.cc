// What makes a program use this node's agent: `roost env` prints it for a shell, `roost exec` runs
// a program with it. Both believe only an agent that answers now, on its socket and on its port: a
// program that is sent to a dead endpoint waits for minutes, where the hub or its cache would do.
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "node/cli/commands.h"
#include "node/cli/document.h"
#include "protocol/limits.h"

namespace roost {
namespace {

using nlohmann::json;

constexpr char kEndpointVariable[] = "HF_ENDPOINT";
// What shells and env(1) report of a command that cannot be run.
constexpr int kNotRunnable = 126;
constexpr int kNotFound = 127;

// One word for a POSIX shell, whatever is in it.
std::string shellQuoted(const std::string& text) {
  return absl::StrCat("'", absl::StrReplaceAll(text, {{"'", "'\\''"}}), "'");
}

bool isVariableName(const std::string& name) {
  if (name.empty() || absl::ascii_isdigit(static_cast<unsigned char>(name[0]))) return false;
  for (char c : name) {
    if (c != '_' && !absl::ascii_isalnum(static_cast<unsigned char>(c))) return false;
  }
  return true;
}

// The agent's document, from one that answers in time and has the port that it names.
absl::StatusOr<json> liveEnvironment(const CliContext& context, const std::string& address) {
  const absl::Time until = absl::Now() + kEnvTimeout;
  ROOST_ASSIGN_OR_RETURN(auto agent, connectAgent(context, address));
  ROOST_ASSIGN_OR_RETURN(json env, agent->call("env", json::object()));
  const std::string node = textAt(env, "node");
  const std::string url = textAt(objectAt(env, "exports"), kEndpointVariable);
  if (!url.empty() && !node.empty() && !context.seams.endpointIs(url, node, until - absl::Now())) {
    return absl::FailedPreconditionError(
        sentence(absl::StrCat("the agent does not answer at ", url),
                 "another program may have its port, or this is another machine or container",
                 "Look at --endpoint of the agent."));
  }
  return env;
}

// What of the document a variable stands for: the agent's hub, or its pip index. Empty: neither.
std::string originOf(const json& env, const std::string& name) {
  if (name == kEndpointVariable) return textAt(env, "hub");
  return absl::EndsWith(name, "_INDEX_URL") || name == "UV_DEFAULT_INDEX" ? textAt(env, "pip_index")
                                                                          : "";
}

// A URL as far as it says where: without a user, a password and a last slash.
std::string placeOf(absl::string_view url) {
  const size_t scheme = url.find("://");
  const size_t start = scheme == absl::string_view::npos ? 0 : scheme + 3;
  const size_t at = url.substr(0, url.find('/', start)).rfind('@');
  std::string place(absl::StripSuffix(url, "/"));
  if (at != absl::string_view::npos && at >= start) place.erase(start, at + 1 - start);
  return place;
}

// A hub or an index of the user's own choice stays; the agent's is what the agent stands for.
bool isUsersOwn(const CliContext& context, const std::string& name, const std::string& value,
                const json& env) {
  const std::string origin = originOf(env, name);
  const auto own = lookUp(context.environment, name);
  if (origin.empty() || !own) return false;
  const std::string set = placeOf(*own);
  return set != placeOf(value) && set != placeOf(origin);
}

// pip takes the highest version that any of several indexes has, whoever put it there.
void warnOfMoreIndexes(const CliContext& context, const Environment& exports) {
  if (!exports.contains("PIP_INDEX_URL")) return;
  for (const char* name : {"PIP_EXTRA_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_INDEX"}) {
    const auto own = lookUp(context.environment, name);
    if (!own || own->empty()) continue;
    context.message(absl::StrCat(name,
                                 " is set: packages may come from there too, past the agent. "
                                 "Unset it to have one index only"));
  }
}

// pip's list of hosts, with the agent's.
std::string withTrustedHosts(const CliContext& context, const std::string& host) {
  const std::string own(lookUp(context.environment, "PIP_TRUSTED_HOST").value_or(""));
  const std::vector<absl::string_view> hosts =
      absl::StrSplit(own, absl::ByAnyChar(" \t\n"), absl::SkipEmpty());
  if (std::find(hosts.begin(), hosts.end(), host) != hosts.end()) return own;
  return own.empty() ? host : absl::StrCat(own, " ", host);
}

// Clients send what goes to this node through a proxy as well, tokens in clear text, unless they
// are told not to.
void keepFromProxies(const CliContext& context, Environment& exports) {
  const auto isSet = [&](const char* name) {
    const auto value = lookUp(context.environment, name);
    return value && !value->empty();
  };
  if (!isSet("http_proxy") && !isSet("HTTP_PROXY") && !isSet("all_proxy") && !isSet("ALL_PROXY")) {
    return;
  }
  const std::string own = std::string(isSet("no_proxy")   ? *lookUp(context.environment, "no_proxy")
                                      : isSet("NO_PROXY") ? *lookUp(context.environment, "NO_PROXY")
                                                          : "");
  const std::vector<absl::string_view> hosts = absl::StrSplit(own, absl::ByAnyChar(", "));
  const bool covered = std::any_of(hosts.begin(), hosts.end(), [](absl::string_view host) {
    return host == "*" || host == "127.0.0.1";
  });
  if (covered) return;
  const std::string all = absl::StrCat(own, own.empty() ? "" : ",", "127.0.0.1,localhost");
  exports["no_proxy"] = all;
  exports["NO_PROXY"] = all;
}

// What is to be set; says what is not, and why.
Environment exportsOf(const CliContext& context, const json& env, bool force) {
  Environment exports;
  for (const auto& [name, value] : objectAt(env, "exports").items()) {
    if (!isVariableName(name) || !value.is_string()) continue;
    const std::string text = value;
    if (!force && isUsersOwn(context, name, text, env)) {
      context.message(absl::StrCat(name, " is set already, to ",
                                   placeOf(*lookUp(context.environment, name)),
                                   ", and stays. --force sets it to ", text));
      continue;
    }
    exports[name] = name == "PIP_TRUSTED_HOST" ? withTrustedHosts(context, text) : text;
  }
  warnOfMoreIndexes(context, exports);
  if (!exports.empty()) keepFromProxies(context, exports);
  return exports;
}

}  // namespace

absl::StatusOr<ExitCode> run(const CliContext& context, const EnvCommand& command) {
  ROOST_ASSIGN_OR_RETURN(const json env, liveEnvironment(context, command.output.agent));
  if (command.output.json) {
    context.print(dumped(env) + "\n");
    return ExitCode::kOk;
  }
  for (const auto& [name, value] : exportsOf(context, env, command.force)) {
    context.print(absl::StrCat("export ", name, "=", shellQuoted(value), "\n"));
  }
  if (objectAt(env, "exports").empty()) {
    context.message(
        "nothing to set: this agent has no endpoint for clients, and what it fetches lies in the "
        "caches where clients look anyway");
  }
  return ExitCode::kOk;
}

absl::StatusOr<ExitCode> run(const CliContext& context, const ExecCommand& command) {
  Environment changes;
  if (const auto env = liveEnvironment(context, command.agent); env.ok()) {
    changes = exportsOf(context, *env, command.force);
  } else {
    context.message(absl::StrCat("runs without an agent: ", env.status().message()));
  }
  const int error = context.seams.execute(command.words, changes);
  context.message(absl::StrCat("cannot run ", command.words[0], ": ", std::strerror(error)));
  return static_cast<ExitCode>(error == ENOENT ? kNotFound : kNotRunnable);
}

}  // namespace roost
