#include "node/tree_facts.h"

#include <sys/utsname.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <system_error>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "node/run_program.h"
#include "protocol/digest.h"
#include "protocol/limits.h"

namespace roost {
namespace {

constexpr char kNone[] = "none";
constexpr char kGathered[] = "gathered";

// Of what a word of a scope may have; "-" for the rest.
std::string word(absl::string_view text) {
  std::string result;
  for (char c : absl::StripAsciiWhitespace(text)) {
    const bool plain = absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '_' ||
                       c == '+' || c == '-';
    result += plain ? c : '-';
  }
  return result;
}

// Several are one word: "8.0+9.0".
std::string united(const std::set<std::string>& values) {
  return values.empty() ? kNone : absl::StrJoin(values, "+");
}

bool isVersion(absl::string_view text) {
  return absl::StrContains(text, '.') &&
         text.find_first_not_of("0123456789.") == absl::string_view::npos;
}

struct Gpus {
  std::string kind = kNone, driver = kNone;
};

// NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 22:23:56 UTC 2024
std::string driverOfKernel(const Machine& machine) {
  const auto text = machine.read("/proc/driver/nvidia/version");
  if (!text.ok()) return kNone;
  const std::vector<absl::string_view> lines = absl::StrSplit(*text, '\n');
  for (absl::string_view part : absl::StrSplit(lines.front(), ' ', absl::SkipEmpty())) {
    if (isVersion(part)) return std::string(part);
  }
  return kNone;
}

// Model: NVIDIA A100-SXM4-80GB
std::set<std::string> modelsOfKernel(const Machine& machine) {
  const std::string folder = "/proc/driver/nvidia/gpus";
  std::set<std::string> models;
  for (const std::string& name : machine.names(folder)) {
    const auto text = machine.read(absl::StrCat(folder, "/", name, "/information"));
    if (!text.ok()) continue;
    for (absl::string_view line : absl::StrSplit(*text, '\n')) {
      if (absl::ConsumePrefix(&line, "Model:")) models.insert(word(line));
    }
  }
  return models;
}

Gpus gpus(const Machine& machine) {
  Gpus found;
  found.driver = driverOfKernel(machine);
  std::set<std::string> kinds;
  const auto said = machine.nvidiaSmi();
  if (said.ok()) {
    for (absl::string_view line : absl::StrSplit(*said, '\n', absl::SkipEmpty())) {
      const std::vector<std::string> parts = absl::StrSplit(line, ',');
      if (parts.size() != 2) continue;
      const std::string capability(absl::StripAsciiWhitespace(parts[0]));
      const std::string driver(absl::StripAsciiWhitespace(parts[1]));
      if (isVersion(capability)) {
        std::string digits = capability;
        digits.erase(digits.find('.'), 1);
        kinds.insert(absl::StrCat("sm_", digits));
      }
      if (found.driver == kNone && isVersion(driver)) found.driver = driver;
    }
  }
  if (kinds.empty()) kinds = modelsOfKernel(machine);
  found.kind = united(kinds);
  return found;
}

// Folders with *.dist-info, of an environment or as they are named.
std::vector<std::string> packageFolders(const Machine& machine, const std::string& python) {
  std::vector<std::string> folders = {python};
  for (const char* lib : {"lib", "lib64", "local/lib"}) {
    const std::string parent = absl::StrCat(python, "/", lib);
    for (const std::string& name : machine.names(parent)) {
      if (!absl::StartsWith(name, "python3")) continue;
      folders.push_back(absl::StrCat(parent, "/", name, "/site-packages"));
      folders.push_back(absl::StrCat(parent, "/", name, "/dist-packages"));
    }
  }
  return folders;
}

// Of the package, as its folder NAME-VERSION.dist-info says.
std::set<std::string> versionsOf(const Machine& machine, const std::string& python,
                                 absl::string_view package) {
  std::set<std::string> versions;
  if (python.empty()) return versions;
  for (const std::string& folder : packageFolders(machine, python)) {
    for (const std::string& name : machine.names(folder)) {
      absl::string_view rest = name;
      if (!absl::ConsumeSuffix(&rest, ".dist-info")) continue;
      const std::vector<absl::string_view> parts = absl::StrSplit(rest, '-');
      const bool same =
          parts.size() == 2 &&
          (parts[0] == package || absl::StartsWith(parts[0], absl::StrCat(package, "_cu")));
      if (same) versions.insert(word(parts[1]));
    }
  }
  return versions;
}

// That of the wheels, which torch uses; else the machine's toolkit.
std::string cuda(const Machine& machine, const std::string& python) {
  const auto wheels = versionsOf(machine, python, "nvidia_cuda_runtime");
  if (!wheels.empty()) return united(wheels);
  const std::string home = lookUp(machine.environment, "CUDA_HOME").value_or("/usr/local/cuda");
  const auto text = machine.read(absl::StrCat(home, "/version.json"));
  if (!text.ok()) return kNone;
  const auto parsed = nlohmann::json::parse(*text, nullptr, false);
  if (!parsed.is_object() || !parsed.contains("cuda") || !parsed["cuda"].is_object()) return kNone;
  const auto version = parsed["cuda"].find("version");
  if (version == parsed["cuda"].end() || !version->is_string()) return kNone;
  const std::string result = word(version->get<std::string>());
  return result.empty() ? kNone : result;
}

// What a compiler makes for this processor ("-march=native") another may not know.
std::string cpu(const Machine& machine) {
  utsname names{};
  const std::string kind = ::uname(&names) == 0 ? word(names.machine) : kNone;
  const auto text = machine.read("/proc/cpuinfo");
  if (!text.ok()) return kind;
  for (absl::string_view line : absl::StrSplit(*text, '\n')) {
    const std::pair<absl::string_view, absl::string_view> parts =
        absl::StrSplit(line, absl::MaxSplits(':', 1));
    const absl::string_view key = absl::StripAsciiWhitespace(parts.first);
    if (key != "flags" && key != "Features") continue;
    const std::set<std::string> flags =
        absl::StrSplit(parts.second, absl::ByAnyChar(" \t"), absl::SkipEmpty());
    const std::string all = absl::StrJoin(flags, " ");
    return absl::StrCat(kind, "-", sha256Hex(all).substr(0, 8));
  }
  return kind;
}

absl::StatusOr<std::string> firstBytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return absl::NotFoundError(path);
  std::string text(kTreeAnswerBytesMax, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(file.gcount()));
  return text;
}

std::vector<std::string> namesIn(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code error;
  std::filesystem::directory_iterator entry(folder, error);
  while (!error && entry != std::filesystem::directory_iterator() && names.size() < kScanFilesMax) {
    names.push_back(entry->path().filename());
    entry.increment(error);
  }
  return names;
}

}  // namespace

Machine thisMachine(Environment environment) {
  return {.read = firstBytes,
          .names = namesIn,
          .nvidiaSmi =
              [said = std::optional<absl::StatusOr<std::string>>()]() mutable {
                if (!said) {
                  said = runProgram({"nvidia-smi", "--query-gpu=compute_cap,driver_version",
                                     "--format=csv,noheader"},
                                    kTreeAnswerBytesMax, kTreeAskPatience);
                }
                return *said;
              },
          .environment = std::move(environment)};
}

std::string gatheredScope(const Machine& machine, const std::string& python) {
  std::string used = python;
  for (const char* variable : {"VIRTUAL_ENV", "CONDA_PREFIX"}) {
    if (used.empty()) used = lookUp(machine.environment, variable).value_or("");
  }
  const Gpus found = gpus(machine);
  return absl::StrCat("cpu=", cpu(machine), " cuda=", cuda(machine, used), " driver=", found.driver,
                      " gpu=", found.kind, " torch=", united(versionsOf(machine, used, "torch")));
}

std::string withGathered(const std::string& scope, const std::function<std::string()>& gather) {
  std::vector<std::string> words = absl::StrSplit(scope, absl::ByAnyChar(" ,/"), absl::SkipEmpty());
  for (std::string& one : words) {
    if (one == kGathered) one = gather();
  }
  return absl::StrJoin(words, " ");
}

}  // namespace roost
