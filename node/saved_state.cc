#include "node/saved_state.h"

#include <algorithm>

#include "absl/random/random.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "cluster/saved_jobs.h"
#include "protocol/convert.h"
#include "protocol/errors.h"

namespace roost {
namespace {

constexpr char kLogIdKey[] = "log-id";
constexpr char kSavedBytes[] = "saved-bytes";

// A row's key: what the advert is about, as text that no two keys share.
std::string rowKey(const AdvertKey& key) {
  if (const auto* blob = std::get_if<BlobId>(&key)) return blob->toString();
  if (const auto* repo = std::get_if<RepoKey>(&key)) {
    return absl::StrCat("repo ", repo->repo.origin().url(), " ", repo->repo.toString(), " ",
                        repo->commit.hex());
  }
  const auto& ref = std::get<RefKey>(key);
  return absl::StrCat("ref ", ref.repo.origin().url(), " ", ref.repo.toString(), " ",
                      ref.ref.text());
}

std::vector<AdvertChange> decodeAll(const std::vector<SavedAdvert>& rows) {
  std::vector<AdvertChange> changes;
  for (const SavedAdvert& row : rows) {
    // A row of another version is a hint that is missing, no more: the peer is asked again.
    auto decoded = decodeAdverts(row.value);
    if (!decoded.ok()) continue;
    changes.insert(changes.end(), decoded->begin(), decoded->end());
  }
  std::sort(changes.begin(), changes.end(),
            [](const AdvertChange& a, const AdvertChange& b) { return a.sequence < b.sequence; });
  return changes;
}

absl::StatusOr<uint64_t> logIdOf(Index& index) {
  ROOST_ASSIGN_OR_RETURN(const auto text, index.value(kLogIdKey));
  uint64_t id = 0;
  if (text && absl::SimpleAtoi(*text, &id) && id != 0) return id;
  absl::BitGen random;
  id = absl::Uniform<uint64_t>(absl::IntervalClosed, random, 1, UINT64_MAX);
  ROOST_RETURN_IF_ERROR(index.setValue(kLogIdKey, absl::StrCat(id)));
  return id;
}

}  // namespace

absl::StatusOr<SavedState> SavedState::load(Index& index, const NodeId& self) {
  SavedState state;
  ROOST_ASSIGN_OR_RETURN(state.logId, logIdOf(index));
  ROOST_ASSIGN_OR_RETURN(const auto catalogs, index.loadCatalogs());
  for (const Index::SavedCatalog& catalog : catalogs) {
    std::vector<AdvertChange> changes = decodeAll(catalog.adverts);
    if (catalog.peer != self) {
      state.peers.push_back({catalog.peer, catalog.position, std::move(changes)});
    } else if (catalog.position.logId == state.logId) {
      state.own = std::move(changes);
    }
  }
  ROOST_ASSIGN_OR_RETURN(const auto jobs, index.loadJobs());
  for (const auto& [id, encoded] : jobs) {
    if (auto order = decodeJob(encoded); order.ok()) state.jobs.push_back(*std::move(order));
  }
  ROOST_ASSIGN_OR_RETURN(state.savedBytes, index.counter(kSavedBytes));
  return state;
}

void saveAdverts(IndexQueue& index, const NodeId& node, bool reset,
                 const std::vector<AdvertChange>& changes, const LogPosition& position) {
  std::vector<SavedAdvert> advertised;
  std::vector<std::string> withdrawn;
  for (const AdvertChange& change : changes) {
    if (const auto* advert = std::get_if<Advert>(&change.what)) {
      advertised.push_back({rowKey(keyOf(*advert)), encodeAdverts({change})});
    } else {
      withdrawn.push_back(rowKey(std::get<AdvertKey>(change.what)));
    }
  }
  // A hint: what is not saved is asked of the peer again.
  (void)index.submit([node, reset, position, advertised = std::move(advertised),
                      withdrawn = std::move(withdrawn)](Index& to) {
    (void)to.saveCatalog(node, reset, advertised, withdrawn, position);
  });
}

void saveJob(IndexQueue& index, const JobView& job, const NodeId& self) {
  (void)index.submit([job, self](Index& to) {
    if (job.finished) {
      (void)to.dropJob(job.order.id);
    } else {
      (void)to.saveJob(job.order.id, encodeJob(job.order, self));
    }
  });
}

void addSavedBytes(IndexQueue& index, uint64_t bytes) {
  (void)index.submit([bytes](Index& to) { (void)to.addToCounter(kSavedBytes, bytes); });
}

}  // namespace roost
