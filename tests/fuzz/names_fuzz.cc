// Any bytes are either refused by the strict parsers or become a value that is safe where it is
// used: printed, compared, or taken as a path below a folder.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "protocol/blob_id.h"
#include "protocol/limits.h"
#include "protocol/names.h"
#include "protocol/node_id.h"

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
  for (char c : path) require(static_cast<uint8_t>(c) >= 0x20 && c != 0x7f && c != '\\');
}

// What parsed must parse again to itself from the text it gives.
void checkNames(absl::string_view text) {
  const HubOrigin hub = HubOrigin::huggingFace();
  if (const auto origin = HubOrigin::parse(text); origin.ok()) {
    require(HubOrigin::parse(origin->url()).value() == *origin);
  }
  for (RepoType type : {RepoType::kModel, RepoType::kDataset, RepoType::kSpace}) {
    if (const auto repo = RepoId::make(hub, type, text); repo.ok()) {
      require(!absl::StrContains(repo->folder(), '/'));
      requireSafePath(repo->folder());
      require(RepoId::ofFolder(hub, repo->folder()).value() == *repo);
    }
  }
  if (const auto repo = RepoId::ofFolder(hub, text); repo.ok()) require(repo->folder() == text);
  if (const auto ref = RefName::parse(text); ref.ok()) requireSafePath(ref->text());
  if (const auto path = RelativePath::parse(text); path.ok()) {
    requireSafePath(path->text());
    require(path->depth() <= kPathDepthMax);
  }
  if (const auto commit = Commit::parse(text); commit.ok()) require(commit->hex() == text);
  if (const auto address = Address::parse(text); address.ok()) {
    require(Address::parse(address->toString()).value() == *address);
  }
  if (const auto name = parseNodeName(text); name.ok()) requireSafePath(*name);
  (void)parseRepoType(text);
  for (char c : quoted(text)) require(static_cast<uint8_t>(c) >= 0x20 && c != 0x7f);
}

void checkIds(absl::string_view text) {
  if (const auto id = BlobId::parse(text); id.ok()) {
    require(BlobId::parse(id->toString()).value() == *id);
    require(BlobId::parseHex(id->hex()).value() == *id);
  }
  if (const auto id = NodeId::parse(text); id.ok()) require(id->hex() == text);
  if (const auto id = StoreId::parse(text); id.ok()) require(id->text() == text);
}

}  // namespace
}  // namespace roost

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  const absl::string_view text(reinterpret_cast<const char*>(bytes), size);
  roost::checkNames(text);
  roost::checkIds(text);
  // "pattern\ntext": patterns come from people, texts from repos.
  if (const size_t split = text.find('\n'); split < 64 && size < 256) {
    (void)roost::globMatches(text.substr(0, split), text.substr(split + 1));
  }
  return 0;
}
