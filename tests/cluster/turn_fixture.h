// What tests of single parts share: a clock, calls, and a look at the effects of the last step.
#ifndef ROOST_TESTS_CLUSTER_TURN_FIXTURE_H_
#define ROOST_TESTS_CLUSTER_TURN_FIXTURE_H_

#include <functional>
#include <random>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cluster/turn.h"

namespace roost {

inline BlobId testBlob(uint8_t number) {
  Sha256 digest{};
  digest[0] = number;
  return BlobId::sha256(digest);
}
inline MemberInfo testMember(uint64_t number, uint64_t epoch = 1) {
  MemberInfo info{NodeId::ofNumber(number), epoch, absl::StrCat("n", number), {}};
  info.addresses.push_back({absl::StrCat("n", number), 8376});
  return info;
}
inline AdvertChange advertised(const BlobInfo& blob, bool unverified = false,
                               uint64_t sequence = 0) {
  BlobAdvert advert{blob};
  advert.unverified = unverified;
  return {sequence, Advert(advert)};
}
inline AdvertChange withdrawn(const BlobId& blob, uint64_t sequence = 0) {
  return {sequence, AdvertKey(blob)};
}

class TurnFixture {
 public:
  // Runs one step at the present time and keeps its effects.
  void step(const std::function<void(Turn&)>& what) {
    Turn turn(now, calls);
    what(turn);
    effects = turn.take();
  }
  template <typename T>
  std::vector<T> all() const {
    std::vector<T> found;
    for (const Effect& effect : effects) {
      if (const T* one = std::get_if<T>(&effect)) found.push_back(*one);
    }
    return found;
  }

  absl::Time now = absl::FromUnixSeconds(1'000'000);
  CallBook calls;
  std::mt19937_64 random{1};
  Effects effects;
};

}  // namespace roost

#endif  // ROOST_TESTS_CLUSTER_TURN_FIXTURE_H_
