// Whatever a hub sends as JSON, the parsers either refuse it or return values that keep their
// types' promises.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "absl/strings/string_view.h"
#include "cluster/hub_json.h"
#include "protocol/limits.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  const absl::string_view text(reinterpret_cast<const char*>(bytes), size);
  if (const auto page = roost::parseTreePage(text); page.ok()) {
    if (page->files.size() > page->entries) std::abort();
    for (const roost::FileEntry& file : page->files) {
      const bool named = roost::RelativePath::parse(file.path.text()).ok();
      const bool lfs = file.blob.id.algorithm() == roost::HashAlgorithm::kSha256;
      if (!named || file.blob.size > roost::kBlobBytesMax || lfs != file.pointer.has_value()) {
        std::abort();
      }
    }
  }
  if (const auto revision = roost::parseHubRevision(text); revision.ok()) {
    if (revision->commit.hex().size() != 40) std::abort();
  }
  return 0;
}
