#include "node/folders.h"

#include <fcntl.h>

#include <atomic>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <filesystem>
#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "cache/scan_trust.h"
#include "cache/serial_queue.h"
#include "cache/unique_fd.h"
#include "node/await_callback.h"
#include "node/folder_watch.h"
#include "node/root_ground.h"
#include "protocol/errors.h"

namespace roost {

namespace asio = boost::asio;

namespace {

using RepoPlace = std::pair<RootIndex, RepoId>;

// Clients rename and link in bursts; a burst is one scan.
constexpr absl::Duration kDebounce = absl::Milliseconds(30);
constexpr absl::Duration kBusyPause = absl::Milliseconds(20);
constexpr size_t kScansMax = 4;
constexpr size_t kChecksMax = 2;  // idle threads

// What hashing one copy came to.
struct CheckOutcome {
  absl::Status status;
  CheckedCopy copy;
  std::vector<PieceHash> pieces;
  bool settled = false;
};

CheckOutcome hashCopy(const VerifyJob& job, const std::atomic<bool>* cancelled, bool background) {
  const UniqueFd fd(::open(job.path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (fd.get() < 0) {
    return {
        errnoStatus(errno, "cannot open", job.path), {job.stamp, job.expected.id, {}}, {}, false};
  }
  auto hashed = hashFile(fd.get(), job.path, job.expected,
                         {.cancelled = cancelled, .leavePageCacheAlone = background});
  if (!hashed.ok()) return {hashed.status(), {job.stamp, job.expected.id, {}}, {}, false};
  return {absl::OkStatus(),
          {hashed->stamp, hashed->hashes.id, hashed->hashes.sha256},
          std::move(hashed->hashes.pieces),
          hashed->settled};
}

void remember(Index& index, const VerifyJob& job, const CheckOutcome& outcome) {
  if (!outcome.status.ok()) return;
  const TrustRecord record = recordOf(job, outcome.copy, absl::Now());
  // A file that was still changing when hashing began proves nothing about its stamp, unless it is
  // wrong: then it is looked at again when the stamp changes.
  if (!outcome.settled && !record.wrong) return;
  (void)index.rememberTrust(record, outcome.pieces);
}

}  // namespace

class Folders::Impl : public std::enable_shared_from_this<Folders::Impl> {
 public:
  Impl(Seams seams, const std::vector<AdvertChange>& told)
      : s_(std::move(seams)),
        inventory_(told.empty() ? 0 : told.back().sequence),
        publishing_(s_.pool, WorkPriority::kNormal, "publish") {
    for (const Root& root : s_.roots) {
      roots_.push_back(inventory_.addRoot(root));
      writable_.push_back(groundOf(root.config).writable);
    }
    inventory_.restore(told);
  }

  void start() {
    watch_ = std::make_unique<FolderWatch>(s_.io, s_.pool,
                                           [this](const Dirty& dirty) { isDirty(dirty); });
    for (const Root& root : s_.roots) watch_->addRoot(root);
    rootsToRead_ = roots_.size();
    for (const RootIndex root : roots_) {
      unread_.insert(root);
      scanRoot(root);
    }
    if (roots_.empty()) settle();
  }

  void stop() {
    stopped_ = true;
    cancelled_ = true;
    if (watch_) watch_->stop();
  }

  // ---- Scans ----

  void isDirty(const Dirty& dirty) {
    if (dirty.repo) return scanSoon({dirty.root, *dirty.repo});
    if (dirty.everything) unread_.insert(dirty.root);
    scanRootSoon(dirty.root);
  }

  void scanRootSoon(RootIndex root) {
    if (!rootsSoon_.insert(root).second) return;
    later(kDebounce, [this, root] {
      rootsSoon_.erase(root);
      scanRoot(root);
    });
  }

  void scanRoot(RootIndex root) {
    const RootConfig& config = inventory_.root(root).config;
    submit({"scan root", WorkPriority::kNormal, config.path}, [self = shared_from_this(), root,
                                                               config] {
      auto scan =
          std::make_shared<absl::StatusOr<RootScan>>(scanRootFolder(self->s_.origin, config.path));
      auto ground = std::make_shared<RootGround>(groundOf(config));
      self->post([self, root, scan, ground] {
        self->inventory_.setStore(root, ground->store);
        self->writable_[static_cast<size_t>(root)] = ground->writable;
        self->rootScanned(root, *scan);
      });
    });
  }

  std::vector<StoreId> stores() const {
    std::vector<RootGround> grounds;
    for (size_t i = 0; i < roots_.size(); ++i) {
      grounds.push_back({inventory_.root(roots_[i]).store, writable_[i]});
    }
    return storesOf(grounds);
  }

  void follow(const std::set<StoreId>& followed) {
    for (const StoreId& store : stores()) {
      inventory_.setFollower(store, followed.contains(store));
    }
    flush();
    checkNext();
  }

  void mayCheck() {
    if (std::exchange(mayCheck_, true)) return;
    checkNext();
  }

  static absl::StatusOr<RootScan> scanRootFolder(const HubOrigin& origin, const std::string& path) {
    return roost::scanRoot(path, origin);
  }

  void rootScanned(RootIndex root, const absl::StatusOr<RootScan>& scan) {
    if (scan.ok()) {
      inventory_.applyRoot(root, *scan);
      watch_->seen(root, *scan);
      const bool all = unread_.erase(root) != 0;
      for (const RepoId& repo : scan->repos) {
        // A repo that is watched says itself when it changes.
        if (all || !scans_.contains({root, repo})) scanNow({root, repo});
      }
    } else if (absl::IsNotFound(scan.status())) {
      // A cache that no client has made yet is not a problem.
      inventory_.applyRoot(root, RootScan{});
      watch_->gone(root);
      unread_.insert(root);
    } else {
      inventory_.rootFailed(root, scan.status());
      watch_->gone(root);
      unread_.insert(root);
    }
    if (rootsToRead_ > 0) --rootsToRead_;
    flush();
    settleIfDone();
  }

  void scanSoon(const RepoPlace& place) {
    Scan& scan = scans_[place];
    if (scan.soon) return;
    scan.soon = true;
    later(kDebounce, [this, place] {
      scans_[place].soon = false;
      scanNow(place);
    });
  }

  void scanNow(const RepoPlace& place) {
    Scan& scan = scans_[place];
    if (scan.running) scan.again = true;
    if (scan.running || scan.queued) return;
    scan.queued = true;
    scanQueue_.push_back(place);
    startScans();
  }

  void startScans() {
    while (scansRunning_ < kScansMax && !scanQueue_.empty()) {
      const RepoPlace place = scanQueue_.front();
      scanQueue_.pop_front();
      Scan& scan = scans_[place];
      scan.queued = false;
      scan.running = true;
      ++scansRunning_;
      KnownTrees known;
      if (const KnownTrees* trees = inventory_.knownTrees(place.first, place.second))
        known = *trees;
      const std::string path = inventory_.root(place.first).config.path;
      submit({"scan repo", WorkPriority::kNormal, path},
             [self = shared_from_this(), place, path, known = std::move(known)] {
               auto found =
                   std::make_shared<absl::StatusOr<RepoScan>>(scanRepo(path, place.second, known));
               self->lookUpTrust(place, found);
             });
    }
  }

  // On a work thread.
  void lookUpTrust(const RepoPlace& place, std::shared_ptr<absl::StatusOr<RepoScan>> found) {
    const auto done = [self = shared_from_this(), place, found](std::vector<CopyTrust> trust) {
      self->post([self, place, found, trust = std::move(trust)] {
        self->repoScanned(place, *found, trust);
      });
    };
    if (!found->ok()) return done({});
    const absl::Status submitted = s_.index.submit([found, done](Index& index) {
      auto trust = roost::lookUpTrust(**found, index);
      // Without the index nothing is trusted, and everything is hashed again.
      if (!trust.ok()) trust = std::vector<CopyTrust>((*found)->copies.size());
      done(*std::move(trust));
    });
    if (!submitted.ok()) done(std::vector<CopyTrust>((*found)->copies.size()));
  }

  void repoScanned(const RepoPlace& place, const absl::StatusOr<RepoScan>& found,
                   const std::vector<CopyTrust>& trust) {
    --scansRunning_;
    Scan& scan = scans_[place];
    scan.running = false;
    const bool again = std::exchange(scan.again, false);
    if (found.ok()) {
      inventory_.apply(place.first, *found, trust);
      watch_->seen(place.first, *found);
    } else if (absl::IsNotFound(found.status())) {
      inventory_.remove(place.first, place.second);
      watch_->gone(place.first, place.second);
      if (scan.waiters.empty() && !again) {
        scans_.erase(place);  // if it comes back, the root says so
        flush();
        startScans();
        settleIfDone();
        return;
      }
    } else {
      inventory_.repoFailed(place.first, place.second, found.status());
    }
    flush();
    if (again) scanNow(place);
    startScans();
    settleIfDone();
    checkNext();
    if (again) return;  // the waiters asked for the scan that comes
    for (auto& waiter : std::exchange(scan.waiters, {})) waiter();
  }

  void settleIfDone() {
    if (!settled_ && rootsToRead_ == 0 && scansRunning_ == 0 && scanQueue_.empty()) settle();
  }

  void settle() {
    settled_ = true;
    inventory_.settled();
    flush();
    s_.settled();
    checkNext();
  }

  void flush() {
    std::vector<AdvertChange> changes = inventory_.takeChanges();
    if (!changes.empty()) s_.changed(std::move(changes));
  }

  std::vector<std::string> problems() const {
    std::vector<std::string> all = inventory_.problems();
    if (watch_) {
      for (std::string& text : watch_->problems()) all.push_back(std::move(text));
    }
    return all;
  }

  // ---- Verification ----

  void checkNext() {
    while (settled_ && mayCheck_ && checks_ < kChecksMax) {
      const std::optional<VerifyJob> job = inventory_.nextToVerify();
      if (!job) return;
      ++checks_;
      check(*job, true, [this](const CheckOutcome&) {
        --checks_;
        checkNext();
      });
    }
  }

  void check(const VerifyJob& job, bool background, std::function<void(const CheckOutcome&)> then) {
    const auto done = [self = shared_from_this(), job, then](CheckOutcome outcome) {
      self->post([self, job, then, outcome = std::move(outcome)] {
        if (outcome.status.ok()) {
          self->inventory_.checked(job.copy, outcome.copy);
        } else {
          self->inventory_.checkFailed(job.copy, outcome.status);
        }
        self->flush();
        then(outcome);
      });
    };
    submit({"hash", background ? WorkPriority::kIdle : WorkPriority::kNormal, job.path},
           [self = shared_from_this(), job, background, done] {
             auto outcome =
                 std::make_shared<CheckOutcome>(hashCopy(job, &self->cancelled_, background));
             const absl::Status submitted =
                 self->s_.index.submit([job, outcome, done](Index& index) {
                   remember(index, job, *outcome);
                   done(std::move(*outcome));
                 });
             if (!submitted.ok()) done(std::move(*outcome));
           });
  }

  asio::awaitable<VerifiedRepo> verifyRepo(RepoId repo) {
    VerifiedRepo result;
    const std::vector<RepoView> views = inventory_.repos();
    const auto view =
        std::find_if(views.begin(), views.end(), [&](const RepoView& v) { return v.repo == repo; });
    if (view == views.end()) co_return result;
    std::set<std::string> seen;
    for (const RepoAdvert& advert : view->commits) {
      const auto listing = inventory_.listing(repo, advert.commit);
      if (!listing) continue;
      for (const FileEntry& file : listing->files) {
        std::optional<LocalCopy> copy;
        for (const RootIndex root : view->roots) {
          if (!copy) copy = inventory_.findIn(root, repo, file.blob.id);
        }
        if (!copy) {
          // Not usable, but perhaps there: what was found to be wrong before is told as wrong.
          const CheckOutcome shown = co_await awaitShown(*view, advert.commit, file);
          if (absl::IsNotFound(shown.status)) {
            result.missing.push_back(file.path.text());
          } else {
            result.wrong.push_back({file.path.text(), file.blob.id.toString(),
                                    shown.status.ok() ? shown.copy.content.toString()
                                                      : std::string(shown.status.message())});
          }
          continue;
        }
        if (!seen.insert(copy->path).second) continue;
        const CheckOutcome outcome = co_await awaitCheck(jobOf(*copy));
        if (!outcome.status.ok()) {
          result.wrong.push_back(
              {file.path.text(), file.blob.id.toString(), std::string(outcome.status.message())});
        } else if (outcome.copy.content != copy->blob.id) {
          result.wrong.push_back(
              {file.path.text(), copy->blob.id.toString(), outcome.copy.content.toString()});
        } else {
          ++result.filesOk;
          result.bytesOk += copy->blob.size;
        }
      }
    }
    co_return result;
  }

  // Hashes what the snapshot shows under a file's name, if anything, without telling the inventory.
  asio::awaitable<CheckOutcome> awaitShown(const RepoView& view, Commit commit, FileEntry file) {
    VerifyJob job{{}, "", file.blob, true, {}, {}};
    if (!view.roots.empty()) {
      job.path =
          absl::StrCat(inventory_.root(view.roots.front()).config.path, "/", view.repo.folder(),
                       "/snapshots/", commit.hex(), "/", file.path.text());
    }
    const std::function<void(std::function<void(CheckOutcome)>)> start =
        [this, job](std::function<void(CheckOutcome)> done) {
          submit({"hash", WorkPriority::kNormal, job.path}, [self = shared_from_this(), job, done] {
            done(hashCopy(job, &self->cancelled_, false));
          });
        };
    const CheckOutcome dropped{
        absl::CancelledError("the agent is stopping"), {job.stamp, job.expected.id, {}}, {}, false};
    CheckOutcome outcome = co_await awaitCallback<CheckOutcome>(start, dropped);
    co_return outcome;
  }

  static VerifyJob jobOf(const LocalCopy& copy) {
    return {copy.id, copy.path, copy.blob, true, copy.stamp, {}};
  }

  asio::awaitable<CheckOutcome> awaitCheck(VerifyJob job) {
    // Named, not a temporary: GCC 12 loses track of temporaries that live across a co_await.
    const std::function<void(std::function<void(CheckOutcome)>)> start =
        [this, job](std::function<void(CheckOutcome)> done) {
          check(job, false, [done](const CheckOutcome& outcome) { done(outcome); });
        };
    const CheckOutcome dropped{
        absl::CancelledError("the agent is stopping"), {job.stamp, job.expected.id, {}}, {}, false};
    CheckOutcome outcome = co_await awaitCallback<CheckOutcome>(start, dropped);
    co_return outcome;
  }

  // ---- Serving ----

  void open(const BlobId& blob, std::function<void(std::shared_ptr<const LocalBlob>)> answer) {
    const std::optional<LocalCopy> copy = inventory_.find(blob);
    if (!copy) return answer(nullptr);
    if (copy->trust == Trust::kUnknown) {
      inventory_.requestVerify(blob);  // somebody wants it: it goes to the front
      checkNext();
    }
    const absl::Status submitted = s_.index.submit([copy = *copy, answer](Index& index) {
      std::shared_ptr<const std::vector<PieceHash>> pieces;
      if (auto known = index.pieces(copy.stamp); known.ok() && !known->empty()) {
        pieces = std::make_shared<const std::vector<PieceHash>>(*std::move(known));
      }
      auto opened = LocalBlob::open(copy.path, copy.blob, copy.stamp, std::move(pieces));
      answer(opened.ok() ? *std::move(opened) : nullptr);
    });
    // Many small blobs at once: the index is busy, the blob is not gone.
    if (!submitted.ok()) later(kBusyPause, [this, blob, answer] { open(blob, answer); });
  }

  void foundBad(const BlobId& blob, const absl::Status& why) {
    const std::optional<LocalCopy> copy = inventory_.find(blob);
    if (!copy) return;
    if (absl::IsDataLoss(why)) {
      s_.report(
          absl::StrCat("the content of ", copy->path, " is not what it was: ", why.message()));
      inventory_.rotten(copy->id, copy->stamp);
      (void)s_.index.submit(
          [stamp = copy->stamp](Index& index) { (void)index.forgetTrust(stamp); });
    }
    scanNow({copy->root, copy->repo});
    flush();
    checkNext();
  }

  // ---- Arrivals ----

  void landed(const LandedBlob& blob) {
    (void)s_.index.submit([blob](Index& index) {
      (void)index.rememberTrust(
          {blob.published.stamp, blob.blob.id, blob.hashes.sha256, false, absl::Now()},
          blob.hashes.pieces);
    });
    if (target_) scanSoon({*target_, blob.site.repo});
  }

  absl::StatusOr<std::shared_ptr<const HubPublisher>> publisher() const {
    if (publisher_) return publisher_;
    return absl::FailedPreconditionError("no folder of this node can be written");
  }

  // Finds the first root that can be written, and makes it if no client has yet.
  struct Target {
    absl::Status status;
    size_t root = 0;
    std::shared_ptr<const HubPublisher> publisher;
    uint64_t freeBytes = 0;
  };
  Target findTarget() const {
    absl::Status last = absl::PermissionDeniedError(
        "no hub cache of this node can be written. Name one with --hub-cache.");
    for (size_t i = 0; i < s_.roots.size(); ++i) {
      const RootConfig& config = s_.roots[i].config;
      if (!config.write || config.layout != Layout::kHub) continue;
      std::error_code error;
      std::filesystem::create_directories(config.path, error);
      if (error) {
        last = errnoStatus(error.value(), "cannot make", config.path);
        continue;
      }
      if (const absl::Status writable = checkWritable(config.path); !writable.ok()) {
        last = writable;
        continue;
      }
      auto opened = HubPublisher::open(config.path, s_.self, s_.reservations);
      const auto free = s_.reservations->available(config.path);
      if (!opened.ok() || !free.ok()) {
        last = opened.ok() ? free.status() : opened.status();
        continue;
      }
      return {absl::OkStatus(), i, std::make_shared<const HubPublisher>(*std::move(opened)), *free};
    }
    return {last, 0, nullptr, 0};
  }

  void checkPresent(const CheckPresent& question, std::function<void(PresenceKnown)> answer) {
    submit(
        {"target", WorkPriority::kNormal, "target"}, [self = shared_from_this(), question, answer] {
          auto target = std::make_shared<Target>(self->findTarget());
          self->post(
              [self, question, answer, target] { self->targetKnown(question, *target, answer); });
        });
  }

  void targetKnown(const CheckPresent& question, const Target& target,
                   const std::function<void(PresenceKnown)>& answer) {
    PresenceKnown known{question.obtain, target.status, {}, target.freeBytes};
    if (!target.status.ok()) return answer(std::move(known));
    const bool fresh = !publisher_ || target_ != roots_[target.root];
    target_ = roots_[target.root];
    publisher_ = target.publisher;
    if (fresh) scanRootSoon(*target_);
    for (const FileEntry& file : question.listing.files) {
      known.present.push_back(isPresent(question.listing.repo, file.blob.id));
    }
    answer(std::move(known));
  }

  // In this repo's folder what its own client put there counts; from elsewhere only verified
  // content is linked.
  bool isPresent(const RepoId& repo, const BlobId& blob) const {
    if (inventory_.findIn(*target_, repo, blob)) return true;
    const auto copy = inventory_.find(blob);
    return copy && (copy->trust == Trust::kVerified || copy->trust == Trust::kRecheck);
  }

  struct Link {
    BlobInfo blob;
    LocalCopy copy;
  };

  void publish(const PublishRepo& order, std::function<void(RepoPublished)> answer) {
    if (!publisher_) {
      return answer({order.obtain, absl::FailedPreconditionError("no folder can be written")});
    }
    std::vector<Link> links;
    std::set<BlobId> seen;
    for (const FileEntry& file : order.listing.files) {
      if (!seen.insert(file.blob.id).second) continue;
      if (inventory_.findIn(*target_, order.listing.repo, file.blob.id)) continue;
      if (const auto copy = inventory_.find(file.blob.id); copy && copy->trust != Trust::kUnknown) {
        links.push_back({file.blob, *copy});
      }
    }
    const absl::Status submitted =
        publishing_.submit("publish", [self = shared_from_this(), publisher = publisher_, order,
                                       answer, links = std::move(links)] {
          const absl::Status status = self->publishNow(*publisher, order, links);
          self->post([self, order, answer, status] {
            self->whenScanned({*self->target_, order.listing.repo}, [answer, order, status] {
              answer({order.obtain, status});
            });
          });
        });
    if (!submitted.ok()) answer({order.obtain, submitted});
  }

  // On a work thread: blobs, then snapshots, then the tree, then refs.
  absl::Status publishNow(const HubPublisher& publisher, const PublishRepo& order,
                          const std::vector<Link>& links) {
    const RepoId& repo = order.listing.repo;
    for (const Link& link : links) {
      auto linked =
          publisher.linkFrom(repo, link.blob, {link.copy.path, link.copy.stamp, link.copy.inBlobs});
      if (!linked.ok()) return linked.status();
      rememberLink(link.copy.stamp, linked->stamp, link.blob.id);
    }
    ROOST_ASSIGN_OR_RETURN(const PublishedFiles files,
                           publisher.publishFiles(repo, order.listing.commit, order.listing.files));
    if (!files.conflicts.empty()) {
      return absl::InternalError(sentence(
          absl::StrCat("cannot show ", repo.toString(), " ", files.conflicts.front().text()),
          "something else has that name in the snapshot", "Remove it and try again."));
    }
    if (order.listing.complete) {
      Listing manifest = order.listing;
      manifest.files.insert(manifest.files.end(), order.manifestOnly.begin(),
                            order.manifestOnly.end());
      ROOST_RETURN_IF_ERROR(normalize(manifest));
      ROOST_RETURN_IF_ERROR(publisher.publishTree(manifest).status());
    }
    for (const RefState& ref : order.refs) {
      ROOST_RETURN_IF_ERROR(publisher.publishRef(repo, ref).status());
    }
    return absl::OkStatus();
  }

  // A hard link changed the ctime of the file it names; a copy is a new file with the same content.
  void rememberLink(const FileStamp& before, const FileStamp& after, const BlobId& blob) {
    (void)s_.index.submit([before, after, blob](Index& index) {
      const auto pieces = index.pieces(before);
      const auto record = index.trustRecord(before);
      if (!pieces.ok() || !record.ok() || !*record) return;
      TrustRecord moved = **record;
      moved.stamp = after;
      moved.claimed = blob;
      (void)index.rememberTrust(moved, *pieces);
    });
  }

  // After a scan that began from now on.
  void whenScanned(const RepoPlace& place, std::function<void()> then) {
    scans_[place].waiters.push_back(std::move(then));
    scanNow(place);
  }

  std::string snapshotPath(const RepoId& repo, const Commit& commit) const {
    // There is always a root: the agent's own comes last.
    const std::string& root = inventory_.root(target_.value_or(RootIndex{0})).config.path;
    return absl::StrCat(root, "/", repo.folder(), "/snapshots/", commit.hex());
  }

  Seams s_;
  Inventory inventory_;
  bool settled_ = false;

 private:
  struct Scan {
    bool soon = false, queued = false, running = false, again = false;
    std::vector<std::function<void()>> waiters;
  };

  void post(std::function<void()> job) {
    asio::post(s_.io, [self = shared_from_this(), job = std::move(job)] {
      if (!self->stopped_) job();
    });
  }

  void later(absl::Duration delay, std::function<void()> job) {
    auto timer = std::make_shared<asio::steady_timer>(s_.io, absl::ToChronoNanoseconds(delay));
    timer->async_wait([self = shared_from_this(), timer, job = std::move(job)](auto ec) {
      if (!ec && !self->stopped_) job();
    });
  }

  // A full pool is busy, not broken: the job is tried again.
  void submit(WorkSpec spec, std::function<void()> job) {
    const absl::Status status = s_.pool.submit(spec, [job] { job(); });
    if (status.ok() || stopped_ || absl::IsCancelled(status)) return;
    post([this, spec = std::move(spec), job = std::move(job)]() mutable {
      later(absl::Milliseconds(50), [this, spec, job] { submit(spec, job); });
    });
  }

  SerialQueue publishing_;
  std::unique_ptr<FolderWatch> watch_;
  std::vector<RootIndex> roots_;
  std::vector<bool> writable_;  // of roots_
  bool mayCheck_ = false;
  size_t rootsToRead_ = 0;
  std::set<RootIndex> rootsSoon_;
  std::set<RootIndex> unread_;  // all their repos are to be scanned, watched or not
  std::map<RepoPlace, Scan> scans_;
  std::deque<RepoPlace> scanQueue_;
  size_t scansRunning_ = 0;
  size_t checks_ = 0;
  std::optional<RootIndex> target_;
  std::shared_ptr<const HubPublisher> publisher_;
  bool stopped_ = false;
  std::atomic<bool> cancelled_{false};
};

Folders::Folders(Seams seams, const std::vector<AdvertChange>& told)
    : impl_(std::make_shared<Impl>(std::move(seams), told)) {}
Folders::~Folders() {
  impl_->stop();
}
void Folders::start() {
  impl_->start();
}
void Folders::stop() {
  impl_->stop();
}
Inventory& Folders::inventory() {
  return impl_->inventory_;
}
const Inventory& Folders::inventory() const {
  return impl_->inventory_;
}
bool Folders::isSettled() const {
  return impl_->settled_;
}
std::vector<std::string> Folders::problems() const {
  return impl_->inventory_.problems();
}
std::vector<StoreId> Folders::stores() const {
  return impl_->stores();
}
void Folders::follow(const std::set<StoreId>& followed) {
  impl_->follow(followed);
}
void Folders::mayCheck() {
  impl_->mayCheck();
}
void Folders::landed(const LandedBlob& blob) {
  impl_->landed(blob);
}
void Folders::open(const BlobId& blob,
                   std::function<void(std::shared_ptr<const LocalBlob>)> answer) {
  impl_->open(blob, std::move(answer));
}
void Folders::foundBad(const BlobId& blob, const absl::Status& why) {
  impl_->foundBad(blob, why);
}
absl::StatusOr<std::shared_ptr<const HubPublisher>> Folders::publisher() const {
  return impl_->publisher();
}
void Folders::checkPresent(const CheckPresent& question,
                           std::function<void(PresenceKnown)> answer) {
  impl_->checkPresent(question, std::move(answer));
}
void Folders::publish(const PublishRepo& order, std::function<void(RepoPublished)> answer) {
  impl_->publish(order, std::move(answer));
}
std::string Folders::snapshotPath(const RepoId& repo, const Commit& commit) const {
  return impl_->snapshotPath(repo, commit);
}
asio::awaitable<VerifiedRepo> Folders::verifyRepo(RepoId repo) {
  return impl_->verifyRepo(repo);
}

}  // namespace roost
