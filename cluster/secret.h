// A text that must not be seen: a hub token. It cannot be printed, compared or copied by accident,
// and its memory is cleared when it goes.
//
// Threads: any (a value with one owner).
#ifndef ROOST_CLUSTER_SECRET_H_
#define ROOST_CLUSTER_SECRET_H_

#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/string_view.h"

namespace roost {

class Secret {
 public:
  explicit Secret(absl::string_view text) : text_(text.data(), text.size()) {}
  ~Secret();
  Secret(Secret&& other) noexcept;
  Secret& operator=(Secret&& other) noexcept;
  Secret(const Secret&) = delete;
  Secret& operator=(const Secret&) = delete;

  // Only for the line that builds a header or a comparison in constant time.
  const std::string& reveal() const { return text_; }
  // False for what cannot stand in a header: empty, spaces, control bytes, non-ASCII.
  bool fitsHeader() const;

 private:
  void clear();
  std::string text_;
};

// Where a token comes from: asked for each request, so that a changed token file takes effect.
// none: anonymous. Called on the hub thread; must not block for long.
using TokenSource = std::function<std::optional<Secret>()>;

}  // namespace roost

#endif  // ROOST_CLUSTER_SECRET_H_
