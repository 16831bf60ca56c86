// Who may see what through the endpoint. Public repos are everybody's; for all others the hub must
// have accepted this client's own token for this repo. Knowing a hash, or that a peer has it, is no
// permission.
//
// A yes counts for 60 s while the hub answers, and for the grace time only while it does not; a no
// ends it at once. Tokens are kept as keyed digests in memory only.
//
// Threads: `loop`. Memory: kAccessCachedMax answers, the oldest go first.
#ifndef ROOST_NODE_ENDPOINT_ACCESS_H_
#define ROOST_NODE_ENDPOINT_ACCESS_H_

#include <array>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <utility>

#include "absl/time/time.h"
#include "cache/hub_token.h"
#include "protocol/messages.h"
#include "protocol/names.h"

namespace roost {

class Access {
 public:
  explicit Access(absl::Duration grace);

  void accepted(const RepoId& repo, const std::optional<Token>& token, absl::Time now);
  void refused(const RepoId& repo, const std::optional<Token>& token);

  // Whether the hub's last word on them is a yes that counts. `hubAnswers`: it can be asked anew.
  bool may(const RepoId& repo, const std::optional<Token>& token, bool hubAnswers,
           absl::Time now) const;

 private:
  using Key = std::pair<std::array<uint8_t, 32>, RepoId>;
  Key keyOf(const RepoId& repo, const std::optional<Token>& token) const;

  const absl::Duration grace_;
  std::array<uint8_t, 32> secret_;  // of this process
  std::map<Key, absl::Time> yes_;
  std::deque<Key> order_;
};

}  // namespace roost

#endif  // ROOST_NODE_ENDPOINT_ACCESS_H_
