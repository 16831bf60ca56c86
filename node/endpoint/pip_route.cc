#include "node/endpoint/pip_route.h"

#include <vector>

#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "node/endpoint/pip_page.h"
#include "protocol/blob_id.h"
#include "protocol/percent.h"

namespace roost {

namespace {

bool isSha256(absl::string_view text) {
  const auto id = BlobId::parseHex(text);
  return id.ok() && id->algorithm() == HashAlgorithm::kSha256;
}

}  // namespace

std::optional<PipRoute> pipRoute(absl::string_view target) {
  target = target.substr(0, target.find_first_of("?#"));
  if (!absl::ConsumePrefix(&target, "/pip/")) return std::nullopt;
  if (target == "simple" || target == "simple/") {
    return PipRoute{.kind = PipRoute::Kind::kProjects, .exact = target == "simple/"};
  }
  if (absl::ConsumePrefix(&target, "simple/")) {
    const bool slash = absl::ConsumeSuffix(&target, "/");
    const auto text = percentDecoded(target);
    const auto name = text ? pipProjectName(*text) : std::nullopt;
    if (!name) return std::nullopt;
    return PipRoute{
        .kind = PipRoute::Kind::kPage, .project = *name, .exact = slash && *name == target};
  }
  if (!absl::ConsumePrefix(&target, "files/")) return std::nullopt;
  const std::vector<absl::string_view> parts = absl::StrSplit(target, '/');
  if (parts.size() != 3 || (parts[1] != "-" && !isSha256(parts[1]))) return std::nullopt;
  const auto project = pipProjectName(parts[0]);
  const auto name = percentDecoded(parts[2]);
  if (!project || *project != parts[0] || !name || name->empty()) return std::nullopt;
  absl::string_view file = *name;
  const bool metadata = absl::ConsumeSuffix(&file, kMetadataSuffix);
  return PipRoute{.kind = PipRoute::Kind::kFile,
                  .project = *project,
                  .sha256 = std::string(parts[1]),
                  .name = std::string(file),
                  .metadata = metadata};
}

}  // namespace roost
