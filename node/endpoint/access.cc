#include "node/endpoint/access.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "protocol/limits.h"

namespace roost {
namespace {

constexpr absl::Duration kFresh = absl::Seconds(60);

}  // namespace

Access::Access(absl::Duration grace) : grace_(grace) {
  RAND_bytes(secret_.data(), static_cast<int>(secret_.size()));
}

Access::Key Access::keyOf(const RepoId& repo, const std::optional<Token>& token) const {
  std::array<uint8_t, 32> digest{};
  // No token is an identity too: anonymous.
  const std::string text = token ? absl::StrCat("t", token->reveal()) : "a";
  unsigned int size = 0;
  HMAC(EVP_sha256(), secret_.data(), static_cast<int>(secret_.size()),
       reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data(), &size);
  return {digest, repo};
}

void Access::accepted(const RepoId& repo, const std::optional<Token>& token, absl::Time now) {
  const Key key = keyOf(repo, token);
  if (yes_.insert_or_assign(key, now).second) order_.push_back(key);
  while (order_.size() > kAccessCachedMax) {
    yes_.erase(order_.front());
    order_.pop_front();
  }
}

void Access::refused(const RepoId& repo, const std::optional<Token>& token) {
  const Key key = keyOf(repo, token);
  if (yes_.erase(key) == 0) return;
  std::erase(order_, key);
}

bool Access::may(const RepoId& repo, const std::optional<Token>& token, bool hubAnswers,
                 absl::Time now) const {
  const auto it = yes_.find(keyOf(repo, token));
  return it != yes_.end() && now - it->second <= (hubAnswers ? kFresh : grace_);
}

}  // namespace roost
