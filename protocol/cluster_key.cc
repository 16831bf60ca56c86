#include "protocol/cluster_key.h"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "protocol/blob_id.h"
#include "protocol/digest.h"
#include "protocol/errors.h"

namespace roost {
namespace {

constexpr absl::string_view kPrefix = "roost-key-1:";
constexpr size_t kKeyFileBytesMax = 4096;  // two keys and some comment

absl::Status notAKey(absl::string_view why) {
  return absl::InvalidArgumentError(
      sentence("not a cluster key", why, "Make one with: roost key > FILE"));
}

void wipe(std::string& text) {
  OPENSSL_cleanse(text.data(), text.size());
}

}  // namespace

ClusterKey ClusterKey::generate() {
  ClusterKey key;
  // Without randomness no key is safe: there is nothing to go on with.
  if (RAND_priv_bytes(key.bytes_.data(), static_cast<int>(key.bytes_.size())) != 1) std::abort();
  return key;
}

absl::StatusOr<ClusterKey> ClusterKey::parse(absl::string_view text) {
  text = absl::StripAsciiWhitespace(text);
  if (!absl::ConsumePrefix(&text, kPrefix)) return notAKey("expected roost-key-1:…");
  std::string bytes;
  const absl::Cleanup wipeBytes = [&] { wipe(bytes); };
  ClusterKey key;
  if (!absl::WebSafeBase64Unescape(text, &bytes) || bytes.size() != key.bytes_.size()) {
    return notAKey("expected 43 characters of base64url after roost-key-1:");
  }
  std::copy(bytes.begin(), bytes.end(), key.bytes_.begin());
  // One text a key: no padding, no stray bits in the last character.
  std::string canonical = key.secretText();
  const bool same = absl::string_view(canonical).substr(kPrefix.size()) == text;
  wipe(canonical);
  if (!same) return notAKey("expected 43 characters of base64url after roost-key-1:");
  return key;
}

ClusterKey::~ClusterKey() {
  OPENSSL_cleanse(bytes_.data(), bytes_.size());
}

std::string ClusterKey::secretText() const {
  const absl::string_view bytes(reinterpret_cast<const char*>(bytes_.data()), bytes_.size());
  return absl::StrCat(kPrefix, absl::WebSafeBase64Escape(bytes));
}

std::string ClusterKey::identity() const {
  // Its own label, so that the hash is of no use where the key is hashed for something else.
  std::string input = "roost cluster key identity 1";
  input.append(bytes_.begin(), bytes_.end());
  const Sha256 digest = digestOf(input);
  wipe(input);
  return absl::StrCat("roost-1:", hexOf(absl::MakeConstSpan(digest).first(8)));
}

absl::StatusOr<ClusterKeys> ClusterKeys::parse(absl::string_view text) {
  std::vector<ClusterKey> keys;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    line = absl::StripAsciiWhitespace(line);
    if (line.empty() || absl::StartsWith(line, "#")) continue;
    ROOST_ASSIGN_OR_RETURN(ClusterKey key, ClusterKey::parse(line));
    keys.push_back(key);
  }
  if (keys.empty()) return notAKey("nothing there");
  if (keys.size() > 2) return notAKey("more than two; only one old key can be accepted");
  if (keys.size() == 1) return ClusterKeys{keys[0], std::nullopt};
  return ClusterKeys{keys[0], keys[1]};
}

absl::StatusOr<ClusterKeys> ClusterKeys::load(const std::string& file) {
  const int fd = open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  if (fd < 0) return errnoStatus(errno, "cannot open the cluster key file", file);
  const absl::Cleanup closeFd = [fd] { close(fd); };
  struct stat status {};
  if (fstat(fd, &status) != 0) return errnoStatus(errno, "cannot read", file);
  if (!S_ISREG(status.st_mode)) {
    return absl::InvalidArgumentError(
        sentence(absl::StrCat("cannot use ", file), "it is not a regular file", ""));
  }
  if ((status.st_mode & 077) != 0) {
    return absl::PermissionDeniedError(sentence(absl::StrCat("refusing the cluster key in ", file),
                                                "others can read or write it",
                                                absl::StrCat("Run: chmod 600 ", file)));
  }
  std::string text(kKeyFileBytesMax, '\0');
  const absl::Cleanup wipeText = [&] { wipe(text); };
  const ssize_t size = read(fd, text.data(), text.size());
  if (size < 0) return errnoStatus(errno, "cannot read", file);
  const auto keys = parse(absl::string_view(text).substr(0, static_cast<size_t>(size)));
  if (!keys.ok()) {
    return absl::Status(keys.status().code(), absl::StrCat(file, ": ", keys.status().message()));
  }
  return keys;
}

}  // namespace roost
