#include "cache/hub_token.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "cache/file_io.h"
#include "cache/unique_fd.h"
#include "protocol/errors.h"
#include "protocol/limits.h"

namespace roost {
namespace {

// Line ends and outer spaces do not count: a place that has nothing else has no token.
std::string cleaned(absl::string_view text) {
  return std::string(
      absl::StripAsciiWhitespace(absl::StrReplaceAll(text, {{"\r", ""}, {"\n", ""}})));
}

absl::StatusOr<std::string> readTokenFile(const std::string& path) {
  const UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file) return errnoStatus(errno, "cannot read", path);
  struct stat info {};
  if (fstat(file.get(), &info) != 0 || !S_ISREG(info.st_mode)) {
    return absl::FailedPreconditionError(absl::StrCat(path, " is not a file"));
  }
  return readSmallFile(file.get(), path, 2 * kTokenBytesMax);  // with room for blanks around it
}

absl::StatusOr<std::optional<Token>> fromPlace(absl::string_view place, absl::string_view text) {
  if (cleaned(text).empty()) return std::optional<Token>();
  auto token = Token::parse(text);
  if (!token.ok()) {
    return absl::InvalidArgumentError(sentence(absl::StrCat(place, " has no usable token"),
                                               token.status().message(),
                                               "Log in again with `hf auth login`, or unset it"));
  }
  return std::optional<Token>(*std::move(token));
}

}  // namespace

absl::StatusOr<Token> Token::parse(absl::string_view text) {
  std::string token = cleaned(text);
  const bool printable = std::all_of(token.begin(), token.end(), [](char c) {
    return absl::ascii_isgraph(static_cast<unsigned char>(c));
  });
  if (token.empty() || token.size() > kTokenBytesMax || !printable) {
    return absl::InvalidArgumentError(
        absl::StrCat("expected 1 to ", kTokenBytesMax, " printable ASCII characters"));
  }
  return Token(std::move(token));
}

absl::StatusOr<std::optional<Token>> findToken(const ClientEnvironment& environment) {
  if (environment.isTrue("HF_HUB_DISABLE_IMPLICIT_TOKEN")) return std::optional<Token>();
  for (absl::string_view name : {"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"}) {
    if (const auto value = environment.get(name)) {
      ROOST_ASSIGN_OR_RETURN(std::optional<Token> token, fromPlace(name, *value));
      if (token) return token;
      break;  // set to blanks: huggingface_hub goes to the file, not to the other variable
    }
  }
  const auto named = environment.get("HF_TOKEN_PATH");
  const std::string path =
      environment.expand(named ? *named : joinPath(environment.huggingFaceHome(), "token"));
  const auto text = readTokenFile(path);
  if (absl::IsNotFound(text.status())) return std::optional<Token>();
  if (!text.ok()) return text.status();
  return fromPlace(path, *text);
}

}  // namespace roost
