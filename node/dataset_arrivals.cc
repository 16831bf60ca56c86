#include "node/dataset_arrivals.h"

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "cache/finished_directory.h"
#include "cache/layouts.h"
#include "node/repo_publication.h"
#include "node/saved_state.h"
#include "protocol/errors.h"

namespace roost {

struct DatasetArrivals::Found {
  absl::Status status;
  Publisher publisher;
  uint64_t freeBytes = 0;
  std::vector<bool> staged;  // by file of the listing
};

namespace {

// A coordinator may send what it likes.
absl::Status checkListing(const Listing& listing) {
  const bool whole = isFinishedListing(listing) &&
                     std::all_of(listing.files.begin(), listing.files.end(), [&](const auto& file) {
                       return datasetsPlace(listing.repo, file.path).has_value();
                     });
  if (whole) return absl::OkStatus();
  return absl::InvalidArgumentError(
      sentence(absl::StrCat("cannot fetch ", listing.repo.toString()),
               "the order does not list finished directories of a datasets cache", ""));
}

absl::Status partial(const std::vector<std::string>& leftAlone) {
  if (leftAlone.empty()) return absl::OkStatus();
  const size_t more = leftAlone.size() - 1;
  return absl::OutOfRangeError(
      absl::StrCat(leftAlone.front(), more > 0 ? absl::StrCat(" (and ", more, " more)") : ""));
}

}  // namespace

DatasetArrivals::DatasetArrivals(Seams seams)
    : s_(std::move(seams)), publishing_(s_.pool, WorkPriority::kNormal, "publish datasets") {}

absl::StatusOr<std::shared_ptr<const HubPublisher>> DatasetArrivals::publisher() const {
  if (publisher_) return std::shared_ptr<const HubPublisher>(publisher_, &publisher_->staging());
  return absl::FailedPreconditionError("no datasets cache of this node can be written");
}

std::optional<RootIndex> DatasetArrivals::root() const {
  for (size_t i = 0; i < s_.inventory.roots(); ++i) {
    const auto index = static_cast<RootIndex>(i);
    if (takesDatasets(s_.inventory.root(index).config)) return index;
  }
  return std::nullopt;
}

std::string DatasetArrivals::path(const RepoId& cache) const {
  const auto target = root();
  return target ? absl::StrCat(s_.inventory.root(*target).config.path, "/", datasetsFolder(cache))
                : "";
}

// ---- What is here

// On a work thread; makes the folder if no client has yet.
DatasetArrivals::Found DatasetArrivals::findTarget(
    const RootConfig& config, const NodeId& self,
    const std::shared_ptr<Reservations>& reservations) {
  std::error_code error;
  std::filesystem::create_directories(config.path, error);
  if (error) return {errnoStatus(error.value(), "cannot make", config.path), nullptr, 0, {}};
  if (absl::Status writable = checkWritable(config.path); !writable.ok()) {
    return {std::move(writable), nullptr, 0, {}};
  }
  auto opened = DatasetsPublisher::open(config.path, self, reservations);
  const auto free = reservations->available(config.path);
  if (!opened.ok() || !free.ok()) {
    return {opened.ok() ? free.status() : opened.status(), nullptr, 0, {}};
  }
  return {
      absl::OkStatus(), std::make_shared<const DatasetsPublisher>(*std::move(opened)), *free, {}};
}

void DatasetArrivals::checkPresent(const CheckPresent& question,
                                   std::function<void(PresenceKnown)> answer) {
  const auto target = root();
  absl::Status refused = checkListing(question.listing);
  if (refused.ok() && !target) {
    refused = absl::PermissionDeniedError(
        "no datasets cache of this node may be written. Name one with --datasets-cache");
  }
  if (!refused.ok()) return answer({question.obtain, std::move(refused), {}, 0});
  s_.work->submit(
      {"datasets target", WorkPriority::kNormal, "target"},
      [this, work = s_.work, question, answer = std::move(answer),
       config = s_.inventory.root(*target).config, self = s_.self, reservations = s_.reservations] {
        auto found = std::make_shared<Found>(findTarget(config, self, reservations));
        for (const FileEntry& file : question.listing.files) {
          found->staged.push_back(found->publisher &&
                                  found->publisher->isStaged(question.listing.repo, file.blob));
        }
        work->post([this, question, answer, found] {
          PresenceKnown known{question.obtain, found->status, {}, found->freeBytes};
          if (found->publisher) publisher_ = found->publisher;
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

DatasetsPublisher::Known DatasetArrivals::known(const Listing& listing) const {
  DatasetsPublisher::Known known;
  const auto target = root();
  if (!target) return known;
  const std::string& top = s_.inventory.root(*target).config.path;
  for (const FileEntry& file : listing.files) {
    const auto copy = s_.inventory.find(file.blob.id);
    if (!copy || copy->trust == Trust::kUnknown) continue;
    known.elsewhere.try_emplace(file.blob.id, LinkSource{copy->path, copy->stamp, false, true});
    const auto here = s_.inventory.findIn(*target, listing.repo, file.blob.id);
    if (here && here->path == absl::StrCat(top, "/", file.path.text())) {
      known.right.emplace(file.path.text(), here->stamp);
    }
  }
  return known;
}

void DatasetArrivals::publish(const PublishRepo& order, std::function<void(RepoPublished)> answer) {
  if (!publisher_) {
    return answer({order.obtain, absl::FailedPreconditionError("no folder can be written")});
  }
  tryToPublish(order, absl::Now() + s_.patience, std::move(answer));
}

void DatasetArrivals::tryToPublish(const PublishRepo& order, absl::Time until,
                                   std::function<void(RepoPublished)> answer) {
  const absl::Status submitted =
      publishing_.submit("publish datasets", [this, work = s_.work, publisher = publisher_, order,
                                              until, answer, known = known(order.listing)] {
        auto shown = publisher->show(order.listing, order.refs, known);
        work->post([this, order, until, answer, shown = std::move(shown)] {
          tried(order, until, shown, answer);
        });
      });
  if (!submitted.ok()) answer({order.obtain, submitted});
}

void DatasetArrivals::tried(const PublishRepo& order, absl::Time until,
                            const absl::StatusOr<ShownDatasets>& shown,
                            const std::function<void(RepoPublished)>& answer) {
  if (absl::IsAborted(shown.status())) {
    if (absl::Now() >= until) {
      return answer({order.obtain, absl::DeadlineExceededError(shown.status().message())});
    }
    return s_.work->later(s_.pause,
                          [this, order, until, answer] { tryToPublish(order, until, answer); });
  }
  if (!shown.ok()) return answer({order.obtain, shown.status()});
  for (const PlacedFile& file : shown->placed) {
    rememberLink(s_.index, file.before, file.after, file.blob);
  }
  // As the holder knows it: what it shared with this node is not this node's to share.
  const Listing& listing = order.listing;
  if (listing.visibility != Visibility::kUnknown &&
      s_.inventory.visibilityOf(listing.repo) == Visibility::kUnknown) {
    s_.inventory.setVisibility(listing.repo, listing.visibility);
    saveVisibility(s_.index, listing.repo, listing.visibility);
  }
  s_.scans.whenRootScanned(*root(),
                           [answer, obtain = order.obtain, status = partial(shown->leftAlone)] {
                             answer({obtain, status});
                           });
}

}  // namespace roost
