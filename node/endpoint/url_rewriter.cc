#include "node/endpoint/url_rewriter.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace roost {
namespace {

// How many bytes at the end of `text` could be the beginning of `wanted` and one byte more.
size_t beginningAtEnd(absl::string_view text, absl::string_view wanted) {
  for (size_t size = std::min(text.size(), wanted.size()); size > 0; --size) {
    if (text.substr(text.size() - size) == wanted.substr(0, size)) return size;
  }
  return 0;
}

}  // namespace

UrlRewriter::UrlRewriter(absl::string_view from, absl::string_view to)
    : from_(absl::StrCat("\"", from)), to_(absl::StrCat("\"", to)) {}

std::string UrlRewriter::next(absl::string_view bytes) {
  const std::string text = absl::StrCat(held_, bytes);
  const absl::string_view all = text;
  std::string out;
  size_t at = 0;
  while (true) {
    const size_t found = all.find(from_, at);
    const size_t after = found + from_.size();
    if (found == absl::string_view::npos || after == all.size()) break;
    const bool whole = all[after] == '/' || all[after] == '"';
    absl::StrAppend(&out, all.substr(at, found - at), whole ? to_ : from_);
    at = after;
  }
  const size_t kept = beginningAtEnd(all.substr(at), from_);
  absl::StrAppend(&out, all.substr(at, all.size() - at - kept));
  held_ = std::string(all.substr(all.size() - kept));
  return out;
}

std::string UrlRewriter::rest() {
  return std::exchange(held_, std::string());
}

}  // namespace roost
