#include "cache/tree_layout.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "cache/directory_reader.h"
#include "cache/tree_scope.h"
#include "protocol/errors.h"
#include "protocol/limits.h"

namespace roost {
namespace {

// What huggingface_hub keeps in a local_dir about its files, by their times: true of one node only.
constexpr absl::string_view kLocalDirCache = ".cache/huggingface";

absl::string_view directoryOf(const RelativePath& path) {
  const size_t slash = path.text().rfind('/');
  return slash == std::string::npos ? absl::string_view()
                                    : absl::string_view(path.text()).substr(0, slash);
}

class TreeScanner {
 public:
  TreeScanner(const RootConfig& root, absl::Time now, RootScan& scan, RepoScan& repo,
              ScannedFinished& finished)
      : root_(root), now_(now), scan_(scan), repo_(repo), finished_(finished) {}

  void read(DirectoryReader& directory, const std::string& path, size_t depth) {
    std::vector<std::string> names;
    while (const auto entry = directory.next()) {
      if (++entries_ > kScanFilesMax) break;
      if (isTreeName(*entry)) names.emplace_back(*entry);
    }
    std::sort(names.begin(), names.end());
    for (const std::string& name : names) {
      const auto status = directory.look(name);
      if (!status) continue;
      const std::string place = path.empty() ? name : absl::StrCat(path, "/", name);
      if (S_ISDIR(status->st_mode)) {
        enter(directory, name, place, depth + 1);
      } else if (S_ISREG(status->st_mode)) {
        add(directory, name, place, *status);
      }
    }
  }

  void finish() {
    if (tooMany_ > 0 || entries_ > kScanFilesMax) {
      scan_.problems.push_back(sentence(absl::StrCat(root_.path, " is shared only in part"),
                                        absl::StrCat("a tree has at most ", kTreeFilesMax,
                                                     " files and ", kTreeBytesMax >> 40, " TiB"),
                                        "Delete what is not needed, or name a folder below it"));
    }
    if (problems_ > kScanProblemsMax) {
      scan_.problems.push_back(
          absl::StrCat("… ", problems_ - kScanProblemsMax, " more in ", root_.path));
    }
    std::sort(finished_.files.begin(), finished_.files.end(),
              [](const ScannedFile& a, const ScannedFile& b) { return a.path < b.path; });
  }

 private:
  // From here on it is watched.
  void enter(const DirectoryReader& parent, const std::string& name, const std::string& place,
             size_t depth) {
    if (place == kLocalDirCache) return;
    if (depth >= kPathDepthMax) return problem(place, "it lies too deep");
    auto directory = DirectoryReader::open(parent.fd(), name);
    if (!directory.ok()) {
      if (!absl::IsNotFound(directory.status())) problem(place, directory.status().message());
      return;
    }
    ScannedDirectory scanned{place, {}, MarkScope::kNames};
    const auto mark = markOf(directory->fd(), scanned.scope, place);
    if (!mark.ok()) return;
    scanned.mark = *mark;
    scan_.below.push_back(std::move(scanned));
    read(*directory, place, depth);
  }

  void add(const DirectoryReader& directory, const std::string& name, const std::string& place,
           const struct stat& status) {
    const auto path = RelativePath::parse(place);
    if (!path.ok()) return problem(place, path.status().message());
    if (!directory.mayRead(name, status)) return problem(place, "this user may not read it");
    const FileStamp stamp = FileStamp::of(status);
    if (!stamp.settled(now_)) {
      // One that claims to be of the future would be looked at for ever.
      if (absl::FromUnixNanos(stamp.mtimeNs) <= now_) scan_.unsettled = true;
      return;
    }
    if (finished_.files.size() == kTreeFilesMax || stamp.size > kTreeBytesMax - bytes_) {
      ++tooMany_;
      return;
    }
    bytes_ += stamp.size;
    finished_.written = std::max(finished_.written, absl::FromUnixNanos(stamp.mtimeNs));
    finished_.files.push_back({*path, static_cast<uint32_t>(repo_.copies.size()), std::nullopt,
                               (status.st_mode & S_IXUSR) != 0});
    repo_.copies.push_back({place, std::nullopt, stamp});
  }

  void problem(const std::string& place, absl::string_view why) {
    if (++problems_ > kScanProblemsMax) return;
    scan_.problems.push_back(sentence(absl::StrCat(root_.path, "/", place, " is not shared"), why,
                                      "Rename it, or let the agent's user read it"));
  }

  const RootConfig& root_;
  const absl::Time now_;
  RootScan& scan_;
  RepoScan& repo_;
  ScannedFinished& finished_;
  size_t entries_ = 0, problems_ = 0, tooMany_ = 0;
  uint64_t bytes_ = 0;
};

}  // namespace

bool isTreeName(absl::string_view name) {
  if (name.empty()) return false;
  for (const char* start : {"tmp.", ".tmp", ".roost-"}) {
    if (absl::StartsWith(name, start)) return false;
  }
  for (const char* end : {".tmp", ".lock", ".incomplete", ".part", ".temp", ".roost-part"}) {
    if (absl::EndsWith(name, end)) return false;
  }
  return true;
}

bool isTreePath(const RelativePath& path) {
  if (absl::StartsWith(path.text(), absl::StrCat(kLocalDirCache, "/"))) return false;
  const std::vector<absl::string_view> names = absl::StrSplit(path.text(), '/');
  return std::all_of(names.begin(), names.end(), isTreeName);
}

bool isTreeListing(const Listing& listing) {
  uint64_t left = kTreeBytesMax;
  return listing.files.size() <= kTreeFilesMax &&
         std::all_of(listing.files.begin(), listing.files.end(), [&](const FileEntry& file) {
           if (!isTreePath(file.path) || file.blob.size > left) return false;
           left -= file.blob.size;
           return true;
         });
}

absl::StatusOr<RootScan> scanTree(const RootConfig& root, const HubOrigin& origin, absl::Time now) {
  ROOST_ASSIGN_OR_RETURN(const TreeScope scope, TreeScope::parse(root.scope));
  ROOST_ASSIGN_OR_RETURN(const RepoId repo, treeRepo(origin, root.tree, scope));
  ROOST_ASSIGN_OR_RETURN(const RealFolder real, realFolder(root.path));
  ROOST_ASSIGN_OR_RETURN(DirectoryReader directory, DirectoryReader::open(AT_FDCWD, real.path));
  RootScan scan;
  scan.realPath = real.path;
  scan.kind = real.kind;
  ROOST_ASSIGN_OR_RETURN(scan.directory.mark,
                         markOf(directory.fd(), scan.directory.scope, root.path));
  RepoScan found{.repo = repo};
  ScannedFinished finished{scope.ref(), absl::UnixEpoch(), {}, /*growing=*/true};
  TreeScanner scanner(root, now, scan, found, finished);
  scanner.read(directory, "", 0);
  scanner.finish();
  if (finished.files.empty()) return scan;
  found.finished.push_back(std::move(finished));
  scan.repos.push_back(repo);
  scan.contents.push_back(std::move(found));
  return scan;
}

void addDirectories(Listing& all, const Listing& one) {
  std::set<absl::string_view> taken;
  for (const FileEntry& file : all.files) taken.insert(directoryOf(file.path));
  Listing both = all;
  for (const FileEntry& file : one.files) {
    if (!taken.contains(directoryOf(file.path))) both.files.push_back(file);
  }
  if (both.files.size() == all.files.size()) return;
  if (isTreeListing(both) && normalize(both).ok()) all = std::move(both);
}

}  // namespace roost
