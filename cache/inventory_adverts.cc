// Inventory: what peers should be told, and how it differs from what they were told.
#include <algorithm>
#include <utility>
#include <variant>

#include "cache/inventory.h"
#include "protocol/limits.h"

namespace roost {
namespace {

// A folder that somebody restricted is not opened by another; what is known beats what is not.
int strictness(Visibility visibility) {
  switch (visibility) {
    case Visibility::kUnknown:
      return 0;
    case Visibility::kPublic:
      return 1;
    case Visibility::kGated:
      return 2;
    case Visibility::kPrivate:
      return 3;
  }
  return 0;
}

// Content that is public anywhere is public.
int openness(Visibility visibility) {
  switch (visibility) {
    case Visibility::kPrivate:
      return 0;
    case Visibility::kGated:
      return 1;
    case Visibility::kUnknown:
      return 2;
    case Visibility::kPublic:
      return 3;
  }
  return 0;
}

}  // namespace

Visibility Inventory::visibilityOf(const RepoId& repo) const {
  const auto told = visibility_.find(repo);
  Visibility result = told == visibility_.end() ? Visibility::kUnknown : told->second;
  // What is known of its source counts more than what another node said of a dataset cache.
  Visibility inherited = Visibility::kUnknown;
  if (const auto sources = sources_.find(repo); sources != sources_.end()) {
    for (const RepoId& source : sources->second) {
      const Visibility said = visibilityOf(source);
      if (strictness(said) > strictness(inherited)) inherited = said;
    }
  }
  if (inherited != Visibility::kUnknown) result = inherited;
  const auto roots = rootsOfRepo_.find(repo);
  if (roots == rootsOfRepo_.end()) return result;
  for (RootIndex index : roots->second) {
    const RootVisibility configured = at(index).root.config.visibility;
    if (configured == RootVisibility::kAsk) continue;
    const Visibility said =
        configured == RootVisibility::kPublic ? Visibility::kPublic : Visibility::kPrivate;
    if (strictness(said) > strictness(result)) result = said;
  }
  return result;
}

bool Inventory::isForPeers(const FolderKey& key) const {
  return !at(key.first).follower && !keepsToItself(key);
}

Visibility Inventory::visibilityOfBlob(const Blob& blob) const {
  Visibility result = Visibility::kPrivate;
  for (CopyId id : blob.copies) {
    const Visibility visibility = visibilityOf(copies_.find(id)->second.folder->second);
    if (openness(visibility) > openness(result)) result = visibility;
  }
  return result;
}

Visibility Inventory::visibilityOf(const BlobId& id) const {
  const auto it = blobs_.find(id);
  if (it == blobs_.end()) return Visibility::kUnknown;
  const auto [told, copy] = wanted(id, it->second);
  return told.told ? told.visibility : Visibility::kPrivate;
}

std::pair<Inventory::ToldBlob, const Inventory::Copy*> Inventory::wanted(const BlobId& id,
                                                                         const Blob& blob) const {
  const Copy* copy = best(blob, /*forPeers=*/true, nullptr);
  if (copy == nullptr) return {};
  ToldBlob told;
  told.told = true;
  told.size = copy->stamp.size;
  told.visibility = visibilityOfBlob(blob);
  told.unverified = !copy->verified();
  told.withSha256 = copy->verified() && id.algorithm() == HashAlgorithm::kGitSha1;
  return {told, copy};
}

std::vector<std::pair<const Inventory::FolderKey*, const Inventory::Folder*>> Inventory::foldersOf(
    const RepoId& repo, bool forPeers) const {
  std::vector<std::pair<const FolderKey*, const Folder*>> folders;
  const auto roots = rootsOfRepo_.find(repo);
  if (roots == rootsOfRepo_.end()) return folders;
  for (RootIndex root : roots->second) {
    const auto folder = folders_.find({root, repo});
    if (folder == folders_.end() || (forPeers && !isForPeers(folder->first))) continue;
    folders.emplace_back(&folder->first, &folder->second);
  }
  return folders;
}

std::vector<FileEntry> Inventory::shownFiles(const Folder& folder,
                                             const ScannedSnapshot& snapshot) const {
  std::vector<FileEntry> files;
  files.reserve(snapshot.files.size());
  for (const ScannedFile& file : snapshot.files) {
    const Copy& copy = copies_.find(folder.copies[file.copy])->second;
    if (!copy.usable() || (!copy.verified() && !copy.plausible)) continue;
    if (copy.name) {
      files.push_back({file.path, {*copy.name, copy.stamp.size}, std::nullopt, file.observedAs});
    } else if (copy.stamp.size > kGitFileBytesMax || !isOfHub(copy.folder->second.type())) {
      // Nobody names it, but what is this large can only be an LFS file; and what no hub has goes
      // by sha256.
      files.push_back({file.path, {BlobId::sha256(copy.sha256), copy.stamp.size}, std::nullopt});
    } else if (snapshot.madeUp && copy.content) {
      files.push_back({file.path, {*copy.content, copy.stamp.size}, std::nullopt});
    }
  }
  return files;
}

Listing Inventory::shown(const RepoId& repo, const Commit& commit, bool forPeers) const {
  std::vector<Listing> listings = {{repo, commit, false, visibilityOf(repo), {}}};
  for (const auto& [key, folder] : foldersOf(repo, forPeers)) {
    const auto snapshot =
        std::find_if(folder->snapshots.begin(), folder->snapshots.end(),
                     [&](const ScannedSnapshot& one) { return one.commit == commit; });
    if (snapshot == folder->snapshots.end()) continue;
    listings.push_back({repo, commit, false, visibilityOf(repo), shownFiles(*folder, *snapshot)});
  }
  if (listings.size() == 2) return std::move(listings.back());
  return unite(listings, nullptr);
}

const Listing* Inventory::manifest(const RepoId& repo, const Commit& commit, bool forPeers) const {
  for (const auto& [key, folder] : foldersOf(repo, forPeers)) {
    const auto tree = folder->trees.find(commit);
    if (tree != folder->trees.end()) return tree->second.manifest.get();
  }
  return nullptr;
}

std::optional<RepoAdvert> Inventory::wanted(const RepoKey& key, bool forPeers) const {
  const Listing files = shown(key.repo, key.commit, forPeers);
  const Listing* all = manifest(key.repo, key.commit, forPeers);
  if (files.files.empty() && all == nullptr) return std::nullopt;
  RepoAdvert advert{key.repo, key.commit, visibilityOf(key.repo), 0, 0, all != nullptr, 0, 0};
  if (all == nullptr) {
    advert.files = static_cast<uint32_t>(files.files.size());
    advert.bytes = files.bytes();
    return advert;
  }
  advert.filesTotal = static_cast<uint32_t>(all->files.size());
  advert.bytesTotal = all->bytes();
  // Both are sorted by path. Only what the manifest names, with the size it gives, counts.
  auto listed = all->files.begin();
  for (const FileEntry& file : files.files) {
    while (listed != all->files.end() && listed->path < file.path) ++listed;
    if (listed == all->files.end()) break;
    if (listed->path != file.path || listed->blob != file.blob) continue;
    ++advert.files;
    advert.bytes += file.blob.size;
  }
  return advert;
}

std::optional<RefAdvert> Inventory::wanted(const RefKey& key, bool forPeers) const {
  std::optional<RefState> newest;
  for (const auto& [folderKey, folder] : foldersOf(key.repo, forPeers)) {
    const auto ref = std::find_if(folder->refs.begin(), folder->refs.end(),
                                  [&](const RefState& state) { return state.ref == key.ref; });
    if (ref == folder->refs.end()) continue;
    if (!newest || newest->hubTime.value_or(absl::InfinitePast()) <
                       ref->hubTime.value_or(absl::InfinitePast())) {
      newest = *ref;
    }
  }
  if (!newest) return std::nullopt;
  return RefAdvert{key.repo, *std::move(newest)};
}

// ---- Changes

void Inventory::restore(absl::Span<const AdvertChange> told) {
  for (const AdvertChange& change : told) {
    sequence_ = std::max(sequence_, change.sequence);
    const auto* advert = std::get_if<Advert>(&change.what);
    if (advert == nullptr) continue;
    if (const auto* blob = std::get_if<BlobAdvert>(advert)) {
      blobs_[blob->blob.id].told = {blob->blob.size, blob->visibility, true, blob->unverified,
                                    blob->sha256.has_value()};
    } else if (const auto* repo = std::get_if<RepoAdvert>(advert)) {
      toldRepos_.insert_or_assign(RepoKey{repo->repo, repo->commit}, *repo);
    } else if (const auto* ref = std::get_if<RefAdvert>(advert)) {
      toldRefs_.insert_or_assign(RefKey{ref->repo, ref->state.ref}, *ref);
    }
  }
}

void Inventory::settled() {
  for (const auto& [id, blob] : blobs_) dirtyBlobs_.insert(id);
  for (const auto& [key, advert] : toldRepos_) dirtyRepos_.insert(key);
  for (const auto& [key, advert] : toldRefs_) dirtyRefs_.insert(key);
}

void Inventory::tell(std::vector<AdvertChange>& changes, std::variant<Advert, AdvertKey> what) {
  changes.push_back({++sequence_, std::move(what)});
}

void Inventory::recount(const BlobId& id, Blob& blob) {
  const Copy* copy = best(blob, /*forPeers=*/true, nullptr);
  // A nameless copy goes by two names and is counted by one.
  const bool counts = copy != nullptr && (copy->name || id.algorithm() == HashAlgorithm::kSha256);
  const uint64_t bytes = counts ? copy->stamp.size : 0;
  summary_.blobs = summary_.blobs + (counts ? 1 : 0) - (blob.counted ? 1 : 0);
  summary_.heldBytes = summary_.heldBytes + bytes - blob.countedBytes;
  blob.counted = counts;
  blob.countedBytes = bytes;
}

void Inventory::takeBlobChanges(std::vector<AdvertChange>& changes) {
  std::vector<BlobId> ids(dirtyBlobs_.begin(), dirtyBlobs_.end());
  dirtyBlobs_.clear();
  std::sort(ids.begin(), ids.end());
  for (const BlobId& id : ids) {
    const auto found = blobs_.find(id);
    if (found == blobs_.end()) continue;
    Blob& blob = found->second;
    recount(id, blob);
    const auto [now, copy] = wanted(id, blob);
    if (now != blob.told) {
      if (now.told) {
        BlobAdvert advert{{id, now.size}, now.unverified, now.visibility, std::nullopt};
        if (now.withSha256) advert.sha256 = copy->sha256;
        tell(changes, Advert(advert));
      } else {
        tell(changes, AdvertKey(id));
      }
      blob.told = now;
    }
    if (blob.copies.empty()) blobs_.erase(found);
  }
}

std::vector<AdvertChange> Inventory::takeChanges() {
  std::vector<AdvertChange> changes;
  takeBlobChanges(changes);
  const auto take = [&](auto& dirty, auto& told) {
    for (const auto& key : dirty) {
      auto now = wanted(key, /*forPeers=*/true);
      const auto before = told.find(key);
      if (!now && before != told.end()) {
        told.erase(before);
        tell(changes, AdvertKey(key));
      } else if (now && (before == told.end() || before->second != *now)) {
        told.insert_or_assign(key, *now);
        tell(changes, Advert(*std::move(now)));
      }
    }
    dirty.clear();
  };
  take(dirtyRepos_, toldRepos_);
  take(dirtyRefs_, toldRefs_);
  return changes;
}

// ---- Questions about repos

std::optional<Listing> Inventory::listing(const RepoId& repo, const Commit& commit) const {
  if (const Listing* all = manifest(repo, commit, /*forPeers=*/false)) {
    Listing listing = *all;
    listing.visibility = visibilityOf(repo);
    return listing;
  }
  Listing listing = shown(repo, commit, /*forPeers=*/false);
  if (listing.files.empty()) return std::nullopt;
  return listing;
}

std::vector<RepoView> Inventory::repos() const {
  std::vector<RepoView> views;
  for (const auto& [repo, roots] : rootsOfRepo_) {
    RepoView view{repo, visibilityOf(repo), {}, {}, {roots.begin(), roots.end()}, 0};
    std::set<Commit> commits;
    std::set<RefName> refs;
    absl::flat_hash_set<std::pair<uint64_t, uint64_t>> contents;  // device, inode
    for (const auto& [key, folder] : foldersOf(repo, /*forPeers=*/false)) {
      for (const ScannedSnapshot& snapshot : folder->snapshots) commits.insert(snapshot.commit);
      for (const RefState& ref : folder->refs) refs.insert(ref.ref);
      for (CopyId id : folder->copies) {
        const FileStamp& stamp = copies_.find(id)->second.stamp;
        if (contents.emplace(stamp.fsid, stamp.inode).second) view.bytes += stamp.size;
      }
    }
    for (const Commit& commit : commits) {
      if (auto advert = wanted(RepoKey{repo, commit}, /*forPeers=*/false)) {
        view.commits.push_back(*std::move(advert));
      }
    }
    for (const RefName& ref : refs) {
      if (auto advert = wanted(RefKey{repo, ref}, /*forPeers=*/false)) {
        view.refs.push_back(std::move(advert->state));
      }
    }
    views.push_back(std::move(view));
  }
  std::sort(views.begin(), views.end(),
            [](const RepoView& a, const RepoView& b) { return a.repo < b.repo; });
  return views;
}

}  // namespace roost
