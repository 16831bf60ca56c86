// Inventory: what finished directories are called, and whom they may be told to.
#include <algorithm>
#include <utility>

#include "cache/datasets_layout.h"
#include "cache/finished_directory.h"
#include "cache/inventory.h"

namespace roost {

// ---- Names

BlobId Inventory::nameless(const Copy& copy) const {
  // What the hub names by git sha1 has no place in pip's cache, nor in directories that no hub has.
  const auto& [root, repo] = *copy.folder;
  const bool bySha256 = at(root).root.config.layout == Layout::kPip || !isOfHub(repo.type());
  return bySha256 ? BlobId::sha256(Sha256{}) : BlobId::gitSha1(GitSha1{});
}

struct Inventory::NamedDirectory {
  std::vector<ScannedFile> shown;
  std::vector<FileEntry> files;
};

// None: what was prepared is not all known yet, or cannot be read. What was made of it is left out
// until it is known: a directory in which map is at work is told of all the while. So is of what
// grows whatever is not known.
std::optional<Inventory::NamedDirectory> Inventory::named(const Folder& folder,
                                                          const ScannedFinished& directory) const {
  NamedDirectory named;
  for (const ScannedFile& file : directory.files) {
    const Copy& copy = copies_.find(folder.copies[file.copy])->second;
    const std::string& path = file.path.text();
    if (copy.usable() && copy.verified()) {
      named.shown.push_back(file);
      named.files.push_back({file.path,
                             {BlobId::sha256(copy.sha256), copy.stamp.size},
                             std::nullopt,
                             std::nullopt,
                             file.executable});
    } else if (!directory.growing && !isDerivedFile(path.substr(path.rfind('/') + 1))) {
      return std::nullopt;
    }
  }
  if (named.files.empty()) return std::nullopt;
  return named;
}

bool Inventory::waitsForHash(const Folder& folder, const ScannedFinished& directory) const {
  return std::any_of(directory.files.begin(), directory.files.end(), [&](const auto& file) {
    const Copy& copy = copies_.find(folder.copies[file.copy])->second;
    return copy.usable() && !copy.verified();
  });
}

void Inventory::nameFinished(const FolderKey& key, bool checked) {
  const auto found = folders_.find(key);
  if (found == folders_.end() || isOfHub(key.second.type())) return;
  Folder& folder = found->second;
  // With each file another commit would be told, of a tree with thousands of them.
  if (checked && std::any_of(folder.finished.begin(), folder.finished.end(), [&](const auto& it) {
        return it.growing && waitsForHash(folder, it);
      })) {
    return;
  }
  touchRepo(key);
  folder.snapshots.clear();
  folder.trees.clear();
  folder.refs.clear();
  for (const ScannedFinished& directory : folder.finished) {
    auto known = named(folder, directory);
    if (!known) continue;
    const Commit commit = finishedCommit(known->files);
    folder.refs.push_back({directory.ref, commit, directory.written});
    folder.snapshots.push_back({commit, std::move(known->shown), /*madeUp=*/true});
    folder.trees[commit] = {
        {},
        std::make_shared<const Listing>(
            Listing{key.second, commit, true, Visibility::kUnknown, std::move(known->files)})};
  }
  touchRepo(key);
}

// ---- Whose they are

void Inventory::noteSource(const RepoId& repo) {
  const auto cache = datasetCacheOf(repo);
  if (!cache) return;
  sources_[*cache].insert(repo);
  touchFolders(*cache);
}

std::vector<RepoId> Inventory::sourcesOf(const RepoId& cache) const {
  const auto found = sources_.find(cache);
  if (found == sources_.end()) return {};
  return {found->second.begin(), found->second.end()};
}

bool Inventory::keepsToItself(const FolderKey& key) const {
  const auto& [root, repo] = key;
  if (isOfHub(repo.type()) || at(root).root.config.share == Share::kCluster) return false;
  const Visibility visibility = visibilityOf(repo);
  return visibility == Visibility::kGated || visibility == Visibility::kPrivate;
}

bool Inventory::waitsForWord(const RepoId& cache) const {
  if (isOfHub(cache.type()) || visibilityOf(cache) != Visibility::kUnknown) return false;
  const auto folders = foldersOf(cache, /*forPeers=*/true);
  return std::any_of(folders.begin(), folders.end(), [&](const auto& folder) {
    return at(folder.first->first).root.config.share != Share::kCluster;
  });
}

std::optional<Listing> Inventory::listingForPeers(const RepoId& repo, const Commit& commit) const {
  if (!isOfHub(repo.type()) && manifest(repo, commit, /*forPeers=*/true) == nullptr) {
    return std::nullopt;
  }
  return listing(repo, commit);
}

}  // namespace roost
