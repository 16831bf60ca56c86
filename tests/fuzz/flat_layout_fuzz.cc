// Any url of a flat cache names no repo, or one whose names are safe to make folders and files of.
#include <cstdint>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "cache/flat_layout.h"
#include "protocol/limits.h"

namespace roost {
namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

void requireSafePath(absl::string_view path) {
  require(!path.empty() && path.size() <= kPathBytesMax);
  for (absl::string_view segment : absl::StrSplit(path, '/')) {
    require(!segment.empty() && segment != "." && segment != ".." &&
            segment.size() <= kPathSegmentBytesMax);
  }
}

// Whole, and behind what makes it one of a hub.
void checkUrls(absl::string_view text) {
  for (absl::string_view prefix :
       {"", "https://huggingface.co/org/m/resolve/", "https://huggingface.co/",
        "https://cdn.huggingface.co/", "https://s3.amazonaws.com/models.huggingface.co/bert/"}) {
    const auto url = parseFlatUrl(absl::StrCat(prefix, text), HubOrigin::huggingFace());
    if (!url) continue;
    requireSafePath(url->repo.folder());
    requireSafePath(url->path.text());
    if (const auto* ref = std::get_if<RefName>(&url->revision)) requireSafePath(ref->text());
  }
}

}  // namespace
}  // namespace roost

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  const absl::string_view text(reinterpret_cast<const char*>(bytes), size);
  roost::checkUrls(text);
  (void)roost::isFlatName(text);
  return 0;
}
