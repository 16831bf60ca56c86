// A hub cache folder for tests, written step by step as clients write it.
#ifndef ROOST_TESTS_CACHE_HUB_FOLDER_H_
#define ROOST_TESTS_CACHE_HUB_FOLDER_H_

#include <openssl/evp.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "protocol/blob_id.h"
#include "protocol/names.h"

namespace roost::testing {

inline std::string digestHex(const EVP_MD* algorithm, const std::string& bytes) {
  uint8_t digest[EVP_MAX_MD_SIZE];
  unsigned length = 0;
  EVP_Digest(bytes.data(), bytes.size(), digest, &length, algorithm, nullptr);
  return hexOf(absl::MakeConstSpan(digest, length));
}
inline std::string sha256Hex(const std::string& content) {
  return digestHex(EVP_sha256(), content);
}
inline std::string gitSha1Hex(const std::string& content) {
  const std::string header = absl::StrCat("blob ", content.size());
  return digestHex(EVP_sha1(), header + std::string(1, '\0') + content);
}
inline BlobId sha256Of(const std::string& content) {
  return *BlobId::parseHex(sha256Hex(content));
}
inline BlobId gitSha1Of(const std::string& content) {
  return *BlobId::parseHex(gitSha1Hex(content));
}

inline RepoId repoNamed(absl::string_view name, RepoType type = RepoType::kModel) {
  return *RepoId::make(HubOrigin::huggingFace(), type, name);
}
inline Commit commitOf(char digit) {
  return *Commit::parse(std::string(40, digit));
}

class HubFolder {
 public:
  HubFolder() {
    std::string pattern = ::testing::TempDir() + "roost-hub-XXXXXX";
    base_ = mkdtemp(pattern.data());
    std::filesystem::create_directories(root());
  }
  ~HubFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(base_, ignored);
  }
  HubFolder(const HubFolder&) = delete;
  HubFolder& operator=(const HubFolder&) = delete;

  std::filesystem::path outside() const { return base_; }
  std::filesystem::path root() const { return base_ / "hub"; }
  std::filesystem::path at(const RepoId& repo) const { return root() / repo.folder(); }

  static void write(const std::filesystem::path& path, const std::string& text) {
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary) << text;
  }
  // Written under another name and renamed, as clients do.
  static void land(const std::filesystem::path& path, const std::string& text) {
    write(path.string() + ".1a2b3c4d.incomplete", text);
    std::filesystem::rename(path.string() + ".1a2b3c4d.incomplete", path);
  }
  static void link(const std::filesystem::path& target, const std::filesystem::path& path) {
    std::filesystem::create_directories(path.parent_path());
    std::filesystem::remove(path);
    std::filesystem::create_symlink(target, path);
  }

  void ref(const RepoId& repo, const std::string& name, const std::string& text) const {
    write(at(repo) / "refs" / name, text);
  }
  void blob(const RepoId& repo, const std::string& etag, const std::string& content) const {
    land(at(repo) / "blobs" / etag, content);
  }
  void show(const RepoId& repo, const Commit& commit, const std::string& path,
            const std::string& etag) const {
    std::string up = "../../";
    for (char c : path) up += c == '/' ? "../" : "";
    link(up + "blobs/" + etag, at(repo) / "snapshots" / commit.hex() / path);
  }
  // A file as huggingface_hub leaves it: blob and link. LFS files go by sha256, others by git sha1.
  BlobId file(const RepoId& repo, const Commit& commit, const std::string& path,
              const std::string& content, bool lfs = false) const {
    const std::string etag = lfs ? sha256Hex(content) : gitSha1Hex(content);
    blob(repo, etag, content);
    show(repo, commit, path, etag);
    return *BlobId::parseHex(etag);
  }

  struct TreeFile {
    std::string path;
    std::string content;
    bool lfs = false;
  };
  static std::string treeJson(const std::vector<TreeFile>& files) {
    std::string json = "{\"format_version\":1,\"files\":{";
    for (size_t i = 0; i < files.size(); ++i) {
      const TreeFile& file = files[i];
      absl::StrAppend(&json, i == 0 ? "" : ",", "\"", file.path,
                      "\":{\"size\":", file.content.size(), ",\"blob_id\":\"",
                      gitSha1Hex(file.lfs ? "pointer of " + file.content : file.content), "\"");
      if (file.lfs) {
        absl::StrAppend(&json, ",\"lfs_sha256\":\"", sha256Hex(file.content),
                        "\",\"lfs_size\":", file.content.size());
      }
      json += "}";
    }
    return json + "}}";
  }
  void tree(const RepoId& repo, const Commit& commit, const std::vector<TreeFile>& files) const {
    write(at(repo) / "trees" / (commit.hex() + ".json"), treeJson(files));
  }

 private:
  std::filesystem::path base_;
};

}  // namespace roost::testing

#endif  // ROOST_TESTS_CACHE_HUB_FOLDER_H_
