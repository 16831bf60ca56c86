#include "cluster/obtains.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "cluster/severity.h"
#include "protocol/errors.h"
#include "protocol/limits.h"

namespace roost {
namespace {

constexpr absl::Duration kRatePeriod = absl::Seconds(1);
constexpr double kRateNewShare = 0.3;

bool isSmall(const BlobInfo& blob) {
  return blob.size <= kInlineBlobBytesMax;
}

}  // namespace

void Obtains::begin(Turn& turn, const ObtainRequest& request) {
  const ObtainKey key{request.coordinator, request.job};
  if (running_.contains(key) || finished_.contains(key)) return;
  fetches_.setLimit(key, request.limit, turn.now());
  Obtain obtain{request};
  obtain.progress.state = ObtainState::kRunning;
  obtain.progress.filesTotal = static_cast<uint32_t>(request.listing.files.size());
  obtain.progress.bytesTotal = request.listing.bytes();
  running_.emplace(key, std::move(obtain));
  turn.emit(CheckPresent{key, request.listing});
}

void Obtains::on(Turn& turn, const PresenceKnown& event) {
  const auto it = running_.find(event.obtain);
  if (it == running_.end() || it->second.phase != Phase::kChecking) return;
  Obtain& obtain = it->second;
  const std::vector<FileEntry>& files = obtain.request.listing.files;
  absl::Status status = event.status;
  if (status.ok() && event.present.size() != files.size()) {
    status = absl::InternalError("the presence check answered for another listing");
  }
  if (!status.ok()) return finish(turn, event.obtain, ObtainState::kFailed, status);

  absl::flat_hash_map<BlobId, size_t> seen;
  for (size_t i = 0; i < files.size(); ++i) {
    const BlobInfo& blob = files[i].blob;
    if (event.present[i]) {
      ++obtain.progress.filesDone;
      obtain.progress.bytesDone += blob.size;
      continue;
    }
    const auto [at, first] = seen.emplace(blob.id, obtain.missing.size());
    if (first) {
      obtain.missing.push_back({blob, i});
    } else {
      ++obtain.missing[at->second].files;
    }
  }
  // Empty blobs need no source. They are made when all others are there, so that a repo that cannot
  // be had leaves nothing behind.
  std::stable_partition(obtain.missing.begin(), obtain.missing.end(),
                        [](const Missing& missing) { return missing.blob.size > 0; });
  obtain.progress.bytesPresent = obtain.progress.bytesDone;
  obtain.rateBytes = obtain.progress.bytesDone;
  obtain.rateAt = turn.now();
  if (const absl::Status space = checkSpace(obtain, event.freeBytes); !space.ok()) {
    return finish(turn, event.obtain, ObtainState::kFailed, space);
  }
  obtain.phase = Phase::kFetching;
  pumpDue_ = true;
  settle(turn, event.obtain);
}

absl::Status Obtains::checkSpace(const Obtain& obtain, uint64_t freeBytes) const {
  uint64_t needed = 0;
  for (const Missing& missing : obtain.missing) needed += missing.blob.size;
  const uint64_t usable = freeBytes > kFreeBytesKept ? freeBytes - kFreeBytesKept : 0;
  if (needed <= usable) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      sentence(absl::StrCat("not enough space for ", obtain.request.listing.repo.toString(), " on ",
                            members_.self().name),
               absl::StrCat(needed, " bytes needed, ", freeBytes, " bytes free, of which ",
                            kFreeBytesKept, " are kept for the host"),
               "Free some space or use another folder"));
}

void Obtains::pump(Turn& turn) {
  if (!std::exchange(pumpDue_, false)) return;
  // Round robin, so that a small job is not stuck behind a big one.
  for (const bool small : {true, false}) {
    bool any = true;
    while (any && fetches_.room(small ? 0 : kInlineBlobBytesMax + 1)) {
      any = false;
      for (auto& [key, obtain] : running_) {
        if (obtain.phase != Phase::kFetching) continue;
        if (!fetches_.room(small ? 0 : kInlineBlobBytesMax + 1)) break;
        any |= beginNext(turn, key, obtain, small);
      }
    }
  }
  // Where a fetch could not even begin, nothing else will say that it ended.
  std::vector<ObtainKey> ended;
  for (const auto& [key, obtain] : running_) {
    if (obtain.ended == obtain.missing.size()) ended.push_back(key);
  }
  for (const ObtainKey& key : ended) settle(turn, key);
}

bool Obtains::beginNext(Turn& turn, const ObtainKey& key, Obtain& obtain, bool small) {
  size_t& next = obtain.next[small ? 0 : 1];
  while (next < obtain.missing.size() && (obtain.missing[next].state != Missing::State::kWaiting ||
                                          isSmall(obtain.missing[next].blob) != small)) {
    ++next;
  }
  if (next == obtain.missing.size()) return false;
  Missing& missing = obtain.missing[next];
  if (missing.blob.size == 0) {
    if (obtain.fetching > 0) return false;
    if (!obtain.failure.ok()) {
      fail(obtain, missing, obtain.failure);
      return true;
    }
  }
  const Listing& listing = obtain.request.listing;
  const BlobSite site{listing.repo, listing.commit, listing.files[missing.file].path};
  // What no hub has is never asked of one, whatever the order says.
  const SourceRule from =
      isOfHub(listing.repo.type()) ? obtain.request.from : SourceRule::kClusterOnly;
  const absl::Status status =
      fetches_.want(turn, missing.blob, site, from, key, obtain.request.company);
  if (status.ok()) {
    missing.state = Missing::State::kFetching;
    ++obtain.fetching;
  } else {
    fail(obtain, missing, status);
  }
  return true;
}

void Obtains::fetchEnded(Turn& turn, const Fetches::Ended& ended) {
  pumpDue_ = true;
  if (ended.status.ok()) cameForOthers(ended);
  for (const ObtainKey& key : ended.owners) {
    const auto it = running_.find(key);
    if (it == running_.end()) continue;
    Obtain& obtain = it->second;
    const auto missing =
        std::find_if(obtain.missing.begin(), obtain.missing.end(), [&](const Missing& m) {
          return m.state == Missing::State::kFetching && m.blob.id == ended.blob.id;
        });
    if (missing == obtain.missing.end()) continue;
    --obtain.fetching;
    for (const auto& [source, bytes] : ended.received) obtain.received[source] += bytes;
    if (ended.status.ok()) {
      done(obtain, *missing);
    } else {
      fail(obtain, *missing, ended.status);
    }
    settle(turn, key);
  }
}

// Orders that have not got to it yet looked before it was here.
void Obtains::cameForOthers(const Fetches::Ended& ended) {
  for (auto& [key, obtain] : running_) {
    // In one order a blob is missing once.
    if (std::find(ended.owners.begin(), ended.owners.end(), key) != ended.owners.end()) continue;
    if (obtain.phase != Phase::kFetching || !isOfHub(obtain.request.listing.repo.type())) continue;
    for (Missing& missing : obtain.missing) {
      if (missing.state == Missing::State::kWaiting && missing.blob == ended.blob) {
        done(obtain, missing);
      }
    }
  }
}

void Obtains::done(Obtain& obtain, Missing& missing) {
  missing.state = Missing::State::kDone;
  ++obtain.ended;
  obtain.progress.filesDone += missing.files;
  obtain.progress.bytesDone += missing.blob.size * missing.files;
}

void Obtains::fail(Obtain& obtain, Missing& missing, const absl::Status& status) {
  missing.state = Missing::State::kFailed;
  ++obtain.ended;
  obtain.failedFiles += missing.files;
  obtain.failure = worse(obtain.failure, status);
}

void Obtains::settle(Turn& turn, const ObtainKey& key) {
  const auto it = running_.find(key);
  Obtain& obtain = it->second;
  if (obtain.phase != Phase::kFetching || obtain.ended < obtain.missing.size()) return;
  if (!obtain.failure.ok()) {
    absl::Status failure = obtain.failure;
    if (obtain.failedFiles > 1) {
      failure = absl::Status(failure.code(), absl::StrCat(failure.message(), " (and ",
                                                          obtain.failedFiles - 1, " more files)"));
    }
    return finish(turn, key, ObtainState::kFailed, failure);
  }
  obtain.phase = Phase::kPublishing;
  turn.emit(
      PublishRepo{key, obtain.request.listing, obtain.request.manifestOnly, obtain.request.refs});
}

void Obtains::on(Turn& turn, const RepoPublished& event) {
  const auto it = running_.find(event.obtain);
  if (it == running_.end() || it->second.phase != Phase::kPublishing) return;
  finish(turn, event.obtain, event.status.ok() ? ObtainState::kDone : ObtainState::kFailed,
         event.status);
}

void Obtains::setLimit(const ObtainKey& key, uint64_t bytesPerSecond, absl::Time now) {
  if (running_.contains(key)) fetches_.setLimit(key, bytesPerSecond, now);
}

void Obtains::cancel(Turn& turn, const ObtainKey& key) {
  const auto it = running_.find(key);
  if (it == running_.end()) return;
  for (Missing& missing : it->second.missing) {
    if (missing.state == Missing::State::kFetching) fetches_.release(turn, missing.blob.id, key);
  }
  finish(turn, key, ObtainState::kCancelled, absl::CancelledError("cancelled"));
}

void Obtains::asked(Turn& turn, const NodeId& peer, AskId ask, const ObtainKey& key,
                    absl::Duration held) {
  answer(turn, key);  // who asks again does not wait for the answer before
  held_.emplace(key, Held{peer, ask, turn.now() + held});
  if (held <= absl::ZeroDuration() || !running_.contains(key)) answer(turn, key);
}

void Obtains::answer(Turn& turn, const ObtainKey& key) {
  const auto it = held_.find(key);
  if (it == held_.end()) return;
  turn.emit(Respond{it->second.peer, it->second.ask, ProgressReply{progress(key)}});
  held_.erase(it);
}

void Obtains::finish(Turn& turn, const ObtainKey& key, ObtainState state,
                     const absl::Status& status) {
  const auto it = running_.find(key);
  ObtainProgress progress = snapshot(it->second);
  progress.state = state;
  progress.rate = 0;
  progress.code = status.code();
  progress.message = std::string(status.message());
  fetches_.setLimit(key, 0, absl::InfinitePast());
  finished_.emplace(key, std::move(progress));
  finishedOrder_.push_back(key);
  running_.erase(it);
  if (finishedOrder_.size() > kJobsKept) {
    finished_.erase(finishedOrder_.front());
    finishedOrder_.pop_front();
  }
  ended_.push_back(key);
  answer(turn, key);
  pumpDue_ = true;
}

uint64_t Obtains::bytesNow(const Obtain& obtain) const {
  uint64_t bytes = obtain.progress.bytesDone;
  if (obtain.fetching == 0) return bytes;
  for (const Missing& missing : obtain.missing) {
    if (missing.state != Missing::State::kFetching) continue;
    if (const Fetch* fetch = fetches_.find(missing.blob.id)) bytes += fetch->bytesHad();
  }
  return bytes;
}

ObtainProgress Obtains::snapshot(const Obtain& obtain) const {
  ObtainProgress progress = obtain.progress;
  progress.bytesDone = bytesNow(obtain);
  auto received = obtain.received;
  if (obtain.fetching > 0) {
    for (const Missing& missing : obtain.missing) {
      if (missing.state != Missing::State::kFetching) continue;
      const Fetch* fetch = fetches_.find(missing.blob.id);
      if (fetch == nullptr) continue;
      for (const auto& [source, bytes] : fetch->received()) received[source] += bytes;
    }
  }
  for (const auto& [source, bytes] : received) {
    const std::string name = !source                   ? "hub"
                             : *source == kSwarmSource ? "swarm"
                                                       : members_.nameOf(*source);
    progress.sources.push_back({name, bytes});
  }
  return progress;
}

ObtainProgress Obtains::progress(const ObtainKey& key) const {
  if (const auto it = running_.find(key); it != running_.end()) return snapshot(it->second);
  if (const auto it = finished_.find(key); it != finished_.end()) return it->second;
  return {};
}

void Obtains::tick(Turn& turn) {
  std::vector<ObtainKey> due;
  for (const auto& [key, held] : held_) {
    if (held.until <= turn.now()) due.push_back(key);
  }
  for (const ObtainKey& key : due) answer(turn, key);
  for (auto& [key, obtain] : running_) {
    const absl::Duration passed = turn.now() - obtain.rateAt;
    if (obtain.phase != Phase::kFetching || passed < kRatePeriod) continue;
    const uint64_t bytes = bytesNow(obtain);
    const uint64_t more = bytes > obtain.rateBytes ? bytes - obtain.rateBytes : 0;
    const double rate = static_cast<double>(more) / absl::ToDoubleSeconds(passed);
    const double before = static_cast<double>(obtain.progress.rate);
    obtain.progress.rate = static_cast<uint64_t>(
        before == 0 ? rate : (1 - kRateNewShare) * before + kRateNewShare * rate);
    obtain.rateBytes = bytes;
    obtain.rateAt = turn.now();
  }
}

}  // namespace roost
