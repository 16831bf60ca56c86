#include "node/pip_requirement.h"

#include <algorithm>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "node/endpoint/pip_page.h"
#include "protocol/errors.h"
#include "protocol/limits.h"
#include "protocol/names.h"

namespace roost {
namespace {

bool isVersionText(absl::string_view text) {
  return !text.empty() && text.size() <= kPipNameBytesMax &&
         std::all_of(text.begin(), text.end(), [](unsigned char c) {
           return absl::ascii_isalnum(c) || absl::StrContains("._+!-", static_cast<char>(c));
         });
}

struct Version {
  std::string release;
  std::string local;
};

Version versionOf(absl::string_view text) {
  const std::string plain =
      absl::StrReplaceAll(absl::AsciiStrToLower(text), {{"-", "."}, {"_", "."}});
  absl::string_view release = absl::string_view(plain).substr(0, plain.find('+'));
  const absl::string_view local = absl::string_view(plain).substr(release.size());
  absl::ConsumePrefix(&release, "v");
  while (absl::ConsumeSuffix(&release, ".0")) {
  }
  return {std::string(release), std::string(local)};
}

}  // namespace

absl::StatusOr<PipRequirement> parsePipRequirement(absl::string_view text) {
  const size_t equals = text.find("==");
  const auto project = pipProjectName(text.substr(0, equals));
  PipRequirement requirement;
  if (equals != absl::string_view::npos) requirement.version = std::string(text.substr(equals + 2));
  const bool isVersioned = equals != absl::string_view::npos;
  if (!project || (isVersioned && !isVersionText(requirement.version))) {
    return absl::InvalidArgumentError(absl::StrCat("not a package: ", roost::quoted(text),
                                                   ": expected NAME or NAME==VERSION, as in "
                                                   "numpy==2.1.0"));
  }
  requirement.project = *project;
  return requirement;
}

std::optional<std::string> versionOfWheel(absl::string_view file) {
  if (!absl::ConsumeSuffix(&file, ".whl")) return std::nullopt;
  const std::vector<absl::string_view> parts = absl::StrSplit(file, '-');
  if (parts.size() != 5 && parts.size() != 6) return std::nullopt;
  if (std::any_of(parts.begin(), parts.end(), [](absl::string_view p) { return p.empty(); })) {
    return std::nullopt;
  }
  return std::string(parts[1]);
}

bool isVersion(absl::string_view wanted, absl::string_view version) {
  const Version a = versionOf(wanted), b = versionOf(version);
  return a.release == b.release && (a.local.empty() || a.local == b.local);
}

}  // namespace roost
