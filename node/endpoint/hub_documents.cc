#include "node/endpoint/hub_documents.h"

#include <openssl/evp.h>

#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "node/endpoint/hub_route.h"
#include "protocol/limits.h"
#include "protocol/percent.h"

namespace roost {
namespace {

using nlohmann::json;

std::string dumped(const json& document) {
  return document.dump(-1, ' ', false, json::error_handler_t::replace);
}

// What git has in place of an LFS file: https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md
std::string lfsPointer(const BlobInfo& blob) {
  return absl::StrCat("version https://git-lfs.github.com/spec/v1\noid sha256:", blob.id.hex(),
                      "\nsize ", blob.size, "\n");
}

BlobId gitObject(absl::string_view content) {
  const std::string object =
      absl::StrCat("blob ", content.size(), absl::string_view("\0", 1), content);
  GitSha1 digest;
  unsigned int size = 0;
  EVP_Digest(object.data(), object.size(), digest.data(), &size, EVP_sha1(), nullptr);
  return BlobId::gitSha1(digest);
}

json fileDocument(const FileEntry& file) {
  const bool large = file.blob.id.algorithm() == HashAlgorithm::kSha256;
  json document = {{"type", "file"}, {"path", file.path.text()}, {"size", file.blob.size}};
  if (!large) {
    document["oid"] = file.blob.id.hex();
    return document;
  }
  const std::string pointer = lfsPointer(file.blob);
  document["oid"] = (file.pointer ? BlobId::gitSha1(*file.pointer) : gitObject(pointer)).hex();
  document["lfs"] = {
      {"oid", file.blob.id.hex()}, {"size", file.blob.size}, {"pointerSize", pointer.size()}};
  return document;
}

json folderDocument(absl::string_view path) {
  return {{"type", "directory"}, {"path", path}, {"size", 0}, {"oid", std::string(40, '0')}};
}

// What lies deeper than any document of the hub stays as it is: a peer's may be deep on purpose.
void dropXet(json& value, size_t depthLeft = kJsonDepthMax) {
  if (depthLeft == 0) return;
  if (value.is_array()) {
    for (json& item : value) dropXet(item, depthLeft - 1);
  } else if (value.is_object()) {
    value.erase("xetHash");
    for (auto& [key, item] : value.items()) dropXet(item, depthLeft - 1);
  }
}

}  // namespace

std::string infoDocument(const Listing& manifest) {
  json siblings = json::array();
  for (const FileEntry& file : manifest.files) {
    siblings.push_back({{"rfilename", file.path.text()}});
  }
  const std::string& name = manifest.repo.name();
  json document = {
      {"_id", manifest.commit.hex().substr(0, 24)},
      {"id", name},
      {"sha", manifest.commit.hex()},
      {"private", manifest.visibility == Visibility::kPrivate},
      {"gated", manifest.visibility == Visibility::kGated ? json("auto") : json(false)},
      {"disabled", false},
      {"downloads", 0},
      {"likes", 0},
      {"tags", json::array()},
      {"siblings", std::move(siblings)}};
  if (manifest.repo.type() == RepoType::kModel) document["modelId"] = name;
  const size_t slash = name.find('/');
  if (slash != std::string::npos) document["author"] = name.substr(0, slash);
  return dumped(document);
}

absl::StatusOr<std::string> treeDocument(const Listing& manifest, absl::string_view folder,
                                         bool recursive) {
  const std::string prefix = folder.empty() ? "" : absl::StrCat(folder, "/");
  std::map<std::string, json> entries;
  bool found = folder.empty();
  for (const FileEntry& file : manifest.files) {
    absl::string_view rest = file.path.text();
    if (!absl::ConsumePrefix(&rest, prefix)) continue;
    found = true;
    // The folders on the way.
    for (size_t slash = rest.find('/'); slash != absl::string_view::npos;
         slash = rest.find('/', slash + 1)) {
      const std::string path = absl::StrCat(prefix, rest.substr(0, slash));
      entries.emplace(path, folderDocument(path));
      if (!recursive) break;
    }
    if (recursive || !absl::StrContains(rest, '/')) {
      entries.emplace(file.path.text(), fileDocument(file));
    }
  }
  if (!found) return absl::NotFoundError(absl::StrCat(folder, " does not exist"));
  json list = json::array();
  for (auto& [path, entry] : entries) list.push_back(std::move(entry));
  return dumped(list);
}

absl::StatusOr<std::string> pathsInfoDocument(const Listing& manifest, absl::string_view body) {
  std::set<std::string> paths;
  if (const json parsed = json::parse(body, nullptr, false); parsed.is_object()) {
    const auto list = parsed.find("paths");
    if (list == parsed.end() || !list->is_array()) {
      return absl::InvalidArgumentError("expected {\"paths\": [...]}");
    }
    for (const json& path : *list) {
      if (path.is_string()) paths.insert(path.get<std::string>());
    }
  } else {
    for (absl::string_view pair : absl::StrSplit(body, '&', absl::SkipEmpty())) {
      if (!absl::ConsumePrefix(&pair, "paths=")) continue;
      const auto path = percentDecoded(absl::StrReplaceAll(pair, {{"+", " "}}));
      if (path) paths.insert(*path);
    }
  }
  json list = json::array();
  std::set<std::string> folders;
  for (const FileEntry& file : manifest.files) {
    const std::string& path = file.path.text();
    if (paths.contains(path)) list.push_back(fileDocument(file));
    for (size_t slash = path.find('/'); slash != std::string::npos;
         slash = path.find('/', slash + 1)) {
      const std::string folder = path.substr(0, slash);
      if (paths.contains(folder) && folders.insert(folder).second) {
        list.push_back(folderDocument(folder));
      }
    }
  }
  return dumped(list);
}

std::string refsDocument(const std::vector<RefState>& refs) {
  json branches = json::array();
  for (const RefState& ref : refs) {
    branches.push_back({{"name", ref.ref.text()},
                        {"ref", absl::StrCat("refs/heads/", ref.ref.text())},
                        {"targetCommit", ref.commit.hex()}});
  }
  return dumped(
      {{"branches", std::move(branches)}, {"tags", json::array()}, {"converts", json::array()}});
}

std::string withoutXet(std::string text) {
  if (!absl::StrContains(text, "xetHash")) return text;
  json document = json::parse(text, nullptr, false);
  if (document.is_discarded()) return text;
  dropXet(document);
  return dumped(document);
}

}  // namespace roost
