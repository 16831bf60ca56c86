#include "node/folder_scans.h"

#include <optional>

#include "cache/scan_trust.h"
#include "node/root_ground.h"

namespace roost {

namespace {

// Clients rename and link in bursts; a burst is one scan.
constexpr absl::Duration kDebounce = absl::Milliseconds(30);
constexpr size_t kScansMax = 4;

}  // namespace

struct FolderScans::Found {
  absl::StatusOr<RepoScan> scan;
  std::vector<CopyTrust> trust;  // of its copies
};

FolderScans::FolderScans(Seams seams) : s_(std::move(seams)) {
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
  s_.work->later(kDebounce, [this, root] {
    rootsSoon_.erase(root);
    scanRoot(root);
  });
}

void FolderScans::scanRoot(RootIndex root) {
  const RootConfig config = s_.inventory.root(root).config;
  s_.work->submit({"scan root", WorkPriority::kNormal, config.path}, [this, work = s_.work, root,
                                                                      config, origin = s_.origin] {
    auto scan = std::make_shared<absl::StatusOr<RootScan>>(roost::scanRoot(config.path, origin));
    const RootGround ground = groundOf(config);
    work->post([this, root, scan, ground] {
      s_.inventory.setStore(root, ground.store);
      writable_[static_cast<size_t>(root)] = ground.writable;
      rootScanned(root, *scan);
    });
  });
}

void FolderScans::rootScanned(RootIndex root, const absl::StatusOr<RootScan>& scan) {
  if (scan.ok()) {
    s_.inventory.applyRoot(root, *scan);
    watch_->seen(root, *scan);
    const bool all = unread_.erase(root) != 0;
    for (const RepoId& repo : scan->repos) {
      // A repo that is watched says itself when it changes.
      if (all || !scans_.contains({root, repo})) scanNow({root, repo});
    }
  } else {
    // A cache that no client has made yet is not a problem.
    if (absl::IsNotFound(scan.status())) {
      s_.inventory.applyRoot(root, RootScan{});
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
  Scan& scan = scans_[place];
  if (scan.soon) return;
  scan.soon = true;
  s_.work->later(kDebounce, [this, place] {
    scans_[place].soon = false;
    scanNow(place);
  });
}

void FolderScans::scanNow(const RepoPlace& place) {
  Scan& scan = scans_[place];
  if (scan.running) scan.again = true;
  if (scan.running || scan.queued) return;
  scan.queued = true;
  queue_.push_back(place);
  startScans();
}

void FolderScans::whenScanned(const RepoPlace& place, std::function<void()> then) {
  scans_[place].waiters.push_back(std::move(then));
  scanNow(place);
}

void FolderScans::startScans() {
  while (running_ < kScansMax && !queue_.empty()) {
    const RepoPlace place = queue_.front();
    queue_.pop_front();
    Scan& scan = scans_[place];
    scan.queued = false;
    scan.running = true;
    ++running_;
    startScan(place);
  }
}

void FolderScans::startScan(const RepoPlace& place) {
  KnownTrees trees;
  if (const KnownTrees* known = s_.inventory.knownTrees(place.first, place.second)) trees = *known;
  const std::string path = s_.inventory.root(place.first).config.path;
  const auto done = [this, work = s_.work, place](std::shared_ptr<Found> found) {
    work->post([this, place, found] { repoScanned(place, *found); });
  };
  s_.work->submit(
      {"scan repo", WorkPriority::kNormal, path},
      [place, path, trees = std::move(trees), done, &index = s_.index] {
        auto found = std::make_shared<Found>(Found{scanRepo(path, place.second, trees), {}});
        if (!found->scan.ok()) return done(found);
        // Without the index nothing is trusted, and everything is hashed again.
        found->trust.resize(found->scan->copies.size());
        const absl::Status submitted = index.submit([found, done](Index& known) {
          if (auto trust = lookUpTrust(*found->scan, known); trust.ok()) found->trust = *trust;
          done(found);
        });
        if (!submitted.ok()) done(found);
      });
}

void FolderScans::repoScanned(const RepoPlace& place, const Found& found) {
  --running_;
  Scan& scan = scans_[place];
  scan.running = false;
  const bool again = std::exchange(scan.again, false);
  bool gone = false;
  if (found.scan.ok()) {
    s_.inventory.apply(place.first, *found.scan, found.trust);
    watch_->seen(place.first, *found.scan);
  } else if (absl::IsNotFound(found.scan.status())) {
    s_.inventory.remove(place.first, place.second);
    watch_->gone(place.first, place.second);
    gone = true;
  } else {
    s_.inventory.repoFailed(place.first, place.second, found.scan.status());
  }
  s_.changed();
  std::vector<std::function<void()>> waiters;
  if (!again) waiters = std::exchange(scan.waiters, {});  // else they asked for the one that comes
  if (gone && waiters.empty() && !again) scans_.erase(place);  // if it comes back, the root says so
  if (again) scanNow(place);
  startScans();
  settleIfDone();
  for (const auto& waiter : waiters) waiter();
}

void FolderScans::settleIfDone() {
  if (settled_ || rootsToRead_ != 0 || running_ != 0 || !queue_.empty()) return;
  settled_ = true;
  s_.inventory.settled();
  s_.changed();
  s_.settled();
}

}  // namespace roost
