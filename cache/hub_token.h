// The user's token for the hub, from the places where clients look for it.
//
// Threads: any. findToken() reads one small file. A token is never printed: the type has no way to
// become text but reveal(), which belongs only where a request is signed.
#ifndef ROOST_CACHE_HUB_TOKEN_H_
#define ROOST_CACHE_HUB_TOKEN_H_

#include <optional>
#include <ostream>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cache/client_environment.h"

namespace roost {

class Token {
 public:
  // Line ends and outer spaces are removed, as huggingface_hub does (utils/_auth.py). What is then
  // not 1 to 1,024 printable ASCII characters without spaces is refused: it goes into a header. The
  // error does not repeat it.
  static absl::StatusOr<Token> parse(absl::string_view text);

  const std::string& reveal() const { return text_; }
  friend bool operator==(const Token&, const Token&) = default;
  friend std::ostream& operator<<(std::ostream&, const Token&) = delete;

 private:
  explicit Token(std::string text) : text_(std::move(text)) {}
  std::string text_;
};

// HF_TOKEN > HUGGING_FACE_HUB_TOKEN > the file HF_TOKEN_PATH > $HF_HOME/token; none if no place has
// one, or if HF_HUB_DISABLE_IMPLICIT_TOKEN says that tokens are not to be sent unasked. An error if
// a place has something that is not a token, or cannot be read: naming the place.
absl::StatusOr<std::optional<Token>> findToken(const ClientEnvironment& environment);

}  // namespace roost

#endif  // ROOST_CACHE_HUB_TOKEN_H_
