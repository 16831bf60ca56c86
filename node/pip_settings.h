// Which pip index this node stands for, and where pip's cache is: the operator's word, else what
// pip itself would use. One index only: with several, pip takes the highest version that any of
// them has, whoever put it there.
//
// Threads: any; files are read through the caller's reader. Errors: kInvalidArgument with a
// sentence that repeats no password.
#ifndef ROOST_NODE_PIP_SETTINGS_H_
#define ROOST_NODE_PIP_SETTINGS_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cache/hub_token.h"
#include "node/environment.h"
#include "protocol/names.h"

namespace roost {

// What of the index other nodes may have of this one.
enum class PipShare : uint8_t {
  kPublic,   // pages and files, unless the index wants a password
  kCluster,  // always
  kNone,     // never
};

absl::StatusOr<PipShare> parsePipShare(absl::string_view text);

struct PipIndexSetting {
  HubOrigin origin;            // "https://pypi.org/simple"
  std::optional<Token> basic;  // "user:password" in base64
  std::string from;            // who said so, for people
  std::string caFile;          // PEM, of pip's own settings; empty: none

  bool shares(PipShare share) const {
    return share == PipShare::kCluster || (share == PipShare::kPublic && !basic);
  }
};

// An index's URL, which may have a user and a password.
absl::StatusOr<PipIndexSetting> parsePipIndex(absl::string_view url, std::string from);

// "20GB", "500MB", "1TB".
absl::StatusOr<uint64_t> parsePipSpace(absl::string_view text);

// The setting's variable (PIP_INDEX_URL for "index-url"), else the first that says it of
// PIP_CONFIG_FILE, the virtual environment's, the user's and the machine's pip.conf.
struct PipSaid {
  std::string value;
  std::string from;
};
std::optional<PipSaid> pipSetting(const Environment& environment, const FileReader& readFile,
                                  absl::string_view name);
// The index that the pip on PATH has built in.
std::optional<PipSaid> builtInPipIndex(const Environment& environment, const FileReader& readFile);

// PIP_CACHE_DIR or what pip.conf says, else $XDG_CACHE_HOME/pip, else ~/.cache/pip.
std::optional<std::string> pipCacheFolder(const Environment& environment,
                                          const FileReader& readFile);

}  // namespace roost

#endif  // ROOST_NODE_PIP_SETTINGS_H_
