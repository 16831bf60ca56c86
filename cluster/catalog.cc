#include "cluster/catalog.h"

#include <algorithm>
#include <string>
#include <variant>

#include "absl/strings/str_cat.h"
#include "protocol/limits.h"

namespace roost {

Catalog::NodeIndex Catalog::indexOf(const NodeId& node) {
  const auto it = indices_.find(node);
  if (it != indices_.end()) return it->second;
  NodeIndex index = 0;
  while (index < nodes_.size() && nodes_[index].id) ++index;
  if (index == nodes_.size()) nodes_.emplace_back();
  nodes_[index] = {node, false, 0};
  indices_.emplace(node, index);
  return index;
}

void Catalog::apply(Turn& turn, const NodeId& id, bool reset,
                    absl::Span<const AdvertChange> changes) {
  const NodeIndex node = indexOf(id);
  if (reset) clear(node);
  for (const AdvertChange& change : changes) {
    if (const auto* advert = std::get_if<Advert>(&change.what)) {
      if (const auto* blob = std::get_if<BlobAdvert>(advert)) {
        put(turn, node, *blob);
      } else if (const auto* repo = std::get_if<RepoAdvert>(advert)) {
        put(node, *repo);
      } else if (const auto* ref = std::get_if<RefAdvert>(advert)) {
        put(node, *ref);
      } else {
        put(node, std::get<RepresentationAdvert>(*advert));
      }
    } else {
      std::visit([&](const auto& key) { remove(node, key); }, std::get<AdvertKey>(change.what));
    }
  }
}

void Catalog::put(Turn& turn, NodeIndex node, const BlobAdvert& advert) {
  dropHolding(node, advert.blob.id);
  noteSha256(turn, node, advert);
  ++nodes_[node].adverts;
  const Holding holding = node * 2 + (advert.unverified ? 1 : 0);
  BlobEntry& entry = blobs_[advert.blob.id];
  if (entry.holdings.empty()) entry.size = advert.blob.size;
  if (entry.size != advert.blob.size) {
    turn.warn(absl::StrCat("nodes disagree on the size of ", advert.blob.id.toString(), ": ",
                           nodes_[entry.holdings.front() / 2].id->shortHex(), " says ", entry.size,
                           " bytes, ", nodes_[node].id->shortHex(), " says ", advert.blob.size,
                           ". Run `roost verify` on both"));
    odd_[advert.blob.id].push_back({holding, advert.blob.size});
    return;
  }
  entry.holdings.insert(std::lower_bound(entry.holdings.begin(), entry.holdings.end(), holding),
                        holding);
}

void Catalog::noteSha256(Turn& turn, NodeIndex node, const BlobAdvert& advert) {
  if (!advert.sha256 || advert.blob.id.algorithm() != HashAlgorithm::kGitSha1) return;
  const auto [it, first] = sha256_.emplace(advert.blob.id, *advert.sha256);
  if (first || it->second == *advert.sha256) return;
  if (!disputed_.insert(advert.blob.id).second) return;
  turn.warn(absl::StrCat("two contents claim the name ", advert.blob.id.toString(), ": ",
                         nodes_[node].id->shortHex(),
                         " disagrees with other nodes on its sha256. Only the hub can decide; ",
                         "peers are not asked for it"));
}

bool Catalog::dropHolding(NodeIndex node, const BlobId& blob) {
  const auto it = blobs_.find(blob);
  if (it == blobs_.end()) return false;
  auto& holdings = it->second.holdings;
  const auto odd = odd_.find(blob);
  const auto at = std::lower_bound(holdings.begin(), holdings.end(), node * 2);
  bool found = false;
  if (at != holdings.end() && *at / 2 == node) {
    holdings.erase(at);
    found = true;
  } else if (odd != odd_.end()) {
    auto& list = odd->second;
    const auto its = std::find_if(list.begin(), list.end(),
                                  [&](const OddHolding& o) { return o.holding / 2 == node; });
    if (its != list.end()) {
      list.erase(its);
      found = true;
    }
  }
  if (found) --nodes_[node].adverts;
  if (holdings.empty() && odd != odd_.end() && !odd->second.empty()) {
    // Nobody is left who claims the first size: the next one's counts now.
    it->second.size = odd->second.front().size;
    std::vector<OddHolding> others;
    for (const OddHolding& o : odd->second) {
      if (o.size == it->second.size) {
        holdings.push_back(o.holding);
      } else {
        others.push_back(o);
      }
    }
    std::sort(holdings.begin(), holdings.end());
    odd->second = std::move(others);
  }
  if (odd != odd_.end() && odd->second.empty()) odd_.erase(odd);
  if (holdings.empty()) {
    blobs_.erase(it);
    sha256_.erase(blob);
    disputed_.erase(blob);
  }
  return found;
}

void Catalog::remove(NodeIndex node, const BlobId& blob) {
  dropHolding(node, blob);
}

void Catalog::put(NodeIndex node, const RepoAdvert& advert) {
  auto [it, added] = repos_[advert.repo].commits.insert_or_assign({node, advert.commit}, advert);
  if (added) ++nodes_[node].adverts;
}

void Catalog::put(NodeIndex node, const RefAdvert& advert) {
  auto [it, added] =
      repos_[advert.repo].refs.insert_or_assign({node, advert.state.ref}, advert.state);
  if (added) ++nodes_[node].adverts;
}

void Catalog::dropIfEmpty(const RepoId& repo) {
  const auto it = repos_.find(repo);
  if (it != repos_.end() && it->second.commits.empty() && it->second.refs.empty()) {
    repos_.erase(it);
  }
}

void Catalog::remove(NodeIndex node, const RepoKey& key) {
  const auto it = repos_.find(key.repo);
  if (it == repos_.end()) return;
  nodes_[node].adverts -= it->second.commits.erase({node, key.commit});
  dropIfEmpty(key.repo);
}

void Catalog::remove(NodeIndex node, const RefKey& key) {
  const auto it = repos_.find(key.repo);
  if (it == repos_.end()) return;
  nodes_[node].adverts -= it->second.refs.erase({node, key.ref});
  dropIfEmpty(key.repo);
}

void Catalog::put(NodeIndex node, const RepresentationAdvert& advert) {
  auto& claims = representations_[advert.key];
  const auto known = std::find_if(claims.begin(), claims.end(),
                                  [&](const Claiming& one) { return one.node == node; });
  if (known != claims.end()) {
    known->claim = advert.claim;
  } else {
    claims.push_back({node, advert.claim});
    ++nodes_[node].adverts;
  }
  noteConflict(advert.key);
}

void Catalog::remove(NodeIndex node, const RepresentationKey& key) {
  const auto it = representations_.find(key);
  if (it == representations_.end()) return;
  auto& claims = it->second;
  const auto known = std::find_if(claims.begin(), claims.end(),
                                  [&](const Claiming& one) { return one.node == node; });
  if (known == claims.end()) return;
  claims.erase(known);
  --nodes_[node].adverts;
  if (claims.empty()) representations_.erase(it);
  noteConflict(key);
}

void Catalog::noteConflict(const RepresentationKey& key) {
  const auto it = representations_.find(key);
  const bool differ = it != representations_.end() &&
                      std::any_of(it->second.begin(), it->second.end(), [&](const Claiming& one) {
                        return one.claim.blob.id != it->second.front().claim.blob.id;
                      });
  if (!differ) {
    disagreed_.erase(key);
  } else if (disagreed_.size() < kConflictsKept) {
    disagreed_.insert(key);
  }
}

std::vector<RepresentationHolderView> Catalog::representation(const RepresentationKey& key) const {
  std::vector<RepresentationHolderView> result;
  const auto it = representations_.find(key);
  if (it == representations_.end()) return result;
  for (const Claiming& one : it->second) {
    const Node& node = nodes_[one.node];
    if (node.present) result.push_back({*node.id, one.claim});
  }
  std::sort(result.begin(), result.end(), [](const auto& a, const auto& b) {
    if (isOlder(a.claim, b.claim)) return true;
    return !isOlder(b.claim, a.claim) && a.node < b.node;
  });
  return result;
}

void Catalog::eachRepresentation(absl::FunctionRef<void(const RepresentationKey&)> visit) const {
  for (const auto& [key, claims] : representations_) visit(key);
}

std::vector<RepresentationConflict> Catalog::conflicts() const {
  std::vector<RepresentationConflict> result;
  for (const RepresentationKey& key : disagreed_) {
    RepresentationConflict conflict{key, representation(key)};
    const auto& claims = conflict.claims;
    const bool differ = std::any_of(claims.begin(), claims.end(), [&](const auto& one) {
      return one.claim.blob.id != claims.front().claim.blob.id;
    });
    if (differ) result.push_back(std::move(conflict));
  }
  return result;
}

// No list of each node's adverts is kept (it would double the memory), so a reset walks all blobs:
// rare, and a few milliseconds for 100,000.
void Catalog::clear(NodeIndex node) {
  if (nodes_[node].adverts == 0) return;
  std::vector<BlobId> held;
  for (const auto& [blob, entry] : blobs_) {
    const auto at = std::lower_bound(entry.holdings.begin(), entry.holdings.end(), node * 2);
    if (at != entry.holdings.end() && *at / 2 == node) held.push_back(blob);
  }
  for (const auto& [blob, list] : odd_) {
    for (const OddHolding& odd : list) {
      if (odd.holding / 2 == node) held.push_back(blob);
    }
  }
  for (const BlobId& blob : held) dropHolding(node, blob);
  for (auto it = repos_.begin(); it != repos_.end();) {
    RepoEntry& entry = it->second;
    for (auto c = entry.commits.begin(); c != entry.commits.end();) {
      c = c->first.first == node ? entry.commits.erase(c) : std::next(c);
    }
    for (auto r = entry.refs.begin(); r != entry.refs.end();) {
      r = r->first.first == node ? entry.refs.erase(r) : std::next(r);
    }
    const auto current = it++;
    if (entry.commits.empty() && entry.refs.empty()) repos_.erase(current);
  }
  std::vector<RepresentationKey> claimed;
  for (const auto& [key, claims] : representations_) {
    for (const Claiming& one : claims) {
      if (one.node == node) claimed.push_back(key);
    }
  }
  for (const RepresentationKey& key : claimed) remove(node, key);
  nodes_[node].adverts = 0;
}

void Catalog::setPresent(const NodeId& node, bool present) {
  nodes_[indexOf(node)].present = present;
}

void Catalog::forget(const NodeId& node) {
  const auto it = indices_.find(node);
  if (it == indices_.end()) return;
  clear(it->second);
  nodes_[it->second] = {};
  indices_.erase(it);
}

void Catalog::addHolders(absl::Span<const Holding> holdings,
                         std::vector<HolderView>& result) const {
  for (const Holding holding : holdings) {
    const Node& node = nodes_[holding / 2];
    if (node.present) result.push_back({*node.id, (holding & 1) != 0});
  }
}

std::vector<HolderView> Catalog::holders(const BlobInfo& blob) const {
  std::vector<HolderView> result;
  const auto it = blobs_.find(blob.id);
  if (it == blobs_.end()) return result;
  if (it->second.size == blob.size) {
    addHolders(it->second.holdings, result);
  } else if (const auto odd = odd_.find(blob.id); odd != odd_.end()) {
    for (const OddHolding& o : odd->second) {
      if (o.size == blob.size) addHolders({o.holding}, result);
    }
  }
  std::sort(result.begin(), result.end(),
            [](const HolderView& a, const HolderView& b) { return a.node < b.node; });
  return result;
}

std::vector<HolderView> Catalog::holders(const BlobId& blob) const {
  std::vector<HolderView> result;
  const auto it = blobs_.find(blob);
  if (it == blobs_.end()) return result;
  addHolders(it->second.holdings, result);
  if (const auto odd = odd_.find(blob); odd != odd_.end()) {
    for (const OddHolding& o : odd->second) addHolders({o.holding}, result);
  }
  std::sort(result.begin(), result.end(),
            [](const HolderView& a, const HolderView& b) { return a.node < b.node; });
  return result;
}

std::optional<uint64_t> Catalog::sizeOf(const BlobId& blob) const {
  const auto it = blobs_.find(blob);
  if (it == blobs_.end()) return std::nullopt;
  std::vector<HolderView> present;
  addHolders(it->second.holdings, present);
  return present.empty() ? std::nullopt : std::optional(it->second.size);
}

std::vector<RepoHolderView> Catalog::repoHolders(const RepoId& repo) const {
  std::vector<RepoHolderView> result;
  const auto it = repos_.find(repo);
  if (it == repos_.end()) return result;
  for (const auto& [key, advert] : it->second.commits) {
    const Node& node = nodes_[key.first];
    if (node.present) result.push_back({*node.id, advert});
  }
  return result;
}

std::vector<std::pair<NodeId, RefState>> Catalog::refs(const RepoId& repo) const {
  std::vector<std::pair<NodeId, RefState>> result;
  const auto it = repos_.find(repo);
  if (it == repos_.end()) return result;
  for (const auto& [key, state] : it->second.refs) {
    const Node& node = nodes_[key.first];
    if (node.present) result.emplace_back(*node.id, state);
  }
  return result;
}

bool Catalog::isHeld(const RepoEntry& entry) const {
  return std::any_of(entry.commits.begin(), entry.commits.end(),
                     [&](const auto& c) { return nodes_[c.first.first].present; });
}

std::vector<RepoId> Catalog::repos(RepoType type) const {
  std::vector<RepoId> result;
  for (const auto& [repo, entry] : repos_) {
    if (repo.type() == type && isHeld(entry)) result.push_back(repo);
  }
  std::sort(result.begin(), result.end());
  return result;
}

ClusterTotals Catalog::totals(
    absl::FunctionRef<const std::vector<StoreId>*(const NodeId&)> stores) const {
  // Nodes on one store count as one copy: each counts for the first node that has a store of its.
  std::vector<NodeIndex> copyOf(nodes_.size());
  absl::flat_hash_map<StoreId, NodeIndex> firstOn;
  bool shared = false;
  for (NodeIndex i = 0; i < nodes_.size(); ++i) {
    copyOf[i] = i;
    if (!nodes_[i].id || !nodes_[i].present) continue;
    const std::vector<StoreId>* own = stores(*nodes_[i].id);
    if (own == nullptr) continue;
    for (const StoreId& store : *own) {
      const auto [it, added] = firstOn.emplace(store, i);
      if (added) continue;
      copyOf[i] = copyOf[it->second];
      shared = true;
    }
  }
  ClusterTotals totals;
  std::vector<NodeIndex> copies;
  for (const auto& [blob, entry] : blobs_) {
    copies.clear();
    for (const Holding holding : entry.holdings) {
      if (nodes_[holding / 2].present) copies.push_back(copyOf[holding / 2]);
    }
    if (copies.empty()) continue;
    if (shared) {
      std::sort(copies.begin(), copies.end());
      copies.erase(std::unique(copies.begin(), copies.end()), copies.end());
    }
    ++totals.uniqueBlobs;
    totals.uniqueBytes += entry.size;
    totals.heldBytes += entry.size * copies.size();
  }
  for (const auto& [repo, entry] : repos_) {
    if (!isHeld(entry)) continue;
    switch (repo.type()) {
      case RepoType::kModel:
        ++totals.models;
        break;
      case RepoType::kDataset:
        ++totals.datasets;
        break;
      case RepoType::kSpace:
        ++totals.spaces;
        break;
      case RepoType::kDatasetCache:
        ++totals.datasetCaches;
        break;
      case RepoType::kTree:
        ++totals.trees;
        break;
    }
  }
  return totals;
}

size_t Catalog::advertsOf(const NodeId& node) const {
  const auto it = indices_.find(node);
  return it == indices_.end() ? 0 : nodes_[it->second].adverts;
}

}  // namespace roost
