#include "cache/datasets_layout.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "cache/datasets_info.h"
#include "cache/directory_reader.h"
#include "cache/file_io.h"
#include "cache/unique_fd.h"
#include "protocol/errors.h"
#include "protocol/limits.h"

namespace roost {
namespace {

constexpr absl::string_view kInfo = "dataset_info.json";
constexpr absl::string_view kArrow = ".arrow";
constexpr absl::string_view kIncomplete = ".incomplete";
constexpr absl::string_view kOrgEnd = "___";
inline constexpr size_t kDatasetInfoBytesMax = 4 << 20;  // 100,000 names of classes: 2 MB

bool isUpper(char c) {
  return absl::ascii_isupper(static_cast<unsigned char>(c));
}
bool isLower(char c) {
  return absl::ascii_islower(static_cast<unsigned char>(c));
}

// naming.py, camelcase_to_snakecase(): its two substitutions and lower().
std::string snakeCase(absl::string_view name) {
  std::string words;
  for (size_t i = 0; i < name.size(); ++i) {
    const bool lastOfCapitals = i > 0 && i + 1 < name.size() && isUpper(name[i - 1]) &&
                                isUpper(name[i]) && isLower(name[i + 1]);
    const bool firstCapital =
        i > 0 && isUpper(name[i]) &&
        (isLower(name[i - 1]) || absl::ascii_isdigit(static_cast<unsigned char>(name[i - 1])));
    if (lastOfCapitals || firstCapital) words += '_';
    words += absl::ascii_tolower(static_cast<unsigned char>(name[i]));
  }
  return words;
}

// A name that no folder of the library has: its own and ours.
bool isOtherFolder(absl::string_view name) {
  return absl::StartsWith(name, ".") || name == "downloads" || name == "extracted";
}

// Whoever makes the directory anew holds this; it is only ever tried.
bool isBuilderLockHeld(int parent, const std::string& hash) {
  const std::string name = absl::StrCat(hash, "_builder.lock");
  const UniqueFd lock(openat(parent, name.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK));
  return lock && flock(lock.get(), LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
}

class DatasetsScanner {
 public:
  DatasetsScanner(std::string root, Share share, const HubOrigin& origin, RootScan& scan)
      : root_(std::move(root)), share_(share), origin_(origin), scan_(scan) {}

  void readRoot(DirectoryReader& directory) {
    for (const std::string& name : namesIn(directory)) {
      if (!isOtherFolder(name)) readDataset(directory, name);
    }
    finish();
  }

 private:
  std::vector<std::string> namesIn(DirectoryReader& directory) {
    std::vector<std::string> names;
    while (const auto entry = directory.next()) {
      if (++entries_ > kScanFilesMax) break;
      names.emplace_back(*entry);
    }
    std::sort(names.begin(), names.end());
    return names;
  }

  // None: it is no directory. From here on it is watched.
  std::optional<DirectoryReader> enter(const DirectoryReader& parent, const std::string& name,
                                       const std::string& path) {
    auto directory = DirectoryReader::open(parent.fd(), name);
    if (!directory.ok()) {
      if (!absl::IsNotFound(directory.status())) problem(path, directory.status().message());
      return std::nullopt;
    }
    ScannedDirectory scanned{path, {}, MarkScope::kNames};
    const auto mark = markOf(directory->fd(), scanned.scope, path);
    if (!mark.ok()) return std::nullopt;
    scanned.mark = *mark;
    scan_.below.push_back(std::move(scanned));
    return *std::move(directory);
  }

  void readDataset(const DirectoryReader& root, const std::string& name) {
    const auto repo = datasetCacheNamed(origin_, name);
    if (!repo.ok() || datasetsFolder(*repo) != name) return;  // no name that the library gives
    auto dataset = enter(root, name, name);
    if (!dataset) return;
    for (const std::string& config : namesIn(*dataset)) {
      const std::string configPath = absl::StrCat(name, "/", config);
      auto versions = enter(*dataset, config, configPath);
      if (!versions) continue;
      for (const std::string& version : namesIn(*versions)) {
        const std::string versionPath = absl::StrCat(configPath, "/", version);
        auto hashes = enter(*versions, version, versionPath);
        if (hashes) readVersion(*repo, *hashes, versionPath);
      }
    }
  }

  void readVersion(const RepoId& repo, DirectoryReader& version, const std::string& path) {
    const std::vector<std::string> names = namesIn(version);
    for (const std::string& hash : names) {
      if (!isDatasetsFile(hash)) continue;
      const std::string place = absl::StrCat(path, "/", hash);
      auto directory = enter(version, hash, place);
      if (!directory || !isShared(repo, hash)) continue;
      const bool anew =
          std::binary_search(names.begin(), names.end(), absl::StrCat(hash, kIncomplete));
      if (anew && isBuilderLockHeld(version.fd(), hash)) continue;
      readFinished(repo, *directory, place);
    }
  }

  bool isShared(const RepoId& repo, const std::string& hash) const {
    return share_ == Share::kCluster || absl::StrContains(repo.name(), '/') ||
           Commit::parse(hash).ok();
  }

  void readFinished(const RepoId& repo, DirectoryReader& directory, const std::string& place) {
    struct File {
      RelativePath path;
      FileStamp stamp;
    };
    std::vector<File> files;
    std::set<std::string> present;
    bool base = false;
    for (const std::string& name : namesIn(directory)) {
      if (!isDatasetsFile(name)) continue;
      const auto status = directory.look(name);
      if (!status || S_ISDIR(status->st_mode)) continue;
      const auto path = RelativePath::parse(absl::StrCat(place, "/", name));
      if (!path.ok()) return problem(place, path.status().message());
      if (!S_ISREG(status->st_mode)) {
        return problem(place, absl::StrCat(quoted(name), " in it is not a file"));
      }
      if (!directory.mayRead(name, *status)) {
        return problem(place, absl::StrCat(quoted(name), " in it cannot be read"));
      }
      present.insert(name);
      base = base || (absl::EndsWith(name, kArrow) && !isDerivedFile(name));
      files.push_back({*path, FileStamp::of(*status)});
    }
    if (!base || !present.contains(std::string(kInfo))) return;  // what is left of one
    const auto info = infoIn(directory, place);
    if (!info.ok()) return problem(place, info.status().message());
    if (!hasAllSplits(*info, present)) return;  // somebody is deleting it
    const auto ref = RefName::parse(place.substr(place.find('/') + 1));
    if (!ref.ok()) return problem(place, ref.status().message());
    if (finished_ == kFinishedMax || files_ + files.size() > kManifestFilesMax) {
      return problem(place, "there are too many like it");
    }
    ++finished_;
    files_ += files.size();
    RepoScan& scan = repos_.try_emplace(repo, RepoScan{.repo = repo}).first->second;
    ScannedFinished finished{*ref, writtenAt(directory), {}};
    for (File& file : files) {
      finished.files.push_back({file.path, static_cast<uint32_t>(scan.copies.size())});
      scan.copies.push_back({file.path.text(), std::nullopt, file.stamp});
    }
    scan.finished.push_back(std::move(finished));
  }

  static absl::StatusOr<std::string> infoIn(const DirectoryReader& directory,
                                            const std::string& place) {
    const std::string name(kInfo);
    const UniqueFd fd(
        openat(directory.fd(), name.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK));
    if (!fd) return errnoStatus(errno, "cannot open", absl::StrCat(place, "/", name));
    return readSmallFile(fd.get(), name, kDatasetInfoBytesMax);
  }

  static absl::Time writtenAt(const DirectoryReader& directory) {
    struct stat info {};
    if (fstat(directory.fd(), &info) != 0) return absl::UnixEpoch();
    return std::min(absl::TimeFromTimespec(info.st_mtim), absl::Now());
  }

  void problem(const std::string& place, absl::string_view why) {
    if (++problems_ > kScanProblemsMax) return;
    scan_.problems.push_back(
        sentence(absl::StrCat(root_, "/", place, " is not shared"), why,
                 "Delete it if nobody needs it, or prepare the dataset again"));
  }

  void finish() {
    if (problems_ > kScanProblemsMax) {
      scan_.problems.push_back(
          absl::StrCat("… ", problems_ - kScanProblemsMax, " more in ", root_));
    }
    if (entries_ > kScanFilesMax) {
      scan_.problems.push_back(sentence(absl::StrCat(root_, " is read only in part"),
                                        absl::StrCat("it has more than ", kScanFilesMax, " files"),
                                        "Delete what is not needed"));
    }
    for (auto& [id, repo] : repos_) {
      std::sort(repo.finished.begin(), repo.finished.end(),
                [](const auto& a, const auto& b) { return a.ref < b.ref; });
      scan_.repos.push_back(id);
      scan_.contents.push_back(std::move(repo));
    }
  }

  const std::string root_;
  const Share share_;
  const HubOrigin& origin_;
  RootScan& scan_;
  std::map<RepoId, RepoScan> repos_;
  size_t entries_ = 0, finished_ = 0, files_ = 0, problems_ = 0;
};

}  // namespace

absl::StatusOr<RepoId> datasetCacheNamed(HubOrigin origin, absl::string_view name) {
  std::string org;
  absl::string_view own = name;
  size_t end = name.find('/');
  size_t length = 1;
  if (end == absl::string_view::npos) {
    end = name.find(kOrgEnd);
    length = kOrgEnd.size();
  }
  if (end != absl::string_view::npos && end > 0) {
    org = absl::StrCat(name.substr(0, end), "/");
    own = name.substr(end + length);
  }
  return RepoId::make(std::move(origin), RepoType::kDatasetCache,
                      absl::StrCat(org, snakeCase(own)));
}

std::optional<RepoId> datasetCacheOf(const RepoId& dataset) {
  if (dataset.type() != RepoType::kDataset) return std::nullopt;
  auto cache = datasetCacheNamed(dataset.origin(), dataset.name());
  if (!cache.ok()) return std::nullopt;
  return *std::move(cache);
}

std::string datasetsFolder(const RepoId& cache) {
  return absl::StrJoin(absl::StrSplit(cache.name(), '/'), kOrgEnd);
}

std::optional<DatasetsPlace> datasetsPlace(const RepoId& cache, const RelativePath& path) {
  const std::vector<std::string> parts = absl::StrSplit(path.text(), '/');
  if (parts.size() != 5 || parts[0] != datasetsFolder(cache)) return std::nullopt;
  const std::string& hash = parts[3];
  const std::string ref = absl::StrCat(parts[1], "/", parts[2], "/", hash);
  const bool directory = RefName::parse(ref).ok() && isDatasetsFile(hash);
  if (!directory || !isDatasetsFile(parts[4])) return std::nullopt;
  return DatasetsPlace{absl::StrCat(parts[0], "/", parts[1], "/", parts[2]), hash, parts[4]};
}

bool isDatasetsFile(absl::string_view name) {
  return mattersInDatasets(name) && !absl::EndsWith(name, kIncomplete);
}

bool isDerivedFile(absl::string_view name) {
  return absl::StartsWith(name, "cache-") && absl::EndsWith(name, kArrow);
}

bool mattersInDatasets(absl::string_view name) {
  return !name.empty() && !absl::StartsWith(name, ".") && !absl::StartsWith(name, "tmp") &&
         !absl::EndsWith(name, ".lock");
}

absl::StatusOr<RootScan> scanDatasets(const std::string& root, Share share,
                                      const HubOrigin& origin) {
  ROOST_ASSIGN_OR_RETURN(const RealFolder real, realFolder(root));
  ROOST_ASSIGN_OR_RETURN(DirectoryReader directory, DirectoryReader::open(AT_FDCWD, real.path));
  RootScan scan;
  scan.realPath = real.path;
  scan.kind = real.kind;
  ROOST_ASSIGN_OR_RETURN(scan.directory.mark, markOf(directory.fd(), scan.directory.scope, root));
  DatasetsScanner scanner(root, share, origin, scan);
  scanner.readRoot(directory);
  return scan;
}

}  // namespace roost
