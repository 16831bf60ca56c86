#include "cache/inventory.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cache/layouts.h"
#include "protocol/errors.h"

namespace roost {
namespace {

// sha256 and git sha1 of nothing.
bool isEmptyDigest(const BlobId& id) {
  static const BlobId kSha256 =
      *BlobId::parseHex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  static const BlobId kGitSha1 = *BlobId::parseHex("e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");
  return id == kSha256 || id == kGitSha1;
}

// Sizes that the folder's trees give to blobs.
absl::flat_hash_map<BlobId, uint64_t> sizesByTrees(const KnownTrees& trees) {
  absl::flat_hash_map<BlobId, uint64_t> sizes;
  for (const auto& [commit, tree] : trees) {
    for (const FileEntry& file : tree.manifest->files) sizes.emplace(file.blob.id, file.blob.size);
  }
  return sizes;
}

bool isPlausible(const ScannedCopy& copy, const absl::flat_hash_map<BlobId, uint64_t>& sizes) {
  if (!copy.name || (copy.stamp.size == 0) != isEmptyDigest(*copy.name)) return false;
  const auto size = sizes.find(*copy.name);
  return size == sizes.end() || size->second == copy.stamp.size;
}

}  // namespace

RootIndex Inventory::addRoot(const Root& root) {
  roots_.push_back({root, false, {}});
  return static_cast<RootIndex>(roots_.size() - 1);
}

// ---- Copies

std::string Inventory::placeOf(const Copy& copy) {
  return copy.place.empty() ? absl::StrCat("blobs/", copy.name->hex()) : copy.place;
}

std::string Inventory::pathOf(const Copy& copy) const {
  const auto& [root, repo] = *copy.folder;
  return absl::StrCat(repoBase(at(root).root.config, repo), "/", placeOf(copy));
}

absl::InlinedVector<BlobId, 2> Inventory::namesOf(const Copy& copy) {
  if (copy.name) return {*copy.name};
  if (!copy.verified() || !copy.content) return {};
  if (copy.content->algorithm() == HashAlgorithm::kSha256) return {*copy.content};
  return {BlobId::sha256(copy.sha256), *copy.content};
}

LocalCopy Inventory::view(CopyId id, const Copy& copy, const BlobId& name) const {
  return {id,           copy.folder->first,      copy.folder->second,
          pathOf(copy), {name, copy.stamp.size}, copy.stamp,
          copy.trust,   copy.place.empty(),      copy.sha256};
}

void Inventory::touch(const Copy& copy) {
  for (const BlobId& name : namesOf(copy)) dirtyBlobs_.insert(name);
}

void Inventory::touchRepo(const FolderKey& key) {
  const auto found = folders_.find(key);
  if (found == folders_.end()) return;
  for (const ScannedSnapshot& snapshot : found->second.snapshots) {
    dirtyRepos_.insert({key.second, snapshot.commit});
  }
  for (const RefState& ref : found->second.refs) dirtyRefs_.insert({key.second, ref.ref});
}

void Inventory::enqueue(CopyId id, const Copy& copy) {
  if (follows(copy) || !copy.usable() || copy.trust == Trust::kVerified) return queue_.remove(id);
  const bool known = copy.trust == Trust::kRecheck;
  const bool atOnce = !known && copy.stamp.size <= kHashedAtOnceMax;
  queue_.put(id, known ? VerifyUrgency::kRecheck : VerifyUrgency::kUnverified, copy.stamp.size,
             atOnce ? absl::InfinitePast() : copy.stamp.settledFrom());
}

void Inventory::addCopy(CopyId id) {
  const Copy& copy = copies_.find(id)->second;
  for (const BlobId& name : namesOf(copy)) {
    blobs_[name].copies.push_back(id);
    dirtyBlobs_.insert(name);
  }
  if (!copy.usable()) bad_.insert(id);
  enqueue(id, copy);
}

void Inventory::removeCopy(CopyId id) {
  const Copy& copy = copies_.find(id)->second;
  for (const BlobId& name : namesOf(copy)) {
    auto& copies = blobs_[name].copies;
    copies.erase(std::remove(copies.begin(), copies.end(), id), copies.end());
    dirtyBlobs_.insert(name);
  }
  bad_.erase(id);
  queue_.remove(id);
}

template <typename Change>
void Inventory::changeCopy(CopyId id, const Change& change) {
  Copy& copy = copies_.find(id)->second;
  const bool wasUsable = copy.usable();
  const auto names = namesOf(copy);
  removeCopy(id);
  change(copy);
  addCopy(id);
  if (copy.usable() != wasUsable || namesOf(copy) != names) touchRepo(*copy.folder);
}

// ---- Scans

std::pair<const Inventory::FolderKey*, Inventory::Folder*> Inventory::folderSeen(RootIndex root,
                                                                                 const RepoId& repo,
                                                                                 Moment when) {
  const auto entry = folders_.try_emplace({root, repo}).first;
  entry->second.seen = std::max(entry->second.seen, when);
  failedFolders_.erase(entry->first);
  if (rootsOfRepo_[repo].insert(root).second) noteSource(repo);
  return {&entry->first, &entry->second};
}

void Inventory::apply(RootIndex root, const RepoScan& scan, absl::Span<const CopyTrust> trust,
                      std::optional<Moment> scanBegan) {
  const Moment began = scanBegan ? *scanBegan : scanBegins();
  const auto [entry, found] = folderSeen(root, scan.repo, began);
  const FolderKey& key = *entry;
  Folder& folder = *found;
  touchRepo(key);

  absl::flat_hash_map<std::string, CopyId> before;
  before.reserve(folder.copies.size());
  for (CopyId id : folder.copies) before.emplace(placeOf(copies_.find(id)->second), id);

  const auto sizes = sizesByTrees(scan.trees);
  std::vector<CopyId> now;
  now.reserve(scan.copies.size());
  for (size_t i = 0; i < scan.copies.size(); ++i) {
    const ScannedCopy& scanned = scan.copies[i];
    Copy copy;
    copy.folder = &key;
    copy.name = scanned.name;
    if (!scanned.name || scanned.place != absl::StrCat("blobs/", scanned.name->hex())) {
      copy.place = scanned.place;
    }
    copy.stamp = scanned.stamp;
    copy.trust = trust[i].trust;
    copy.content = trust[i].content;
    copy.sha256 = trust[i].sha256;
    copy.plausible = isPlausible(scanned, sizes);

    const auto known = before.find(scanned.place);
    if (known == before.end()) {
      const auto id = static_cast<CopyId>(++lastCopy_);
      copies_.emplace(id, std::move(copy));
      addCopy(id);
      now.push_back(id);
      continue;
    }
    const CopyId id = known->second;
    before.erase(known);
    now.push_back(id);
    const Copy& old = copies_.find(id)->second;
    if (old.landed > began) continue;
    if (copy.trust == Trust::kUnknown && old.trust != Trust::kUnknown && old.name == copy.name) {
      // Hashed since the index was asked.
      const bool same = old.stamp == copy.stamp;
      if (same || (old.verified() && old.stamp.sameContent(copy.stamp))) {
        copy.trust = same ? old.trust : Trust::kRecheck;
        copy.content = old.content;
        copy.sha256 = old.sha256;
      }
    }
    if (old.stamp == copy.stamp) copy.failure = old.failure;
    const bool same = old.stamp == copy.stamp && old.name == copy.name && old.trust == copy.trust &&
                      old.plausible == copy.plausible;
    if (!same) changeCopy(id, [&](Copy& it) { it = std::move(copy); });
  }
  for (const auto& [place, id] : before) {
    if (copies_.find(id)->second.landed > began) {
      now.push_back(id);  // after those that ScannedFile::copy counts
      continue;
    }
    removeCopy(id);
    copies_.erase(id);
  }

  folder.copies = std::move(now);
  folder.snapshots = scan.snapshots;
  folder.trees = scan.trees;
  folder.refs = scan.refs;
  folder.problems = scan.problems;
  folder.finished = scan.finished;
  nameFinished(key, /*checked=*/false);
  touchRepo(key);
}

void Inventory::forgetFolder(std::map<FolderKey, Folder>::iterator folder) {
  const auto& [root, repo] = folder->first;
  touchRepo(folder->first);
  for (CopyId id : folder->second.copies) {
    removeCopy(id);
    copies_.erase(id);
  }
  const auto roots = rootsOfRepo_.find(repo);
  roots->second.erase(root);
  if (roots->second.empty()) rootsOfRepo_.erase(roots);
  folders_.erase(folder);
}

void Inventory::remove(RootIndex root, const RepoId& repo, std::optional<Moment> scanBegan) {
  const Moment began = scanBegan ? *scanBegan : scanBegins();
  failedFolders_.erase({root, repo});
  const auto found = folders_.find({root, repo});
  if (found != folders_.end() && found->second.seen <= began) forgetFolder(found);
}

void Inventory::applyRoot(RootIndex root, const RootScan& scan, std::optional<Moment> scanBegan) {
  const Moment began = scanBegan ? *scanBegan : scanBegins();
  at(root).problems = scan.problems;
  const absl::flat_hash_set<RepoId> present(scan.repos.begin(), scan.repos.end());
  for (auto folder = folders_.begin(); folder != folders_.end();) {
    const auto current = folder++;
    if (current->first.first == root && !present.contains(current->first.second) &&
        current->second.seen <= began) {
      forgetFolder(current);
    }
  }
  std::erase_if(failedFolders_, [&](const auto& failed) {
    return failed.first.first == root && !present.contains(failed.first.second);
  });
}

void Inventory::rootFailed(RootIndex root, const absl::Status& why) {
  applyRoot(root, RootScan{});
  at(root).problems = {sentence(absl::StrCat("cannot read ", at(root).root.config.path, " (",
                                             at(root).root.config.origin, ")"),
                                why.message(),
                                "Make it readable for the agent's user, or name another folder")};
}

void Inventory::repoFailed(RootIndex root, const RepoId& repo, const absl::Status& why) {
  remove(root, repo);
  failedFolders_[{root, repo}] =
      sentence(absl::StrCat("cannot read ", repoBase(at(root).root.config, repo)), why.message(),
               "Make it readable for the agent's user");
}

const KnownTrees* Inventory::knownTrees(RootIndex root, const RepoId& repo) const {
  const auto found = folders_.find({root, repo});
  return found == folders_.end() ? nullptr : &found->second.trees;
}

// ---- Landings

std::optional<CopyId> Inventory::copyInBlobs(const FolderKey& key, const BlobId& blob) const {
  const auto found = blobs_.find(blob);
  if (found == blobs_.end()) return std::nullopt;
  for (CopyId id : found->second.copies) {
    const Copy& copy = copies_.find(id)->second;
    if (*copy.folder == key && copy.place.empty()) return id;
  }
  return std::nullopt;
}

void Inventory::landed(RootIndex root, const RepoId& repo, const BlobId& blob,
                       const FileStamp& stamp, const Sha256& sha256) {
  const Moment now{++clock_};
  const auto [key, folder] = folderSeen(root, repo, now);
  Copy copy;
  copy.folder = key;
  copy.name = blob;
  copy.stamp = stamp;
  copy.trust = Trust::kVerified;
  copy.content = blob;
  copy.sha256 = sha256;
  copy.landed = now;
  if (const auto known = copyInBlobs(*key, blob)) {
    changeCopy(*known, [&](Copy& it) { it = std::move(copy); });
    return;
  }
  const auto id = static_cast<CopyId>(++lastCopy_);
  copies_.emplace(id, std::move(copy));
  addCopy(id);
  folder->copies.push_back(id);
}

// ---- Decisions from outside

void Inventory::setVisibility(const RepoId& repo, Visibility visibility) {
  visibility_.insert_or_assign(repo, visibility);
  touchFolders(repo);
  noteSource(repo);
}

void Inventory::touchFolders(const RepoId& repo) {
  for (const auto& [key, folder] : foldersOf(repo, /*forPeers=*/false)) {
    touchRepo(*key);
    for (CopyId id : folder->copies) touch(copies_.find(id)->second);
  }
}

void Inventory::setStore(RootIndex index, const std::optional<StoreId>& store) {
  Root& root = at(index).root;
  if (root.store == store) return;
  root.store = store;
  setFollower(static_cast<size_t>(index), false);  // until somebody decides otherwise
}

void Inventory::setFollower(const StoreId& store, bool follower) {
  for (size_t i = 0; i < roots_.size(); ++i) {
    if (roots_[i].root.store == store) setFollower(i, follower);
  }
}

void Inventory::setFollower(size_t root, bool follower) {
  if (roots_[root].follower == follower) return;
  roots_[root].follower = follower;
  for (const auto& [key, folder] : folders_) {
    if (key.first != static_cast<RootIndex>(root)) continue;
    touchRepo(key);
    for (CopyId id : folder.copies) {
      const Copy& copy = copies_.find(id)->second;
      touch(copy);
      enqueue(id, copy);
    }
  }
}

// ---- Verification

void Inventory::requestVerify(const BlobId& blob) {
  const auto found = blobs_.find(blob);
  if (found == blobs_.end()) return;
  for (CopyId id : found->second.copies) queue_.request(id);
}

std::optional<VerifyJob> Inventory::nextToVerify(absl::Time now) {
  const auto id = queue_.next(now);
  if (!id) return std::nullopt;
  const Copy& copy = copies_.find(*id)->second;
  return VerifyJob{*id,
                   pathOf(copy),
                   {copy.name.value_or(nameless(copy)), copy.stamp.size},
                   copy.name.has_value(),
                   copy.stamp};
}

void Inventory::checked(CopyId id, const CheckedCopy& result) {
  const auto found = copies_.find(id);
  if (found == copies_.end()) return;
  queue_.done(id);
  if (found->second.stamp != result.stamp) return enqueue(id, found->second);
  changeCopy(id, [&](Copy& copy) {
    copy.trust = copy.name && *copy.name != result.content ? Trust::kWrong : Trust::kVerified;
    copy.content = result.content;
    copy.sha256 = result.sha256;
  });
  const Copy& copy = copies_.find(id)->second;
  if (result.again && copy.trust == Trust::kVerified) {
    queue_.put(id, VerifyUrgency::kRecheck, copy.stamp.size, copy.stamp.settledFrom());
  }
  nameFinished(*found->second.folder, /*checked=*/true);
}

void Inventory::checkFailed(CopyId id, const absl::Status& why) {
  const auto found = copies_.find(id);
  if (found == copies_.end()) return;
  queue_.done(id);
  if (absl::IsAborted(why) || absl::IsCancelled(why)) return enqueue(id, found->second);
  changeCopy(id, [&](Copy& copy) { copy.failure = std::string(why.message()); });
  nameFinished(*found->second.folder, /*checked=*/true);
}

void Inventory::rotten(CopyId id, const FileStamp& stamp) {
  const auto found = copies_.find(id);
  if (found == copies_.end() || found->second.stamp != stamp) return;
  changeCopy(id, [](Copy& copy) {
    copy.trust = Trust::kWrong;
    copy.content = std::nullopt;
  });
  nameFinished(*found->second.folder, /*checked=*/true);
}

// ---- Questions

const Inventory::Copy* Inventory::best(const Blob& blob, bool forPeers, CopyId* id) const {
  const Copy* best = nullptr;
  const auto rank = [](const Copy& copy) {
    const int trust = copy.trust == Trust::kVerified ? 0 : copy.trust == Trust::kRecheck ? 1 : 2;
    return std::make_pair(trust, copy.folder->first);
  };
  for (CopyId candidate : blob.copies) {
    const Copy& copy = copies_.find(candidate)->second;
    if (!copy.usable() || (!copy.verified() && !copy.plausible)) continue;
    if (forPeers && !isForPeers(*copy.folder)) continue;
    if (best != nullptr && rank(*best) <= rank(copy)) continue;
    best = &copy;
    if (id != nullptr) *id = candidate;
  }
  return best;
}

std::optional<LocalCopy> Inventory::find(const BlobId& blob) const {
  const auto found = blobs_.find(blob);
  if (found == blobs_.end()) return std::nullopt;
  CopyId id{};
  const Copy* copy = best(found->second, /*forPeers=*/false, &id);
  if (copy == nullptr) return std::nullopt;
  return view(id, *copy, blob);
}

std::optional<LocalCopy> Inventory::findIn(RootIndex root, const RepoId& repo,
                                           const BlobId& blob) const {
  const auto found = blobs_.find(blob);
  if (found == blobs_.end()) return std::nullopt;
  Blob here;
  for (CopyId id : found->second.copies) {
    const FolderKey& folder = *copies_.find(id)->second.folder;
    if (folder.first == root && folder.second == repo) here.copies.push_back(id);
  }
  CopyId id{};
  const Copy* copy = best(here, /*forPeers=*/false, &id);
  if (copy == nullptr) return std::nullopt;
  return view(id, *copy, blob);
}

std::vector<LocalCopy> Inventory::copiesOf(const HubOrigin& origin) const {
  std::map<BlobId, Blob> found;
  for (const auto& [id, copy] : copies_) {
    if (at(copy.folder->first).root.config.names != origin) continue;
    if (copy.usable() && copy.verified()) found[BlobId::sha256(copy.sha256)].copies.push_back(id);
  }
  std::vector<LocalCopy> all;
  for (const auto& [name, blob] : found) {
    CopyId id{};
    const Copy* copy = best(blob, /*forPeers=*/false, &id);
    if (copy != nullptr) all.push_back(view(id, *copy, name));
  }
  return all;
}

InventorySummary Inventory::summary() const {
  InventorySummary summary = summary_;
  summary.checkBytesLeft = queue_.bytesLeft();
  summary.checkBytesTotal = queue_.bytesTotal();
  return summary;
}

std::vector<std::string> Inventory::problems() const {
  std::vector<std::string> problems;
  for (const RootState& root : roots_) {
    problems.insert(problems.end(), root.problems.begin(), root.problems.end());
  }
  for (const auto& [key, text] : failedFolders_) problems.push_back(text);
  for (const auto& [key, folder] : folders_) {
    problems.insert(problems.end(), folder.problems.begin(), folder.problems.end());
  }
  for (CopyId id : bad_) {
    const Copy& copy = copies_.find(id)->second;
    const bool replaceable = takesArrivals(at(copy.folder->first).root.config);
    if (!copy.failure.empty()) {
      problems.push_back(sentence(absl::StrCat(pathOf(copy), " is not shared"), copy.failure,
                                  "Make it readable, or delete it and download it again"));
    } else {
      problems.push_back(sentence(absl::StrCat(pathOf(copy), " is not shared"),
                                  copy.content
                                      ? absl::StrCat("its content is ", copy.content->toString())
                                      : "its content changed since it was verified",
                                  replaceable ? "`roost warm REPO --nodes self` replaces it"
                                              : "roost does not write there: delete it"));
    }
  }
  return problems;
}

}  // namespace roost
