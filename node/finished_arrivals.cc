#include "node/finished_arrivals.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "cache/datasets_publisher.h"
#include "cache/finished_directory.h"
#include "cache/layouts.h"
#include "cache/tree_layout.h"
#include "cache/tree_publisher.h"
#include "node/repo_publication.h"
#include "node/saved_state.h"
#include "node/trees.h"
#include "protocol/errors.h"
#include "protocol/limits.h"

namespace roost {

struct FinishedArrivals::Found {
  absl::Status status;
  Publisher publisher;
  uint64_t freeBytes = 0;
  std::vector<bool> staged;  // by file of the listing
};

namespace {

bool isOfItsKind(const Listing& listing) {
  if (listing.repo.type() == RepoType::kTree) return isTreeListing(listing);
  return std::all_of(listing.files.begin(), listing.files.end(), [&](const FileEntry& file) {
    return datasetsPlace(listing.repo, file.path).has_value();
  });
}

// A coordinator may send what it likes.
absl::Status checkListing(const Listing& listing) {
  if (isFinishedListing(listing) && isOfItsKind(listing)) return absl::OkStatus();
  return absl::InvalidArgumentError(sentence(absl::StrCat("cannot fetch ", listing.repo.toString()),
                                             "the order does not list what such a folder has", ""));
}

absl::StatusOr<std::shared_ptr<const FinishedPublisher>> openPublisher(
    const RootConfig& config, const NodeId& self,
    const std::shared_ptr<Reservations>& reservations) {
  if (config.layout == Layout::kTree) {
    ROOST_ASSIGN_OR_RETURN(auto tree, TreePublisher::open(config.path, self, reservations));
    return std::make_shared<const TreePublisher>(std::move(tree));
  }
  ROOST_ASSIGN_OR_RETURN(auto datasets, DatasetsPublisher::open(config.path, self, reservations));
  return std::make_shared<const DatasetsPublisher>(std::move(datasets));
}

absl::Status partial(const std::vector<std::string>& leftAlone) {
  if (leftAlone.empty()) return absl::OkStatus();
  const size_t more = leftAlone.size() - 1;
  return absl::OutOfRangeError(
      absl::StrCat(leftAlone.front(), more > 0 ? absl::StrCat(" (and ", more, " more)") : ""));
}

}  // namespace

FinishedArrivals::FinishedArrivals(Seams seams)
    : s_(std::move(seams)), publishing_(s_.pool, WorkPriority::kNormal, "publish finished") {}

absl::StatusOr<std::shared_ptr<const HubPublisher>> FinishedArrivals::publisher(
    const RepoId& repo) const {
  ROOST_ASSIGN_OR_RETURN(const RootIndex target, root(repo));
  const auto found = publishers_.find(target);
  if (found == publishers_.end()) {
    return absl::FailedPreconditionError(absl::StrCat("no folder for ", repo.toString()));
  }
  return std::shared_ptr<const HubPublisher>(found->second, &found->second->staging().blobs());
}

absl::StatusOr<RootIndex> FinishedArrivals::root(const RepoId& repo) const {
  if (repo.type() == RepoType::kTree) return treeToWrite(s_.inventory, repo);
  for (size_t i = 0; i < s_.inventory.roots(); ++i) {
    const auto index = static_cast<RootIndex>(i);
    const RootConfig& config = s_.inventory.root(index).config;
    if (config.layout == Layout::kDatasets && takesFinished(config)) return index;
  }
  return absl::PermissionDeniedError(
      "no datasets cache of this node may be written. Name one with --datasets-cache");
}

std::string FinishedArrivals::path(const RepoId& repo) const {
  const auto target = root(repo);
  if (!target.ok()) return "";
  const std::string& path = s_.inventory.root(*target).config.path;
  return repo.type() == RepoType::kTree ? path : absl::StrCat(path, "/", datasetsFolder(repo));
}

// ---- What is here

// On a work thread; makes the folder if no client has yet.
FinishedArrivals::Found FinishedArrivals::findTarget(
    const RootConfig& config, const NodeId& self,
    const std::shared_ptr<Reservations>& reservations) {
  if (absl::Status writable = makeWritable(config.path); !writable.ok()) {
    return {std::move(writable), nullptr, 0, {}};
  }
  auto opened = openPublisher(config, self, reservations);
  const auto free = reservations->available(config.path);
  if (!opened.ok() || !free.ok()) {
    return {opened.ok() ? free.status() : opened.status(), nullptr, 0, {}};
  }
  return {absl::OkStatus(), *std::move(opened), *free, {}};
}

void FinishedArrivals::checkPresent(const CheckPresent& question,
                                    std::function<void(PresenceKnown)> answer) {
  const auto target = root(question.listing.repo);
  absl::Status refused = checkListing(question.listing);
  if (refused.ok()) refused = target.status();
  if (!refused.ok()) return answer({question.obtain, std::move(refused), {}, 0});
  s_.work->submit(
      {"finished target", WorkPriority::kNormal, "target"},
      [this, work = s_.work, question, answer = std::move(answer), root = *target,
       config = s_.inventory.root(*target).config, self = s_.self, reservations = s_.reservations] {
        auto found = std::make_shared<Found>(findTarget(config, self, reservations));
        for (const FileEntry& file : question.listing.files) {
          found->staged.push_back(found->publisher && found->publisher->staging().has(
                                                          question.listing.repo, file.blob));
        }
        work->post([this, question, answer, root, found] {
          PresenceKnown known{question.obtain, found->status, {}, found->freeBytes};
          if (found->publisher) publishers_[root] = found->publisher;
          for (size_t i = 0; i < found->staged.size(); ++i) {
            const auto copy = s_.inventory.find(question.listing.files[i].blob.id);
            const bool here = copy && copy->trust != Trust::kUnknown;
            known.present.push_back(found->staged[i] || here);
          }
          answer(std::move(known));
        });
      });
}

// ---- Publishing

KnownFiles FinishedArrivals::known(RootIndex root, const Listing& listing) const {
  KnownFiles known;
  const std::string& top = s_.inventory.root(root).config.path;
  for (const FileEntry& file : listing.files) {
    const auto copy = s_.inventory.find(file.blob.id);
    if (!copy || copy->trust == Trust::kUnknown) continue;
    known.elsewhere.try_emplace(file.blob.id, LinkSource{copy->path, copy->stamp, false, true});
    const auto here = s_.inventory.findIn(root, listing.repo, file.blob.id);
    if (here && here->path == absl::StrCat(top, "/", file.path.text())) {
      known.right.emplace(file.path.text(), here->stamp);
    }
  }
  return known;
}

void FinishedArrivals::publish(const PublishRepo& order,
                               std::function<void(RepoPublished)> answer) {
  const auto target = root(order.listing.repo);
  if (!target.ok() || !publishers_.contains(*target)) {
    return answer({order.obtain, absl::FailedPreconditionError("no folder can be written")});
  }
  tryToPublish(std::make_shared<const PublishRepo>(order), *target,
               absl::Now() + kFinishedLockPatience, std::move(answer));
}

void FinishedArrivals::tryToPublish(std::shared_ptr<const PublishRepo> order, RootIndex root,
                                    absl::Time until, std::function<void(RepoPublished)> answer) {
  const absl::Status submitted = publishing_.submit(
      "publish finished", [this, work = s_.work, publisher = publishers_.at(root), order, root,
                           until, answer, known = known(root, order->listing)] {
        auto shown = publisher->show(order->listing, order->refs, known);
        work->post([this, order, root, until, answer, shown = std::move(shown)] {
          tried(order, root, until, shown, answer);
        });
      });
  if (!submitted.ok()) answer({order->obtain, submitted});
}

void FinishedArrivals::tried(std::shared_ptr<const PublishRepo> order, RootIndex root,
                             absl::Time until, const absl::StatusOr<ShownFinished>& shown,
                             const std::function<void(RepoPublished)>& answer) {
  if (absl::IsAborted(shown.status())) {
    if (absl::Now() >= until) {
      return answer({order->obtain, absl::DeadlineExceededError(shown.status().message())});
    }
    return s_.work->later(kFinishedLockPause, [this, order, root, until, answer] {
      tryToPublish(order, root, until, answer);
    });
  }
  if (!shown.ok()) return answer({order->obtain, shown.status()});
  for (const PlacedFile& file : shown->placed) {
    rememberLink(s_.index, file.before, file.after, file.blob);
  }
  // As the holder knows it: what it shared with this node is not this node's to share.
  const Listing& listing = order->listing;
  if (listing.visibility != Visibility::kUnknown &&
      s_.inventory.visibilityOf(listing.repo) == Visibility::kUnknown) {
    s_.inventory.setVisibility(listing.repo, listing.visibility);
    saveVisibility(s_.index, listing.repo, listing.visibility);
  }
  s_.scans.whenRootScanned(root,
                           [answer, obtain = order->obtain, status = partial(shown->leftAlone)] {
                             answer({obtain, status});
                           });
}

}  // namespace roost
