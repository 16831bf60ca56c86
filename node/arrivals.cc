#include "node/arrivals.h"

#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "node/repo_publication.h"
#include "protocol/errors.h"

namespace roost {

struct Arrivals::Found {
  absl::Status status;
  RootIndex root{};
  std::shared_ptr<const HubPublisher> publisher;
  uint64_t freeBytes = 0;
};

Arrivals::Arrivals(Seams seams)
    : s_(std::move(seams)), publishing_(s_.pool, WorkPriority::kNormal, "publish") {}

void Arrivals::landed(const LandedBlob& blob) {
  (void)s_.index.submit([blob](Index& index) {
    (void)index.rememberTrust(
        {blob.published.stamp, blob.blob.id, blob.hashes.sha256, false, absl::Now()},
        blob.hashes.pieces);
  });
  const auto root = rootOf(blob);
  if (!root) return;  // the watch tells
  // Peers that wait for it ask as soon as they know, however long the repo takes to be scanned.
  s_.inventory.landed(*root, blob.site.repo, blob.blob.id, blob.published.stamp,
                      blob.hashes.sha256);
  s_.changed();
  s_.scans.landed({*root, blob.site.repo});
}

// By its path: the target may have changed while the blob was written.
std::optional<RootIndex> Arrivals::rootOf(const LandedBlob& blob) const {
  const std::string place =
      absl::StrCat("/", blob.site.repo.folder(), "/blobs/", blob.blob.id.hex());
  for (size_t i = 0; i < s_.inventory.roots(); ++i) {
    const auto root = static_cast<RootIndex>(i);
    if (blob.path == s_.inventory.root(root).config.path + place) return root;
  }
  return std::nullopt;
}

Arrivals::Publisher Arrivals::publisher(bool apart) const {
  if (const auto& publisher = apart ? apart_ : publisher_) return publisher;
  return absl::FailedPreconditionError("no folder of this node can be written");
}

// ---- Where to

// On a work thread; makes the folder if no client has yet.
Arrivals::Found Arrivals::tryRoot(const RootConfig& config, const NodeId& self,
                                  const std::shared_ptr<Reservations>& reservations) {
  std::error_code error;
  std::filesystem::create_directories(config.path, error);
  if (error) return {errnoStatus(error.value(), "cannot make", config.path)};
  if (absl::Status writable = checkWritable(config.path); !writable.ok()) return {writable};
  auto opened = HubPublisher::open(config.path, self, reservations);
  const auto free = reservations->available(config.path);
  if (!opened.ok() || !free.ok()) return {opened.ok() ? free.status() : opened.status()};
  return {absl::OkStatus(), {}, std::make_shared<const HubPublisher>(*std::move(opened)), *free};
}

// On a work thread: the first root that can be written.
Arrivals::Found Arrivals::findTarget(const std::vector<RootConfig>& roots, const NodeId& self,
                                     const std::shared_ptr<Reservations>& reservations) {
  Found last{absl::PermissionDeniedError(
      "no hub cache of this node can be written. Name one with --hub-cache.")};
  for (size_t i = 0; i < roots.size(); ++i) {
    if (!roots[i].write || roots[i].layout != Layout::kHub) continue;
    last = tryRoot(roots[i], self, reservations);
    last.root = static_cast<RootIndex>(i);
    if (last.status.ok()) break;
  }
  return last;
}

void Arrivals::checkPresent(const CheckPresent& question,
                            std::function<void(PresenceKnown)> answer) {
  std::vector<RootConfig> roots;
  for (size_t i = 0; i < s_.inventory.roots(); ++i) {
    roots.push_back(s_.inventory.root(static_cast<RootIndex>(i)).config);
  }
  s_.work->submit(
      {"target", WorkPriority::kNormal, "target"},
      [this, work = s_.work, question, answer = std::move(answer), roots = std::move(roots),
       self = s_.self, reservations = s_.reservations] {
        auto found = std::make_shared<Found>(findTarget(roots, self, reservations));
        work->post([this, question, answer, found] { targetKnown(question, *found, answer); });
      });
}

void Arrivals::targetKnown(const CheckPresent& question, const Found& found,
                           const std::function<void(PresenceKnown)>& answer) {
  PresenceKnown known{question.obtain, found.status, {}, found.freeBytes};
  if (!found.status.ok()) return answer(std::move(known));
  const bool fresh = !publisher_ || target_ != found.root;
  target_ = found.root;
  publisher_ = found.publisher;
  if (fresh) s_.scans.scanRootSoon(*target_);
  for (const FileEntry& file : question.listing.files) {
    known.present.push_back(isPresent(question.listing.repo, file.blob.id));
  }
  answer(std::move(known));
}

void Arrivals::openApart(std::function<void(Publisher)> answer) {
  if (apart_) return answer(apart_);
  s_.work->submit({"target", WorkPriority::kNormal, "target"},
                  [this, work = s_.work, answer = std::move(answer),
                   config = s_.inventory.root(ownRoot()).config, self = s_.self,
                   reservations = s_.reservations] {
                    const auto found = std::make_shared<Found>(tryRoot(config, self, reservations));
                    work->post([this, answer, found] {
                      if (!found->status.ok()) return answer(found->status);
                      if (!apart_) s_.scans.scanRootSoon(ownRoot());
                      apart_ = found->publisher;
                      answer(apart_);
                    });
                  });
}

// In this repo's folder what its own client put there counts; from elsewhere only verified content
// is linked.
bool Arrivals::isPresent(const RepoId& repo, const BlobId& blob) const {
  if (s_.inventory.findIn(*target_, repo, blob)) return true;
  const auto copy = s_.inventory.find(blob);
  return copy && (copy->trust == Trust::kVerified || copy->trust == Trust::kRecheck);
}

// ---- Publishing

void Arrivals::publish(const PublishRepo& order, std::function<void(RepoPublished)> answer) {
  if (!publisher_) {
    return answer({order.obtain, absl::FailedPreconditionError("no folder can be written")});
  }
  publishIn(*target_, publisher_, order, std::move(answer));
}

void Arrivals::publishApart(const PublishRepo& order, std::function<void(RepoPublished)> answer) {
  if (!apart_) {
    return answer({order.obtain, absl::FailedPreconditionError("the agent's folder is not open")});
  }
  publishIn(ownRoot(), apart_, order, std::move(answer));
}

void Arrivals::publishIn(RootIndex root, std::shared_ptr<const HubPublisher> publisher,
                         const PublishRepo& order, std::function<void(RepoPublished)> answer) {
  const RepoPlace place{root, order.listing.repo};
  auto links = blobsToLink(s_.inventory, root, order.listing);
  const absl::Status submitted = publishing_.submit(
      "publish", [this, work = s_.work, &index = s_.index, publisher = std::move(publisher), place,
                  order, answer, links = std::move(links)] {
        const absl::Status status = publishRepo(*publisher, order, links, index);
        work->post([this, place, answer, obtain = order.obtain, status] {
          s_.scans.whenScanned(place, [answer, obtain, status] { answer({obtain, status}); });
        });
      });
  if (!submitted.ok()) answer({order.obtain, submitted});
}

std::string Arrivals::snapshotPath(const RepoId& repo, const Commit& commit) const {
  // There is always a root: the agent's own comes last.
  const std::string& root = s_.inventory.root(target_.value_or(RootIndex{0})).config.path;
  return absl::StrCat(root, "/", repo.folder(), "/snapshots/", commit.hex());
}

}  // namespace roost
