#include "node/folders.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <map>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "node/arrivals.h"
#include "node/copy_checks.h"
#include "node/finished_arrivals.h"
#include "node/folder_scans.h"
#include "node/loop_work.h"

namespace roost {

namespace asio = boost::asio;

namespace {

constexpr absl::Duration kQueueFullPause = absl::Milliseconds(20);

Inventory inventoryOf(const std::vector<Root>& roots, const std::vector<AdvertChange>& told) {
  Inventory inventory(told.empty() ? 0 : told.back().sequence);
  for (const Root& root : roots) inventory.addRoot(root);
  inventory.restore(told);
  return inventory;
}

}  // namespace

class Folders::Impl {
 public:
  Impl(Seams seams, const std::vector<AdvertChange>& told)
      : s_(std::move(seams)),
        work_(std::make_shared<LoopWork>(s_.io, s_.pool)),
        inventory_(inventoryOf(s_.roots, told)),
        checks_({.work = work_,
                 .index = s_.index,
                 .inventory = inventory_,
                 .changed = [this] { flush(); }}),
        scans_({.io = s_.io,
                .pool = s_.pool,
                .work = work_,
                .index = s_.index,
                .inventory = inventory_,
                .origin = s_.origin,
                .changed = [this] { changed(); },
                .settled = [this] { settled(); }}),
        arrivals_({.pool = s_.pool,
                   .work = work_,
                   .index = s_.index,
                   .inventory = inventory_,
                   .scans = scans_,
                   .reservations = s_.reservations,
                   .self = s_.self,
                   .whenVerified = [this](const BlobId& blob,
                                          auto done) { whenVerified(blob, std::move(done)); },
                   .changed = [this] { flushSoon(); }}),
        finished_({.pool = s_.pool,
                   .work = work_,
                   .index = s_.index,
                   .inventory = inventory_,
                   .scans = scans_,
                   .reservations = s_.reservations,
                   .self = s_.self}) {}

  void stop() {
    work_->stop();
    checks_.stop();
    scans_.stop();
  }

  void follow(const std::set<StoreId>& followed) {
    for (const StoreId& store : scans_.stores()) {
      inventory_.setFollower(store, followed.contains(store));
    }
    changed();
  }

  void mayCheck() {
    if (std::exchange(mayCheck_, true)) return checks_.next();  // some are settled now
    if (scans_.isSettled()) checks_.allow();
  }

  void open(const BlobId& blob, std::function<void(std::shared_ptr<const LocalBlob>)> answer) {
    const std::optional<LocalCopy> copy = inventory_.find(blob);
    if (!copy) return answer(nullptr);
    if (copy->trust == Trust::kUnknown) {
      inventory_.requestVerify(blob);  // somebody wants it: it goes to the front
      checks_.next();
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
    if (!submitted.ok())
      work_->later(kQueueFullPause, [this, blob, answer] { open(blob, answer); });
  }

  void setVisibility(const RepoId& repo, Visibility visibility) {
    inventory_.setVisibility(repo, visibility);
    flushSoon();
  }

  void whenVerified(const BlobId& blob, std::function<void(absl::Status)> done) {
    const std::optional<LocalCopy> copy = inventory_.find(blob);
    if (!copy) return done(absl::NotFoundError("the file is not here any more"));
    if (copy->trust != Trust::kUnknown) return done(absl::OkStatus());
    auto& waiting = verifying_[blob];
    waiting.push_back(std::move(done));
    if (waiting.size() > 1) return;  // it is being hashed
    asio::co_spawn(s_.io, verify(*copy), asio::detached);
  }

  asio::awaitable<void> verify(LocalCopy copy) {
    const std::shared_ptr<LoopWork> work = work_;
    const CheckOutcome outcome = co_await checks_.check(copy);
    work->post([this, blob = copy.blob.id, status = outcome.status] { checked(blob, status); });
  }

  void checked(const BlobId& blob, absl::Status status) {
    const auto waiting = verifying_.extract(blob);
    if (!waiting) return;
    const std::optional<LocalCopy> copy = inventory_.find(blob);
    if (status.ok() && (!copy || copy->trust == Trust::kUnknown)) {
      status = absl::DataLossError("the file's content is not what its name says");
    }
    for (const auto& done : waiting.mapped()) done(status);
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
    scans_.scanSoon({copy->root, copy->repo});
    changed();
  }

 private:
  void flush() {
    std::vector<AdvertChange> changes = inventory_.takeChanges();
    if (!changes.empty()) s_.changed(std::move(changes));
  }

  // Many small blobs land in one turn of the loop, and are told together.
  void flushSoon() {
    work_->post([this] { flush(); });
  }

  void changed() {
    flush();
    checks_.next();
  }

  void settled() {
    s_.settled();
    if (mayCheck_) checks_.allow();
  }

  friend class Folders;
  Seams s_;
  const std::shared_ptr<LoopWork> work_;
  Inventory inventory_;
  CopyChecks checks_;
  FolderScans scans_;
  Arrivals arrivals_;
  FinishedArrivals finished_;
  bool mayCheck_ = false;
  std::map<BlobId, std::vector<std::function<void(absl::Status)>>> verifying_;
};

Folders::Folders(Seams seams, const std::vector<AdvertChange>& told)
    : impl_(std::make_unique<Impl>(std::move(seams), told)) {}
Folders::~Folders() {
  impl_->stop();
}
void Folders::start() {
  impl_->scans_.start();
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
  return impl_->scans_.isSettled();
}
std::vector<std::string> Folders::problems() const {
  std::vector<std::string> all = impl_->inventory_.problems();
  for (std::string& text : impl_->scans_.problems()) all.push_back(std::move(text));
  for (std::string& text : impl_->arrivals_.problems()) all.push_back(std::move(text));
  return all;
}
std::vector<StoreId> Folders::stores() const {
  return impl_->scans_.stores();
}
void Folders::follow(const std::set<StoreId>& followed) {
  impl_->follow(followed);
}
void Folders::mayCheck() {
  impl_->mayCheck();
}
void Folders::landed(const LandedBlob& blob) {
  impl_->arrivals_.landed(blob);
}
void Folders::open(const BlobId& blob,
                   std::function<void(std::shared_ptr<const LocalBlob>)> answer) {
  impl_->open(blob, std::move(answer));
}
void Folders::whenVerified(const BlobId& blob, std::function<void(absl::Status)> done) {
  impl_->whenVerified(blob, std::move(done));
}
void Folders::setVisibility(const RepoId& repo, Visibility visibility) {
  impl_->setVisibility(repo, visibility);
}
void Folders::foundBad(const BlobId& blob, const absl::Status& why) {
  impl_->foundBad(blob, why);
}
absl::StatusOr<std::shared_ptr<const HubPublisher>> Folders::publisher(const BlobSite& site) const {
  return isOfHub(site.repo.type()) ? impl_->arrivals_.publisher(site.apart)
                                   : impl_->finished_.publisher(site.repo);
}
void Folders::checkPresent(const CheckPresent& question,
                           std::function<void(PresenceKnown)> answer) {
  if (isOfHub(question.listing.repo.type())) {
    impl_->arrivals_.checkPresent(question, std::move(answer));
  } else {
    impl_->finished_.checkPresent(question, std::move(answer));
  }
}
void Folders::publish(const PublishRepo& order, std::function<void(RepoPublished)> answer) {
  if (isOfHub(order.listing.repo.type())) {
    impl_->arrivals_.publish(order, std::move(answer));
  } else {
    impl_->finished_.publish(order, std::move(answer));
  }
}
void Folders::openApart(
    std::function<void(absl::StatusOr<std::shared_ptr<const HubPublisher>>)> answer) {
  impl_->arrivals_.openApart(std::move(answer));
}
void Folders::publishApart(const PublishRepo& order, std::function<void(RepoPublished)> answer) {
  impl_->arrivals_.publishApart(order, std::move(answer));
}
std::string Folders::snapshotPath(const RepoId& repo, const Commit& commit) const {
  return isOfHub(repo.type()) ? impl_->arrivals_.snapshotPath(repo, commit)
                              : impl_->finished_.path(repo);
}
asio::awaitable<VerifiedRepo> Folders::verifyRepo(RepoId repo) {
  return checkRepo(impl_->inventory_, impl_->checks_, std::move(repo));
}

}  // namespace roost
