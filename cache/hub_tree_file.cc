#include "cache/hub_tree_file.h"

#include <nlohmann/json.hpp>

namespace roost {
namespace {

using Json = nlohmann::ordered_json;

std::optional<Json> entryOf(const FileEntry& file) {
  Json entry{{"size", file.blob.size}};
  if (file.blob.id.algorithm() == HashAlgorithm::kGitSha1) {
    entry["blob_id"] = file.blob.id.hex();
    return entry;
  }
  if (!file.pointer) return std::nullopt;
  entry["blob_id"] = hexOf(*file.pointer);
  entry["lfs_sha256"] = file.blob.id.hex();
  entry["lfs_size"] = file.blob.size;
  return entry;
}

}  // namespace

std::optional<std::string> hubTreeText(const Listing& manifest) {
  if (!manifest.complete || manifest.observes()) return std::nullopt;
  Json files = Json::object();
  for (const FileEntry& file : manifest.files) {
    std::optional<Json> entry = entryOf(file);
    if (!entry) return std::nullopt;
    files[file.path.text()] = *std::move(entry);
  }
  const Json tree{{"format_version", 1}, {"files", std::move(files)}};
  return tree.dump(-1, ' ', /*ensure_ascii=*/true);
}

}  // namespace roost
