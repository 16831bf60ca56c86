#include "node/folder_scans.h"

#include <algorithm>

#include "cache/hub_layout.h"
#include "cache/layouts.h"
#include "cache/scan_trust.h"
#include "node/root_ground.h"

namespace roost {

namespace {

using Clock = ScanSchedule::Clock;

// Adds the time from its making to its end.
class Stopwatch {
 public:
  explicit Stopwatch(Clock::duration& total) : total_(total), began_(Clock::now()) {}
  ~Stopwatch() { total_ += Clock::now() - began_; }
  Stopwatch(const Stopwatch&) = delete;
  Stopwatch& operator=(const Stopwatch&) = delete;

 private:
  Clock::duration& total_;
  const Clock::time_point began_;
};

}  // namespace

struct FolderScans::Found {
  Moment began;
  absl::StatusOr<RepoScan> scan = absl::UnknownError("not read yet");
  std::vector<CopyTrust> trust = {};  // of its copies
  Clock::duration took{};             // on whatever thread; not what it waited for one
};

struct FolderScans::FoundRoot {
  Moment began;
  absl::StatusOr<RootScan> scan = absl::UnknownError("not read yet");
  std::vector<std::vector<CopyTrust>> trust = {};  // of its contents' copies
  RootGround ground = {};
  Clock::duration took{};
};

FolderScans::FolderScans(Seams seams) : s_(std::move(seams)), timer_(s_.io) {
  for (size_t i = 0; i < s_.inventory.roots(); ++i) {
    writable_.push_back(groundOf(s_.inventory.root(static_cast<RootIndex>(i)).config).writable);
  }
}

void FolderScans::start() {
  watch_ =
      std::make_unique<FolderWatch>(s_.io, s_.pool, [this](const Dirty& dirty) { isDirty(dirty); });
  rootsToRead_ = s_.inventory.roots();
  for (size_t i = 0; i < rootsToRead_; ++i) {
    watch_->addRoot(s_.inventory.root(static_cast<RootIndex>(i)));
  }
  for (size_t i = 0; i < rootsToRead_; ++i) {
    unread_.insert(static_cast<RootIndex>(i));
    scanRoot(static_cast<RootIndex>(i));
  }
  settleIfDone();
}

void FolderScans::stop() {
  timer_.cancel();
  if (watch_) watch_->stop();
}

std::vector<std::string> FolderScans::problems() const {
  return watch_ ? watch_->problems() : std::vector<std::string>();
}

std::vector<StoreId> FolderScans::stores() const {
  std::vector<RootGround> grounds;
  for (size_t i = 0; i < writable_.size(); ++i) {
    grounds.push_back({s_.inventory.root(static_cast<RootIndex>(i)).store, writable_[i]});
  }
  return storesOf(grounds);
}

void FolderScans::isDirty(const Dirty& dirty) {
  if (dirty.repo) return scanSoon({dirty.root, *dirty.repo});
  if (dirty.everything) unread_.insert(dirty.root);
  scanRootSoon(dirty.root);
}

// ---- Roots

void FolderScans::scanRootSoon(RootIndex root) {
  if (!rootsSoon_.insert(root).second) return;
  const Clock::duration pause =
      std::max<Clock::duration>(kScanDebounce, ScanSchedule::pauseAfter(rootsTook_[root]));
  s_.work->later(absl::FromChrono(pause), [this, root] {
    rootsSoon_.erase(root);
    scanRoot(root);
  });
}

void FolderScans::whenRootScanned(RootIndex root, std::function<void()> then) {
  rootWaiting_[root].push_back(std::move(then));
  scanRootSoon(root);
}

void FolderScans::scanRoot(RootIndex root) {
  const auto [running, first] = rootsRunning_.try_emplace(root, false);
  if (!first) {
    running->second = true;
    return;
  }
  if (auto waiters = rootWaiting_.extract(root)) rootServed_.insert(std::move(waiters));
  const RootConfig config = s_.inventory.root(root).config;
  const HubOrigin origin = config.names.value_or(s_.origin);
  auto found = std::make_shared<FoundRoot>(FoundRoot{s_.inventory.scanBegins()});
  const auto done = [this, work = s_.work, root, found] {
    work->post([this, root, found] { rootRead(root, *found); });
  };
  s_.work->submit({"scan root", WorkPriority::kNormal, config.path},
                  [config, origin, found, done, &index = s_.index] {
                    {
                      const Stopwatch stopwatch(found->took);
                      found->scan = roost::scanRoot(config, origin);
                      found->ground = groundOf(config);
                    }
                    if (!found->scan.ok() || found->scan->contents.empty()) return done();
                    for (const RepoScan& repo : found->scan->contents) {
                      found->trust.emplace_back(repo.copies.size());
                    }
                    const absl::Status submitted = index.submit([found, done](Index& known) {
                      for (size_t i = 0; i < found->trust.size(); ++i) {
                        auto trust = lookUpTrust(found->scan->contents[i], known);
                        if (trust.ok()) found->trust[i] = *std::move(trust);
                      }
                      done();
                    });
                    if (!submitted.ok()) done();
                  });
}

void FolderScans::rootRead(RootIndex root, const FoundRoot& found) {
  s_.inventory.setStore(root, found.ground.store);
  writable_[static_cast<size_t>(root)] = found.ground.writable;
  if (isReadAsAWhole(s_.inventory.root(root).config.layout)) rootsTook_[root] = found.took;
  rootScanned(root, found);
  if (rootsRunning_.extract(root).mapped()) scanRootSoon(root);
  const auto served = rootServed_.extract(root);
  if (!served) return;
  for (const auto& waiter : served.mapped()) waiter();
}

void FolderScans::rootScanned(RootIndex root, const FoundRoot& found) {
  const absl::StatusOr<RootScan>& scan = found.scan;
  const Moment began = found.began;
  if (scan.ok()) {
    s_.inventory.applyRoot(root, *scan, began);
    for (size_t i = 0; i < scan->contents.size(); ++i) {
      s_.inventory.apply(root, scan->contents[i], found.trust[i], began);
    }
    watch_->seen(root, *scan);
    // No event will tell that a file has been left alone.
    if (scan->unsettled) s_.work->later(kSettleTime, [this, root] { scanRootSoon(root); });
    const bool all = unread_.erase(root) != 0;
    const bool whole = !scan->contents.empty();
    for (const RepoId& repo : scan->repos) {
      // A repo that is watched says itself when it changes.
      if (!whole && (all || !schedule_.knows({root, repo}))) schedule_.asked({root, repo});
    }
    startScans();
  } else {
    // A cache that no client has made yet is not a problem.
    if (absl::IsNotFound(scan.status())) {
      s_.inventory.applyRoot(root, RootScan{}, began);
    } else {
      s_.inventory.rootFailed(root, scan.status());
    }
    watch_->gone(root);
    unread_.insert(root);
  }
  if (rootsToRead_ > 0) --rootsToRead_;
  s_.changed();
  settleIfDone();
}

// ---- Repos

void FolderScans::scanSoon(const RepoPlace& place) {
  if (isReadAsAWhole(s_.inventory.root(place.first).config.layout)) {
    return scanRootSoon(place.first);
  }
  schedule_.changed(place, Clock::now());
  startScans();
}

void FolderScans::landed(const RepoPlace& place) {
  schedule_.filled(place, Clock::now());
  startScans();
}

void FolderScans::whenScanned(const RepoPlace& place, std::function<void()> then) {
  waiting_[place].push_back(std::move(then));
  schedule_.asked(place);
  startScans();
}

void FolderScans::startScans() {
  while (const auto place = schedule_.begin(Clock::now())) startScan(*place);
  const auto due = schedule_.nextDue();
  if (!due || due == timerDue_) return;
  timerDue_ = due;
  timer_.expires_at(*due);
  timer_.async_wait([this, work = s_.work](boost::system::error_code ec) {
    if (ec) return;
    work->post([this] {
      timerDue_.reset();
      startScans();
    });
  });
}

void FolderScans::startScan(const RepoPlace& place) {
  if (auto waiters = waiting_.extract(place)) served_.insert(std::move(waiters));
  KnownTrees trees;
  if (const KnownTrees* known = s_.inventory.knownTrees(place.first, place.second)) trees = *known;
  const std::string path = s_.inventory.root(place.first).config.path;
  std::shared_ptr<PipCacheReader> pip;
  if (s_.inventory.root(place.first).config.layout == Layout::kPip) {
    pip = pipReaders_.try_emplace(place.first, std::make_shared<PipCacheReader>()).first->second;
  }
  auto found = std::make_shared<Found>(Found{s_.inventory.scanBegins()});
  const auto done = [this, work = s_.work, place, found] {
    work->post([this, place, found] { repoScanned(place, *found); });
  };
  s_.work->submit({"scan repo", WorkPriority::kNormal, path},
                  [place, path, pip, trees = std::move(trees), found, done, &index = s_.index] {
                    {
                      const Stopwatch stopwatch(found->took);
                      found->scan =
                          pip ? pip->scan(path, place.second) : scanRepo(path, place.second, trees);
                    }
                    if (!found->scan.ok()) return done();
                    // Without the index nothing is trusted, and everything is hashed again.
                    found->trust.resize(found->scan->copies.size());
                    const absl::Status submitted = index.submit([found, done](Index& known) {
                      {
                        const Stopwatch stopwatch(found->took);
                        if (auto trust = lookUpTrust(*found->scan, known); trust.ok()) {
                          found->trust = *std::move(trust);
                        }
                      }
                      done();
                    });
                    if (!submitted.ok()) done();
                  });
}

void FolderScans::repoScanned(const RepoPlace& place, const Found& found) {
  Clock::duration took = found.took;
  {
    const Stopwatch stopwatch(took);
    repoFound(place, found);
    s_.changed();
  }
  schedule_.ended(place, Clock::now(), took);
  if (found.scan.ok()) {
    watch_->seen(place.first, *found.scan);
  } else if (absl::IsNotFound(found.scan.status())) {
    watch_->gone(place.first, place.second);
    schedule_.gone(place);  // if it comes back, the root says so
  }
  const auto served = served_.extract(place);
  startScans();
  settleIfDone();
  if (!served) return;
  for (const auto& waiter : served.mapped()) waiter();
}

void FolderScans::repoFound(const RepoPlace& place, const Found& found) {
  if (found.scan.ok()) {
    s_.inventory.apply(place.first, *found.scan, found.trust, found.began);
  } else if (absl::IsNotFound(found.scan.status())) {
    s_.inventory.remove(place.first, place.second, found.began);
  } else {
    s_.inventory.repoFailed(place.first, place.second, found.scan.status());
  }
}

void FolderScans::settleIfDone() {
  if (settled_ || rootsToRead_ != 0 || !schedule_.idle()) return;
  settled_ = true;
  s_.inventory.settled();
  s_.changed();
  s_.settled();
}

}  // namespace roost
