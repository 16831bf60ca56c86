// What other programs write into a cache folder, and we parse: trees/<commit>.json, refs, and the
// names of folders and files. The first byte chooses.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "absl/strings/string_view.h"
#include "cache/hub_layout.h"
#include "cache/tree_json.h"
#include "protocol/limits.h"
#include "protocol/names.h"

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

void tree(absl::string_view text) {
  static const roost::RepoId kRepo =
      *roost::RepoId::make(roost::HubOrigin::huggingFace(), roost::RepoType::kModel, "org/name");
  static const roost::Commit kCommit = *roost::Commit::parse(std::string(40, 'a'));
  const auto listing = roost::parseTreeJson(text, kRepo, kCommit);
  if (!listing.ok()) return;
  require(listing->complete && listing->files.size() <= roost::kManifestFilesMax);
  for (size_t i = 0; i < listing->files.size(); ++i) {
    const roost::FileEntry& file = listing->files[i];
    require(file.blob.size <= roost::kBlobBytesMax);
    require(roost::RelativePath::parse(file.path.text()).ok());
    require(i == 0 || listing->files[i - 1].path < file.path);
    require(file.pointer.has_value() ==
            (file.blob.id.algorithm() == roost::HashAlgorithm::kSha256));
  }
}

void ref(absl::string_view text) {
  const auto commit = roost::parseRef(text);
  require(!commit || commit->hex() == text);
}

void folder(absl::string_view text) {
  const auto repo = roost::RepoId::ofFolder(roost::HubOrigin::huggingFace(), text);
  require(!repo.ok() || repo->folder() == text);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const absl::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 3) {
    case 0:
      tree(text);
      break;
    case 1:
      ref(text);
      break;
    default:
      folder(text);
  }
  return 0;
}
