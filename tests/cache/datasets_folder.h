// A datasets cache for tests, written as the datasets library writes it.
#ifndef ROOST_TESTS_CACHE_DATASETS_FOLDER_H_
#define ROOST_TESTS_CACHE_DATASETS_FOLDER_H_

#include <fcntl.h>
#include <sys/file.h>

#include <filesystem>
#include <map>
#include <string>

#include "absl/strings/str_cat.h"
#include "cache/datasets_layout.h"
#include "cache/finished_directory.h"
#include "cache/unique_fd.h"
#include "tests/cache/hub_folder.h"
#include "tests/cache/temp_folder.h"

namespace roost::testing {

using Contents = std::map<std::string, std::string>;  // by name

inline RepoId datasetCache(const std::string& name) {
  return *datasetCacheNamed(HubOrigin::huggingFace(), name);
}

class DatasetsFolder {
 public:
  static inline const std::string kCommit = std::string(40, 'c');
  static inline const std::string kDirectory = "org___rows/default/0.0.0/" + kCommit;

  const std::string& root() const { return folder_.path(); }
  std::string operator/(const std::string& name) const { return folder_ / name; }
  void write(const std::string& name, const std::string& text) const { folder_.write(name, text); }

  // As builder.py leaves it: made beside, renamed.
  void prepare(const std::string& directory = kDirectory,
               const Contents& files = {{"rows-train.arrow", "rows"},
                                        {"dataset_info.json", "{}"}}) const {
    for (const auto& [name, text] : files) {
      folder_.write(absl::StrCat(directory, ".incomplete/", name), text);
    }
    std::filesystem::rename(folder_ / (directory + ".incomplete"), folder_ / directory);
    folder_.write(directory + "_builder.lock", "");
    folder_.write(directory + ".incomplete_info.lock", "");
  }
  Contents contents(const std::string& directory = kDirectory) const {
    Contents files;
    for (const auto& entry : std::filesystem::directory_iterator(folder_ / directory)) {
      files[entry.path().filename()] = contentOf(entry.path());
    }
    return files;
  }
  bool has(const std::string& place) const { return std::filesystem::exists(folder_ / place); }
  // Held as the library holds it, until the descriptor goes.
  UniqueFd lock(const std::string& name) const {
    UniqueFd fd(::open((folder_ / name).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
    EXPECT_EQ(::flock(fd.get(), LOCK_EX | LOCK_NB), 0) << name;
    return fd;
  }

 private:
  TempFolder folder_;
};

// What a node tells of such a directory.
inline Listing finishedListing(const RepoId& cache, const std::string& directory,
                               const Contents& files) {
  Listing listing{cache, finishedCommit({}), true, Visibility::kUnknown, {}};
  for (const auto& [name, text] : files) {
    listing.files.push_back({*RelativePath::parse(absl::StrCat(directory, "/", name)),
                             {sha256Of(text), text.size()},
                             std::nullopt});
  }
  listing.commit = finishedCommit(listing.files);
  return listing;
}

}  // namespace roost::testing

#endif  // ROOST_TESTS_CACHE_DATASETS_FOLDER_H_
