#include "node/pip_settings.h"

#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "protocol/limits.h"

namespace roost {
namespace {

constexpr int kPythonMinorMin = 8;
constexpr int kPythonMinorMax = 20;

// As Python's unquote(): a '%' that begins no escape stays, as it does in passwords.
std::string unquoted(absl::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    uint32_t byte = 0;
    if (text[i] == '%' && i + 2 < text.size() &&
        absl::SimpleHexAtoi(text.substr(i + 1, 2), &byte)) {
      out.push_back(static_cast<char>(byte));
      i += 2;
    } else {
      out.push_back(text[i]);
    }
  }
  return out;
}

// A value of pip.conf, as Python's configparser reads it: [section], key = value or key: value.
std::optional<std::string> valueIn(absl::string_view text, absl::string_view section,
                                   absl::string_view name) {
  std::string current;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    line = absl::StripAsciiWhitespace(line);
    if (line.empty() || line[0] == '#' || line[0] == ';') continue;
    if (line[0] == '[') {
      current = std::string(absl::StripAsciiWhitespace(line.substr(1, line.find(']') - 1)));
      continue;
    }
    const size_t equals = line.find_first_of("=:");
    if (current != section || equals == absl::string_view::npos) continue;
    const std::string key = absl::StrReplaceAll(
        absl::AsciiStrToLower(absl::StripAsciiWhitespace(line.substr(0, equals))), {{"_", "-"}});
    const absl::string_view value = absl::StripAsciiWhitespace(line.substr(equals + 1));
    if (key == name && !value.empty()) return std::string(value);
  }
  return std::nullopt;
}

// The one that counts most first (pip/_internal/configuration.py reads them in the reverse order).
std::vector<std::string> configFiles(const Environment& environment) {
  std::vector<std::string> files;
  const auto named = lookUp(environment, "PIP_CONFIG_FILE");
  if (named == "/dev/null") return files;  // pip's way to say: none at all
  if (named) files.push_back(*named);
  if (const auto folder = lookUp(environment, "VIRTUAL_ENV")) {
    files.push_back(absl::StrCat(*folder, "/pip.conf"));
  }
  if (const auto folder = configHome(environment)) {
    files.push_back(absl::StrCat(*folder, "/pip/pip.conf"));
  }
  if (const auto home = homeFolder(environment)) {
    files.push_back(absl::StrCat(*home, "/.pip/pip.conf"));
  }
  files.push_back("/etc/pip.conf");
  const std::string folders = lookUp(environment, "XDG_CONFIG_DIRS").value_or("/etc/xdg");
  for (absl::string_view folder : absl::StrSplit(folders, ':', absl::SkipEmpty())) {
    files.push_back(absl::StrCat(folder, "/pip/pip.conf"));
  }
  return files;
}

// PyPI = PackageIndex("https://…", …) in pip's models/index.py.
std::optional<std::string> indexInSource(absl::string_view source) {
  const size_t start = source.find("PyPI = PackageIndex(");
  if (start == absl::string_view::npos) return std::nullopt;
  source.remove_prefix(start);
  const size_t open = source.find('"');
  if (open == absl::string_view::npos) return std::nullopt;
  source.remove_prefix(open + 1);
  const absl::string_view base = source.substr(0, source.find('"'));
  if (!absl::StartsWith(base, "http") || base.size() == source.size()) return std::nullopt;
  return absl::StrCat(absl::StripSuffix(base, "/"), "/simple");
}

}  // namespace

absl::StatusOr<PipShare> parsePipShare(absl::string_view text) {
  if (text == "public") return PipShare::kPublic;
  if (text == "cluster") return PipShare::kCluster;
  if (text == "none") return PipShare::kNone;
  return absl::InvalidArgumentError(
      absl::StrCat(quoted(text), " is not known. Use public, cluster or none"));
}

absl::StatusOr<uint64_t> parsePipSpace(absl::string_view text) {
  static constexpr std::pair<absl::string_view, uint64_t> kUnits[] = {
      {"MB", 1'000'000}, {"GB", 1'000'000'000}, {"TB", 1'000'000'000'000}};
  for (const auto& [unit, bytes] : kUnits) {
    absl::string_view number = text;
    uint64_t count = 0;
    if (absl::ConsumeSuffix(&number, unit) && absl::SimpleAtoi(number, &count) && count > 0 &&
        count <= kBlobBytesMax / bytes) {
      return count * bytes;
    }
  }
  return absl::InvalidArgumentError(
      absl::StrCat(quoted(text), " is not a size such as 500MB, 20GB or 1TB"));
}

absl::StatusOr<PipIndexSetting> parsePipIndex(absl::string_view url, std::string from) {
  std::string plain(url);
  std::optional<Token> basic;
  const size_t scheme = url.find("://");
  const size_t start = scheme == absl::string_view::npos ? 0 : scheme + 3;
  const absl::string_view authority = url.substr(start, url.substr(start).find_first_of("/?#"));
  if (const size_t at = authority.rfind('@'); at != absl::string_view::npos) {
    plain.erase(start, at + 1);
    std::string user(authority.substr(0, at));
    if (!absl::StrContains(user, ':')) user.push_back(':');
    auto token = Token::parse(absl::Base64Escape(unquoted(user)));
    if (!token.ok()) return absl::InvalidArgumentError("its user and password cannot be used");
    basic = *std::move(token);
  }
  auto origin = HubOrigin::parse(plain);
  if (!origin.ok()) return origin.status();
  return PipIndexSetting{*std::move(origin), std::move(basic), std::move(from), ""};
}

std::optional<PipSaid> pipSetting(const Environment& environment, const FileReader& readFile,
                                  absl::string_view name) {
  const std::string variable =
      absl::StrCat("PIP_", absl::AsciiStrToUpper(absl::StrReplaceAll(name, {{"-", "_"}})));
  if (const auto value = lookUp(environment, variable)) return PipSaid{*value, variable};
  for (const std::string& file : configFiles(environment)) {
    const auto text = readFile(file);
    if (!text.ok()) continue;
    for (const char* section : {"global", "install"}) {
      if (auto value = valueIn(*text, section, name)) return PipSaid{*std::move(value), file};
    }
  }
  return std::nullopt;
}

std::optional<PipSaid> builtInPipIndex(const Environment& environment, const FileReader& readFile) {
  std::vector<std::string> libraries;
  const auto addPrefix = [&](absl::string_view prefix) {
    for (int minor = kPythonMinorMax; minor >= kPythonMinorMin; --minor) {
      libraries.push_back(absl::StrCat(prefix, "/lib/python3.", minor, "/site-packages"));
    }
    libraries.push_back(absl::StrCat(prefix, "/lib/python3/dist-packages"));
  };
  if (const auto folder = lookUp(environment, "VIRTUAL_ENV")) addPrefix(*folder);
  const std::string path = lookUp(environment, "PATH").value_or("/usr/local/bin:/usr/bin");
  for (absl::string_view folder : absl::StrSplit(path, ':', absl::SkipEmpty())) {
    if (absl::ConsumeSuffix(&folder, "/bin") && absl::StartsWith(folder, "/")) addPrefix(folder);
  }
  for (const std::string& library : libraries) {
    const std::string file = absl::StrCat(library, "/pip/_internal/models/index.py");
    const auto source = readFile(file);
    if (!source.ok()) continue;
    if (auto index = indexInSource(*source)) {
      return PipSaid{*std::move(index), absl::StrCat("pip in ", library)};
    }
  }
  return std::nullopt;
}

std::optional<std::string> pipCacheFolder(const Environment& environment,
                                          const FileReader& readFile) {
  if (auto said = pipSetting(environment, readFile, "cache-dir")) return said->value;
  const auto folder = cacheHome(environment);
  return folder ? std::optional(absl::StrCat(*folder, "/pip")) : std::nullopt;
}

}  // namespace roost
