#include "node/saved_state.h"

#include <algorithm>
#include <iterator>

#include "absl/random/random.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "cluster/saved_jobs.h"
#include "node/endpoint/blob_readings.h"
#include "protocol/convert.h"
#include "protocol/errors.h"
#include "protocol/limits.h"

namespace roost {
namespace {

constexpr char kLogIdKey[] = "log-id";
constexpr char kSavedBytes[] = "saved-bytes";
constexpr char kAdvertKindsKey[] = "advert-kinds";  // how many the saved adverts were chosen from
constexpr char kVisibilityPrefix[] = "visibility ";

// A row's key: what the advert is about, as text that no two keys share.
std::string rowKey(const AdvertKey& key) {
  if (const auto* blob = std::get_if<BlobId>(&key)) return blob->toString();
  if (const auto* repo = std::get_if<RepoKey>(&key)) {
    return absl::StrCat("repo ", repo->repo.origin().url(), " ", repo->repo.toString(), " ",
                        repo->commit.hex());
  }
  if (const auto* value = std::get_if<RepresentationKey>(&key)) return "r " + value->hex();
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

// A version that knew fewer kinds of adverts skipped the others, and went on: what peers hold of
// them is only heard by beginning anew.
absl::Status forgetShortCatalogs(Index& index, const NodeId& self) {
  ROOST_ASSIGN_OR_RETURN(const auto known, index.value(kAdvertKindsKey));
  const std::string kinds = absl::StrCat(std::variant_size_v<Advert>);
  if (known == kinds) return absl::OkStatus();
  ROOST_ASSIGN_OR_RETURN(const auto catalogs, index.loadCatalogs());
  for (const Index::SavedCatalog& catalog : catalogs) {
    if (catalog.peer != self) ROOST_RETURN_IF_ERROR(index.dropCatalog(catalog.peer));
  }
  return index.setValue(kAdvertKindsKey, kinds);
}

// By id. Of the finished ones the newest; older ones, and what no version of a job can be read
// from, leave the index.
absl::StatusOr<std::vector<JobView>> loadJobs(Index& index) {
  ROOST_ASSIGN_OR_RETURN(const auto rows, index.loadJobs());
  std::vector<JobView> jobs;
  size_t finished = 0;
  for (auto row = rows.rbegin(); row != rows.rend(); ++row) {
    auto job = decodeJob(row->second);
    if (!job.ok() || (job->finished && ++finished > kJobsKept)) {
      ROOST_RETURN_IF_ERROR(index.dropJob(row->first));
      continue;
    }
    jobs.push_back(*std::move(job));
  }
  std::reverse(jobs.begin(), jobs.end());
  return jobs;
}

}  // namespace

absl::StatusOr<SavedState> SavedState::load(Index& index, const NodeId& self) {
  SavedState state;
  ROOST_ASSIGN_OR_RETURN(state.logId, logIdOf(index));
  ROOST_RETURN_IF_ERROR(forgetShortCatalogs(index, self));
  ROOST_ASSIGN_OR_RETURN(const auto catalogs, index.loadCatalogs());
  for (const Index::SavedCatalog& catalog : catalogs) {
    std::vector<AdvertChange> changes = decodeAll(catalog.adverts);
    if (catalog.peer != self) {
      state.peers.push_back({catalog.peer, catalog.position, std::move(changes)});
    } else if (catalog.position.logId == state.logId) {
      state.own = std::move(changes);
    }
  }
  ROOST_ASSIGN_OR_RETURN(state.jobs, loadJobs(index));
  ROOST_ASSIGN_OR_RETURN(const auto poisoned, index.values(BlobReadings::kPoisonPrefix));
  for (const auto& [key, value] : poisoned) {
    absl::string_view name = key;
    absl::ConsumePrefix(&name, BlobReadings::kPoisonPrefix);
    if (const auto blob = BlobId::parse(name); blob.ok()) state.poisoned.insert(*blob);
  }
  ROOST_ASSIGN_OR_RETURN(const auto visibility, index.values(kVisibilityPrefix));
  for (const auto& [key, value] : visibility) {
    const std::vector<std::string> parts = absl::StrSplit(key, ' ');
    if (parts.size() != 4) continue;
    const auto origin = HubOrigin::parse(parts[1]);
    const auto type = parseRepoType(parts[2]);
    if (!origin.ok() || !type.ok()) continue;
    const auto repo = RepoId::make(*origin, *type, parts[3]);
    uint32_t number = 0;
    if (!repo.ok() || !absl::SimpleAtoi(value, &number) || number > 3) continue;
    state.visibility.emplace(*repo, static_cast<Visibility>(number));
  }
  ROOST_ASSIGN_OR_RETURN(state.savedBytes, index.counter(kSavedBytes));
  return state;
}

void SavedAdverts::add(const NodeId& node, bool reset, const std::vector<AdvertChange>& changes,
                       const LogPosition& position, std::function<void()> then) {
  Batch batch{.reset = reset, .changes = {}, .position = position, .then = {}};
  for (const AdvertChange& change : changes) batch.changes.insert_or_assign(keyOf(change), change);
  if (then) batch.then.push_back(std::move(then));
  Batch& waiting = waiting_[node];
  waiting = joined(std::move(waiting), std::move(batch));
  saveNext();
}

SavedAdverts::Batch SavedAdverts::joined(Batch earlier, Batch later) {
  if (later.reset) {
    earlier.reset = true;
    earlier.changes.clear();
  }
  for (auto& [key, change] : later.changes) {
    earlier.changes.insert_or_assign(key, std::move(change));
  }
  earlier.position = later.position;
  std::move(later.then.begin(), later.then.end(), std::back_inserter(earlier.then));
  return earlier;
}

void SavedAdverts::saveNext() {
  if (saving_ || waiting_.empty()) return;
  const auto awaited = std::find_if(waiting_.begin(), waiting_.end(),
                                    [](const auto& entry) { return !entry.second.then.empty(); });
  auto node = waiting_.extract(awaited == waiting_.end() ? waiting_.begin() : awaited);
  auto batch = std::make_shared<Batch>(std::move(node.mapped()));
  saving_ = true;
  const absl::Status submitted =
      index_.submit([this, onLoop = onLoop_, id = node.key(), batch](Index& index) {
        std::vector<SavedAdvert> advertised;
        std::vector<std::string> withdrawn;
        for (const auto& [key, change] : batch->changes) {
          if (std::holds_alternative<Advert>(change.what)) {
            advertised.push_back({rowKey(key), encodeAdverts({change})});
          } else {
            withdrawn.push_back(rowKey(key));
          }
        }
        const absl::Status status =
            index.saveCatalog(id, batch->reset, advertised, withdrawn, batch->position);
        onLoop([this, id, batch, status] { saved(id, batch, status); });
      });
  if (!submitted.ok()) saved(node.key(), batch, submitted);
}

void SavedAdverts::saved(const NodeId& node, std::shared_ptr<Batch> batch,
                         const absl::Status& status) {
  saving_ = false;
  const auto then = std::exchange(batch->then, {});
  if (!status.ok()) {
    const auto it = waiting_.find(node);
    waiting_[node] =
        it == waiting_.end() ? std::move(*batch) : joined(std::move(*batch), std::move(it->second));
  }
  for (const auto& tell : then) tell();
  if (status.ok()) saveNext();
}

void saveVisibility(IndexQueue& index, const RepoId& repo, Visibility visibility) {
  const std::string key = absl::StrCat(kVisibilityPrefix, repo.origin().url(), " ",
                                       repoTypeName(repo.type()), " ", repo.name());
  (void)index.submit([key, visibility](Index& to) {
    (void)to.setValue(key, absl::StrCat(static_cast<int>(visibility)));
  });
}

void saveJob(IndexQueue& index, const JobView& job, const NodeId& self) {
  (void)index.submit(
      [job, self](Index& to) { (void)to.saveJob(job.order.id, encodeJob(job, self)); });
}

void addSavedBytes(IndexQueue& index, uint64_t bytes) {
  (void)index.submit([bytes](Index& to) { (void)to.addToCounter(kSavedBytes, bytes); });
}

}  // namespace roost
