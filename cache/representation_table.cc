#include "cache/representation_table.h"

#include <algorithm>

namespace roost {
namespace {

auto inPlace(std::vector<HeldRepresentation>& held, const std::string& path) {
  return std::find_if(held.begin(), held.end(),
                      [&](const HeldRepresentation& one) { return one.path == path; });
}

}  // namespace

bool RepresentationTable::put(const RepresentationKey& key, HeldRepresentation held) {
  const auto it = entries_.find(key);
  if (it == entries_.end() && full()) return false;
  auto& entry = it != entries_.end() ? it->second : entries_[key];
  std::optional<RepresentationClaim> before;
  if (!entry) {
    entry = std::make_unique<Entry>();
  } else {
    before = entry->held.front().claim;
  }
  auto& list = entry->held;
  if (const auto known = inPlace(list, held.path); known != list.end()) {
    if (known->path.empty()) ownBytes_ -= known->claim.blob.size;
    list.erase(known);
  }
  const bool isOwn = held.path.empty();
  if (isOwn) ownBytes_ += held.claim.blob.size;
  const auto at = std::find_if(list.begin(), list.end(), [&](const HeldRepresentation& one) {
    return isOlder(held.claim, one.claim);
  });
  list.insert(at, std::move(held));
  if (isOwn) setUse(key, *entry);
  nowCounts(key, before, entry.get());
  return true;
}

void RepresentationTable::remove(const RepresentationKey& key, const std::string& path) {
  const auto it = entries_.find(key);
  if (it == entries_.end()) return;
  Entry& entry = *it->second;
  const auto known = inPlace(entry.held, path);
  if (known == entry.held.end()) return;
  const RepresentationClaim before = entry.held.front().claim;
  if (path.empty()) {
    ownBytes_ -= known->claim.blob.size;
    uses_.erase({entry.use, key});
    entry.use = 0;
  }
  entry.held.erase(known);
  if (!entry.held.empty()) return nowCounts(key, before, &entry);
  nowCounts(key, before, nullptr);
  if (entry.told) gone_.insert(key);
  entries_.erase(it);
}

// Keeps what follows from which claim counts.
void RepresentationTable::nowCounts(const RepresentationKey& key,
                                    const std::optional<RepresentationClaim>& before,
                                    const Entry* entry) {
  const bool differ =
      entry != nullptr && std::any_of(entry->held.begin(), entry->held.end(), [&](const auto& one) {
        return one.claim.blob.id != entry->held.front().claim.blob.id;
      });
  if (differ) {
    conflicts_.insert(key);
  } else {
    conflicts_.erase(key);
  }
  if (before && entry != nullptr && *before == entry->held.front().claim) return;
  if (before) {
    bytes_ -= before->blob.size;
    const auto names = blobs_.find(before->blob.id);
    std::erase(names->second, key);
    if (names->second.empty()) blobs_.erase(names);
  }
  if (entry == nullptr) {
    dirty_.erase(key);
    return;
  }
  const RepresentationClaim& now = entry->held.front().claim;
  bytes_ += now.blob.size;
  blobs_[now.blob.id].push_back(key);
  dirty_.insert(key);
}

const HeldRepresentation* RepresentationTable::find(const RepresentationKey& key) const {
  const auto it = entries_.find(key);
  return it == entries_.end() ? nullptr : &it->second->held.front();
}

const HeldRepresentation* RepresentationTable::findOwn(const RepresentationKey& key) const {
  const auto it = entries_.find(key);
  if (it == entries_.end()) return nullptr;
  const auto own = inPlace(it->second->held, "");
  return own == it->second->held.end() ? nullptr : &*own;
}

std::optional<RepresentationKey> RepresentationTable::keyOf(const BlobId& blob) const {
  const auto it = blobs_.find(blob);
  if (it == blobs_.end()) return std::nullopt;
  return it->second.front();
}

std::vector<RepresentationClaim> RepresentationTable::others(const RepresentationKey& key) const {
  std::vector<RepresentationClaim> claims;
  const auto it = entries_.find(key);
  if (it == entries_.end()) return claims;
  for (size_t i = 1; i < it->second->held.size(); ++i) claims.push_back(it->second->held[i].claim);
  return claims;
}

void RepresentationTable::setUse(const RepresentationKey& key, Entry& entry) {
  if (entry.use != 0) uses_.erase({entry.use, key});
  entry.use = ++lastUse_;
  uses_.insert({entry.use, key});
}

void RepresentationTable::used(const RepresentationKey& key) {
  const auto it = entries_.find(key);
  if (it != entries_.end() && it->second->use != 0) setUse(key, *it->second);
}

std::vector<RepresentationKey> RepresentationTable::leastUsed(uint64_t bytes) const {
  std::vector<RepresentationKey> keys;
  uint64_t found = 0;
  for (auto it = uses_.begin(); it != uses_.end() && found < bytes; ++it) {
    found += findOwn(it->second)->claim.blob.size;
    keys.push_back(it->second);
  }
  return keys;
}

void RepresentationTable::restore(absl::Span<const AdvertChange> told) {
  for (const AdvertChange& change : told) {
    const auto* advert = std::get_if<Advert>(&change.what);
    const auto* value = advert == nullptr ? nullptr : std::get_if<RepresentationAdvert>(advert);
    if (value != nullptr) restored_.insert_or_assign(value->key, value->claim);
  }
}

void RepresentationTable::settled() {
  for (const auto& [key, claim] : restored_) {
    const auto it = entries_.find(key);
    if (it == entries_.end()) {
      gone_.insert(key);
      continue;
    }
    it->second->told = true;
    if (it->second->held.front().claim == claim) dirty_.erase(key);
  }
  restored_.clear();
}

std::vector<std::variant<Advert, AdvertKey>> RepresentationTable::takeChanges() {
  std::vector<std::variant<Advert, AdvertKey>> changes;
  for (const RepresentationKey& key : gone_) {
    if (!entries_.contains(key)) changes.emplace_back(AdvertKey(key));
  }
  gone_.clear();
  for (const RepresentationKey& key : dirty_) {
    Entry& entry = *entries_.at(key);
    entry.told = true;
    changes.emplace_back(Advert(RepresentationAdvert{key, entry.held.front().claim}));
  }
  dirty_.clear();
  return changes;
}

}  // namespace roost
