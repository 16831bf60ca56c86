#include "cache/hub_layout.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "cache/beneath.h"
#include "cache/directory_reader.h"
#include "cache/file_io.h"
#include "cache/tree_json.h"
#include "cache/unique_fd.h"
#include "protocol/errors.h"
#include "protocol/limits.h"

namespace roost {
namespace {

// A file server's clock may be ahead of ours by this much before a ref's time is not believed.
constexpr absl::Duration kClockSkewMax = absl::Minutes(1);

std::optional<BlobId> blobOfName(absl::string_view name) {
  const auto id = BlobId::parseHex(name);
  if (!id.ok()) return std::nullopt;
  return *id;
}

// One scan of one repo folder.
class RepoScanner {
 public:
  RepoScanner(std::string root, const RepoId& repo, const KnownTrees& known)
      : root_(std::move(root)), folder_(repo.folder()), known_(known), scan_{repo, {}, {}, {},
                                                                             {},   {}, {}} {}

  absl::StatusOr<RepoScan> run() {
    const std::string path = absl::StrCat(root_, "/", folder_);
    auto repo = DirectoryReader::open(AT_FDCWD, path);
    if (!repo.ok()) return whyNot(repo.status(), path);
    ROOST_RETURN_IF_ERROR(saw("", *repo, MarkScope::kNames));
    readBlobs(repo->fd());
    readTrees(repo->fd());
    readSnapshots(repo->fd());
    if (auto refs = enter(repo->fd(), "refs", "refs", MarkScope::kContents)) readRefs(*refs, "", 0);
    std::sort(scan_.refs.begin(), scan_.refs.end(),
              [](const RefState& a, const RefState& b) { return a.ref < b.ref; });
    addTreesWithoutSnapshot();
    if (problemsLeftOut_ > 0) {
      scan_.problems.push_back(absl::StrCat(problemsLeftOut_, " more in ", path));
    }
    return std::move(scan_);
  }

 private:
  absl::Status whyNot(const absl::Status& status, const std::string& path) const {
    struct stat info {};
    if (absl::IsNotFound(status) && lstat(path.c_str(), &info) == 0 && S_ISLNK(info.st_mode)) {
      return absl::PermissionDeniedError(
          sentence(absl::StrCat(path, " is not used"), "it is a link to another folder",
                   "Move the folder here, or make its place a root of its own"));
    }
    return status;
  }

  void problem(std::string text) {
    if (scan_.problems.size() < kScanProblemsMax) {
      scan_.problems.push_back(std::move(text));
    } else {
      ++problemsLeftOut_;
    }
  }

  // False when the repo has more entries than a scan takes.
  bool count() {
    if (++entries_ <= kScanFilesMax) return true;
    if (entries_ == kScanFilesMax + 1) {
      problem(sentence(absl::StrCat(folder_, " is read only in part"),
                       absl::StrCat("it has more than ", kScanFilesMax, " files"),
                       "Remove revisions that are not needed with `hf cache prune`"));
    }
    return false;
  }

  std::string named(absl::string_view place) const {
    return absl::StrCat(root_, "/", folder_, "/", place);
  }

  absl::Status saw(absl::string_view place, const DirectoryReader& directory, MarkScope scope) {
    ROOST_ASSIGN_OR_RETURN(const DirectoryMark mark, markOf(directory.fd(), scope, named(place)));
    scan_.directories.push_back(
        {place.empty() ? folder_ : absl::StrCat(folder_, "/", place), mark, scope});
    return absl::OkStatus();
  }

  // Opens a directory of the repo, and notes that it was read. None if it is not there.
  std::optional<DirectoryReader> enter(int parent, const std::string& name,
                                       const std::string& place, MarkScope scope) {
    auto directory = DirectoryReader::open(parent, name);
    absl::Status status = directory.ok() ? saw(place, *directory, scope) : directory.status();
    if (status.ok()) return *std::move(directory);
    status = whyNot(status, named(place));
    if (!absl::IsNotFound(status)) {
      problem(sentence(absl::StrCat("cannot read ", named(place)), status.message(),
                       "Make it readable for the agent's user"));
    }
    return std::nullopt;
  }

  uint32_t addCopy(std::string place, std::optional<BlobId> name, const struct stat& info) {
    scan_.copies.push_back({std::move(place), name, FileStamp::of(info)});
    return static_cast<uint32_t>(scan_.copies.size() - 1);
  }

  void readBlobs(int repo) {
    auto blobs = enter(repo, "blobs", "blobs", MarkScope::kNames);
    if (!blobs) return;
    while (const auto entry = blobs->next()) {
      if (!count()) return;
      const std::string name(*entry);
      if (const auto id = blobOfName(name)) {
        readBlob(*blobs, name, *id);
      } else if (const auto etag = MadeEtag::parseHex(name); etag.ok()) {
        readObserved(*blobs, name, *etag);
      }  // else unfinished files, locks, strays
    }
  }

  // What our publisher makes for content that the hub named by no hash. A client's own file of such
  // a name is no link, and says nothing of its content.
  void readObserved(const DirectoryReader& blobs, const std::string& name, const MadeEtag& etag) {
    const auto target = blobs.readLink(name);
    const auto id = target ? blobOfName(*target) : std::nullopt;
    if (id && id->algorithm() == HashAlgorithm::kSha256) observed_.emplace(etag, *id);
  }

  void readBlob(const DirectoryReader& blobs, const std::string& name, const BlobId& id) {
    std::string place = absl::StrCat("blobs/", name);
    auto info = blobs.look(name);
    if (!info) return;
    if (S_ISLNK(info->st_mode)) {
      info = followLink(place);
      if (!info) return;
    } else if (!S_ISREG(info->st_mode)) {
      return problem(
          sentence(absl::StrCat(named(place), " is not used"), "it is not a file", "Remove it"));
    }
    if (!blobs.mayRead(name, *info)) return unreadable(place);
    blobs_.emplace(id, addCopy(std::move(place), id, *info));
  }

  void unreadable(absl::string_view place) {
    problem(sentence(absl::StrCat("cannot read ", named(place)),
                     "its mode does not let the agent's user",
                     "Run the agent as the clients' user, or make the file group-readable"));
  }

  // What a link in this repo leads to, if that is a file inside the root.
  std::optional<struct stat> followLink(absl::string_view place) {
    const auto found = findBeneath(root_, absl::StrCat(folder_, "/", place));
    if (!found.ok()) {
      if (absl::IsPermissionDenied(found.status())) problem(std::string(found.status().message()));
      return std::nullopt;
    }
    struct stat info {};
    if (fstat(found->handle.get(), &info) != 0 || !S_ISREG(info.st_mode)) return std::nullopt;
    linkEnd_ = found->path;
    watchSharedStore(found->path);
    return info;
  }

  // Content in <root>/blobs/xx/ goes away there (`hf cache prune`), so that folder counts too.
  void watchSharedStore(const std::string& path) {
    const size_t slash = path.rfind('/');
    if (slash == std::string::npos || !absl::StartsWith(path, "blobs/")) return;
    const std::string directory = path.substr(0, slash);
    if (!sharedDirectories_.insert(directory).second) return;
    const auto mark = markOf(absl::StrCat(root_, "/", directory), MarkScope::kNames);
    if (mark.ok()) scan_.directories.push_back({directory, *mark, MarkScope::kNames});
  }

  void readTrees(int repo) {
    auto trees = enter(repo, "trees", "trees", MarkScope::kContents);
    if (!trees) return;
    std::vector<std::pair<FileStamp, Commit>> found;
    while (const auto entry = trees->next()) {
      if (!count()) break;
      const auto commit = Commit::parse(absl::StripSuffix(*entry, ".json"));
      if (!commit.ok() || !absl::EndsWith(*entry, ".json")) continue;
      const auto info = trees->look(std::string(*entry));
      if (info && S_ISREG(info->st_mode)) found.emplace_back(FileStamp::of(*info), *commit);
    }
    std::sort(found.begin(), found.end(),
              [](const auto& a, const auto& b) { return a.first.mtimeNs > b.first.mtimeNs; });
    if (found.size() > kTreesReadMax) found.erase(found.begin() + kTreesReadMax, found.end());
    for (const auto& [stamp, commit] : found) readTree(trees->fd(), stamp, commit);
  }

  void readTree(int trees, const FileStamp& stamp, const Commit& commit) {
    if (const auto known = known_.find(commit);
        known != known_.end() && known->second.stamp == stamp) {
      scan_.trees.emplace(commit, known->second);
      return;
    }
    const std::string name = commit.hex() + ".json";
    const UniqueFd file(
        openat(trees, name.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK));
    // Clients write trees with mode 0600: another user's is simply not known here.
    if (!file) return;
    const auto text = readSmallFile(file.get(), named("trees/" + name),
                                    std::min<uint64_t>(stamp.size, kTreeJsonBytesMax));
    auto manifest = text.ok() ? parseTreeJson(*text, scan_.repo, commit)
                              : absl::StatusOr<Listing>(text.status());
    if (!manifest.ok()) return problem(std::string(manifest.status().message()));
    scan_.trees.emplace(commit,
                        KnownTree{stamp, std::make_shared<const Listing>(*std::move(manifest))});
  }

  void readSnapshots(int repo) {
    auto snapshots = enter(repo, "snapshots", "snapshots", MarkScope::kNames);
    if (!snapshots) return;
    while (const auto entry = snapshots->next()) {
      if (!count()) break;
      const auto commit = Commit::parse(*entry);
      if (!commit.ok()) continue;
      const std::string place = "snapshots/" + commit->hex();
      auto directory = enter(snapshots->fd(), commit->hex(), place, MarkScope::kNames);
      if (!directory) continue;
      ScannedSnapshot snapshot{*commit, {}};
      const auto tree = scan_.trees.find(*commit);
      const Listing* manifest = tree == scan_.trees.end() ? nullptr : tree->second.manifest.get();
      readFiles(*directory, snapshot, manifest, place, "", 0);
      std::sort(snapshot.files.begin(), snapshot.files.end(),
                [](const ScannedFile& a, const ScannedFile& b) { return a.path < b.path; });
      scan_.snapshots.push_back(std::move(snapshot));
    }
  }

  // `prefix`: path inside the repo of the directory that is read, with a trailing slash.
  void readFiles(DirectoryReader& directory, ScannedSnapshot& snapshot, const Listing* manifest,
                 const std::string& place, const std::string& prefix, size_t depth) {
    while (const auto entry = directory.next()) {
      if (!count()) return;
      const std::string name(*entry);
      const std::string below = absl::StrCat(place, "/", name);
      const auto target = directory.readLink(name);
      const auto info = target ? std::nullopt : directory.look(name);
      if (info && S_ISDIR(info->st_mode)) {
        if (depth + 1 >= kPathDepthMax) {
          problem(sentence(absl::StrCat(named(below), " is not used"), "too deep", ""));
        } else if (auto folder = enter(directory.fd(), name, below, MarkScope::kNames)) {
          readFiles(*folder, snapshot, manifest, below, absl::StrCat(prefix, name, "/"), depth + 1);
        }
        continue;
      }
      auto path = RelativePath::parse(absl::StrCat(prefix, name));
      if (!path.ok()) {
        problem(std::string(path.status().message()));
        continue;
      }
      if (target) {
        if (auto observed = observedOfLink(*target, depth)) {
          snapshot.files.push_back({*std::move(path), observed->first, observed->second});
          continue;
        }
      }
      const auto copy = target ? copyOfLink(*target, below, depth)
                               : copyOfFile(directory, name, info, *path, manifest, below);
      if (copy) snapshot.files.push_back({*std::move(path), *copy});
    }
  }

  // The name in blobs/ of the usual link, which is "../" up to the repo folder and then
  // "blobs/<etag>"; none: it is another one.
  static std::optional<absl::string_view> nameInBlobs(absl::string_view target, size_t depth) {
    for (size_t up = 0; up < depth + 2; ++up) {
      if (!absl::ConsumePrefix(&target, "../")) return std::nullopt;
    }
    if (!absl::ConsumePrefix(&target, "blobs/")) return std::nullopt;
    return target;
  }

  std::optional<std::pair<uint32_t, MadeEtag>> observedOfLink(absl::string_view target,
                                                              size_t depth) const {
    if (observed_.empty()) return std::nullopt;  // as in nearly every repo
    const auto name = nameInBlobs(target, depth);
    const auto etag = name ? MadeEtag::parseHex(*name) : absl::NotFoundError("");
    const auto known = etag.ok() ? observed_.find(*etag) : observed_.end();
    const auto found = known == observed_.end() ? blobs_.end() : blobs_.find(known->second);
    if (found == blobs_.end()) return std::nullopt;
    return std::pair(found->second, *etag);
  }

  // For the usual link no system call is needed.
  std::optional<uint32_t> copyOfLink(absl::string_view target, const std::string& place,
                                     size_t depth) {
    const auto name = nameInBlobs(target, depth);
    return name ? copyInBlobs(*name) : copyOfOddLink(place);
  }

  std::optional<uint32_t> copyInBlobs(absl::string_view name) const {
    const auto id = blobOfName(name);
    const auto found = id ? blobs_.find(*id) : blobs_.end();
    if (found == blobs_.end()) return std::nullopt;
    return found->second;
  }

  // Absolute links, links to another repo's blobs: whatever stays inside the root.
  std::optional<uint32_t> copyOfOddLink(const std::string& place) {
    const auto info = followLink(place);
    if (!info) return std::nullopt;
    const absl::string_view end = linkEnd_;
    absl::string_view own = end;
    if (absl::ConsumePrefix(&own, absl::StrCat(folder_, "/blobs/"))) return copyInBlobs(own);
    const size_t slash = end.rfind('/');
    const bool isBlob = slash != absl::string_view::npos && !absl::StartsWith(end, "blobs/") &&
                        absl::EndsWith(end.substr(0, slash), "/blobs");
    return addCopy(place, isBlob ? blobOfName(end.substr(slash + 1)) : std::nullopt, *info);
  }

  // A cache without links: the content lies in the snapshot. Only the tree says what it should be.
  std::optional<uint32_t> copyOfFile(const DirectoryReader& directory, const std::string& name,
                                     const std::optional<struct stat>& info,
                                     const RelativePath& path, const Listing* manifest,
                                     const std::string& place) {
    if (!info) return std::nullopt;
    if (!S_ISREG(info->st_mode)) {
      problem(
          sentence(absl::StrCat(named(place), " is not used"), "it is not a file", "Remove it"));
      return std::nullopt;
    }
    const FileEntry* listed = nullptr;
    if (manifest != nullptr) {
      const auto at = std::lower_bound(
          manifest->files.begin(), manifest->files.end(), path,
          [](const FileEntry& file, const RelativePath& wanted) { return file.path < wanted; });
      if (at != manifest->files.end() && at->path == path) listed = &*at;
    }
    // A repo may well have a file that ends in ".lock"; without the tree's word it is not taken.
    if (listed == nullptr && isUnfinishedName(name)) return std::nullopt;
    if (!directory.mayRead(name, *info)) {
      unreadable(place);
      return std::nullopt;
    }
    return addCopy(place, listed ? std::optional<BlobId>(listed->blob.id) : std::nullopt, *info);
  }

  void readRefs(DirectoryReader& directory, const std::string& prefix, size_t depth) {
    while (const auto entry = directory.next()) {
      if (!count()) return;
      const std::string name(*entry);
      const std::string text = absl::StrCat(prefix, name);
      const auto info = directory.look(name);
      if (!info) continue;
      if (S_ISDIR(info->st_mode)) {
        if (depth + 1 >= kPathDepthMax) continue;
        if (auto folder =
                enter(directory.fd(), name, absl::StrCat("refs/", text), MarkScope::kContents)) {
          readRefs(*folder, text + "/", depth + 1);
        }
        continue;
      }
      if (S_ISREG(info->st_mode)) readRef(directory.fd(), name, text, *info);
    }
  }

  void readRef(int directory, const std::string& name, const std::string& text,
               const struct stat& info) {
    auto ref = RefName::parse(text);
    if (!ref.ok()) return;
    const UniqueFd file(
        openat(directory, name.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK));
    if (!file) return;
    const auto content = readSmallFile(file.get(), name, kRefFileBytesMax);
    auto commit = content.ok() ? parseRef(*content) : std::nullopt;
    if (!commit) return;
    RefState state{*std::move(ref), *std::move(commit), std::nullopt};
    const absl::Time written = absl::FromUnixNanos(FileStamp::of(info).mtimeNs);
    if (written > absl::UnixEpoch() && written < absl::Now() + kClockSkewMax) {
      state.hubTime = written;
    }
    scan_.refs.push_back(std::move(state));
  }

  void addTreesWithoutSnapshot() {
    for (const auto& known : scan_.trees) {
      const Commit& commit = known.first;
      const bool shown =
          std::any_of(scan_.snapshots.begin(), scan_.snapshots.end(),
                      [&](const ScannedSnapshot& snapshot) { return snapshot.commit == commit; });
      if (!shown) scan_.snapshots.push_back({commit, {}});
    }
    std::sort(
        scan_.snapshots.begin(), scan_.snapshots.end(),
        [](const ScannedSnapshot& a, const ScannedSnapshot& b) { return a.commit < b.commit; });
  }

  const std::string root_;  // without links
  const std::string folder_;
  const KnownTrees& known_;
  RepoScan scan_;
  absl::flat_hash_map<BlobId, uint32_t> blobs_;  // of this repo's blobs/: index in scan_.copies
  std::map<MadeEtag, BlobId> observed_;          // links of blobs/ to content beside them
  absl::flat_hash_set<std::string> sharedDirectories_;
  std::string linkEnd_;  // where followLink() came out, below the root
  size_t entries_ = 0;
  size_t problemsLeftOut_ = 0;
};

}  // namespace

std::optional<Commit> parseRef(absl::string_view content) {
  auto commit = Commit::parse(content);
  if (!commit.ok()) return std::nullopt;
  return *std::move(commit);
}

bool isUnfinishedName(absl::string_view name) {
  for (absl::string_view suffix :
       {".incomplete", ".part", ".lock", ".downloadInProgress", ".tmp", ".shared", ".roost-part"}) {
    if (absl::EndsWith(name, suffix)) return true;
  }
  return false;
}

absl::StatusOr<RootScan> scanRoot(const std::string& root, const HubOrigin& origin) {
  ROOST_ASSIGN_OR_RETURN(const RealFolder real, realFolder(root));
  ROOST_ASSIGN_OR_RETURN(DirectoryReader directory, DirectoryReader::open(AT_FDCWD, real.path));
  RootScan scan;
  scan.realPath = real.path;
  scan.kind = real.kind;
  ROOST_ASSIGN_OR_RETURN(scan.directory.mark, markOf(directory.fd(), MarkScope::kNames, root));
  while (const auto entry = directory.next()) {
    const bool forUs = absl::StartsWith(*entry, "models--") ||
                       absl::StartsWith(*entry, "datasets--") ||
                       absl::StartsWith(*entry, "spaces--");
    if (!forUs) continue;
    auto repo = RepoId::ofFolder(origin, *entry);
    if (!repo.ok()) {
      if (scan.problems.size() < kScanProblemsMax) {
        scan.problems.push_back(sentence(absl::StrCat(root, "/", *entry, " is not used"),
                                         repo.status().message(),
                                         "Rename it if it is a cache folder"));
      }
    } else if (scan.repos.size() < kRepoFoldersMax) {
      scan.repos.push_back(*std::move(repo));
    }
  }
  std::sort(scan.repos.begin(), scan.repos.end());
  return scan;
}

absl::StatusOr<RepoScan> scanRepo(const std::string& root, const RepoId& repo,
                                  const KnownTrees& known) {
  ROOST_ASSIGN_OR_RETURN(const RealFolder real, realFolder(root));
  return RepoScanner(real.path, repo, known).run();
}

}  // namespace roost
