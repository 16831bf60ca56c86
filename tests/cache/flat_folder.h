// A flat cache folder for tests, written as transformers before 4.22 wrote it.
#ifndef ROOST_TESTS_CACHE_FLAT_FOLDER_H_
#define ROOST_TESTS_CACHE_FLAT_FOLDER_H_

#include <filesystem>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/cache/hub_folder.h"
#include "tests/cache/temp_folder.h"

namespace roost::testing {

inline std::string flatUrl(const std::string& repo, const std::string& path,
                           const std::string& revision = "main") {
  return absl::StrCat("https://huggingface.co/", repo, "/resolve/", revision, "/", path);
}
inline std::string flatName(const std::string& url, const std::string& etag) {
  return absl::StrCat(sha256Hex(url), ".", sha256Hex(etag),
                      absl::EndsWith(url, ".h5") ? ".h5" : "");
}
inline std::string flatJson(const std::string& url, const std::string& etag) {
  return absl::StrCat(R"({"url": ")", url, R"(", "etag": ")", etag, R"("})");
}
// As it stands in the description: with quotes, escaped.
inline std::string gitEtag(const std::string& content) {
  return absl::StrCat("\"", gitSha1Hex(content), "\"");
}
inline std::string lfsEtag(const std::string& content) {
  return absl::StrCat("\"", sha256Hex(content), "\"");
}

class FlatFolder {
 public:
  const std::string& root() const { return folder_.path(); }
  std::string operator/(const std::string& name) const { return folder_ / name; }

  // A file as it was left: content, description, lock. Returns its name.
  std::string file(const std::string& url, const std::string& content,
                   const std::string& etag) const {
    const std::string name = flatName(url, etag);
    folder_.write(name + ".tmp", content);
    std::filesystem::rename(folder_ / (name + ".tmp"), folder_ / name);
    describe(name, url, etag);
    folder_.write(name + ".lock", "");
    return name;
  }
  std::string file(const std::string& url, const std::string& content) const {
    return file(url, content, gitEtag(content));
  }
  void describe(const std::string& name, const std::string& url, const std::string& etag) const {
    std::string escaped;
    for (char c : etag) escaped += c == '"' ? "\\\"" : std::string(1, c);
    folder_.write(name + ".json", flatJson(url, escaped));
  }
  void write(const std::string& name, const std::string& text) const { folder_.write(name, text); }

 private:
  TempFolder folder_;
};

}  // namespace roost::testing

#endif  // ROOST_TESTS_CACHE_FLAT_FOLDER_H_
