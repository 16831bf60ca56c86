#include "node/endpoint/file_head.h"

#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace roost {

bool hasAlready(const HttpAsk& ask, absl::string_view etag, HttpAnswer& answer) {
  const std::string* match = ask.find("if-none-match");
  if (match == nullptr || (!absl::StrContains(*match, etag) && *match != "*")) return false;
  answer.status = 304;
  answer.length = std::nullopt;
  return true;
}

ByteRange askedRange(const HttpAsk& ask, absl::string_view etag, uint64_t size) {
  const std::string* header = ask.find("range");
  const std::string* condition = ask.find("if-range");
  if (condition != nullptr && !absl::StrContains(*condition, etag)) header = nullptr;
  return byteRange(header == nullptr ? "" : *header, size);
}

void putRange(const ByteRange& range, uint64_t size, HttpAnswer& answer) {
  if (range.kind == ByteRange::Kind::kPart) {
    answer.status = 206;
    answer.headers.emplace_back("Content-Range",
                                absl::StrCat("bytes ", range.first, "-", range.end - 1, "/", size));
    answer.length = range.end - range.first;
  } else if (range.kind == ByteRange::Kind::kUnsatisfiable) {
    answer.status = 416;
    answer.headers.emplace_back("Content-Range", absl::StrCat("bytes */", size));
    answer.length = 0;
  }
}

}  // namespace roost
