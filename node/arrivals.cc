#include "node/arrivals.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "cache/layouts.h"
#include "protocol/errors.h"

namespace roost {

struct Arrivals::Found {
  absl::Status status;
  RootIndex root{};
  std::shared_ptr<const HubPublisher> publisher;
  uint64_t freeBytes = 0;
  std::vector<Stage> also = {};
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
    const RootConfig& config = s_.inventory.root(root).config;
    if (config.layout == Layout::kHub && blob.path == config.path + place) return root;
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
  if (absl::Status writable = makeWritable(config.path); !writable.ok()) return {writable};
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
    if (!takesArrivals(roots[i])) continue;
    last = tryRoot(roots[i], self, reservations);
    last.root = static_cast<RootIndex>(i);
    if (last.status.ok()) break;
  }
  if (last.status.ok()) last.also = findAlso(roots, last.root, self, reservations);
  return last;
}

// On a work thread: where models are shown besides.
std::vector<Arrivals::Stage> Arrivals::findAlso(const std::vector<RootConfig>& roots,
                                                RootIndex target, const NodeId& self,
                                                const std::shared_ptr<Reservations>& reservations) {
  std::vector<Stage> also;
  for (size_t i = 0; i < roots.size(); ++i) {
    const ShowHere show = roots[i].show.value_or(ShowHere::kNo);
    const auto root = static_cast<RootIndex>(i);
    if (root == target || show == ShowHere::kNo || !takesArrivals(roots[i])) continue;
    const Found found = tryRoot(roots[i], self, reservations);
    also.push_back({root, found.publisher, show == ShowHere::kCopy, found.status});
  }
  return also;
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
  const PresenceKnown nothing{question.obtain, found.status, {}, found.freeBytes};
  if (!found.status.ok()) return answer(nothing);
  const bool fresh = !publisher_ || target_ != found.root;
  target_ = found.root;
  publisher_ = found.publisher;
  also_ = std::make_shared<const std::vector<Stage>>(found.also);
  if (fresh) s_.scans.scanRootSoon(*target_);
  // Hashing is quicker than a download.
  verifyElsewhere(*target_, question.listing, [this, question, answer, nothing] {
    PresenceKnown known = nothing;
    for (const FileEntry& file : question.listing.files) {
      known.present.push_back(isPresent(question.listing.repo, file.blob.id));
    }
    answer(std::move(known));
  });
}

// What this root lacks and another has is to be linked here, so it must be known to be right.
void Arrivals::verifyElsewhere(RootIndex root, const Listing& listing, std::function<void()> then) {
  const std::vector<BlobId> unknown = blobsToVerify(s_.inventory, root, listing);
  if (unknown.empty()) return then();
  struct Waiting {
    size_t left;
    const std::function<void()> then;  // once for all: it holds the whole order
  };
  const auto waiting = std::make_shared<Waiting>(Waiting{unknown.size(), std::move(then)});
  for (const BlobId& blob : unknown) {
    s_.whenVerified(blob, [waiting](const absl::Status&) {
      if (--waiting->left == 0) waiting->then();
    });
  }
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
  showIn({*target_, publisher_}, order,
         [this, order, answer = std::move(answer)](const absl::Status& status) {
           const RepoPublished published{order.obtain, status};
           if (!status.ok()) return answer(published);
           showAlso(also_, 0, order, [answer, published] { answer(published); });
         });
}

void Arrivals::publishApart(const PublishRepo& order, std::function<void(RepoPublished)> answer) {
  if (!apart_) {
    return answer({order.obtain, absl::FailedPreconditionError("the agent's folder is not open")});
  }
  showIn({ownRoot(), apart_}, order,
         [order, answer = std::move(answer)](const absl::Status& status) {
           answer({order.obtain, status});
         });
}

void Arrivals::showIn(const Stage& stage, const PublishRepo& order,
                      std::function<void(const absl::Status&)> then) {
  auto links = blobsToLink(s_.inventory, stage.root, order.listing);
  const RepoPlace place{stage.root, order.listing.repo};
  const absl::Status submitted =
      publishing_.submit("publish", [this, work = s_.work, &index = s_.index, stage, place, order,
                                     then, links = std::move(links)] {
        auto made = publishRepo(*stage.publisher, order, links, stage.mayCopy, index);
        work->post([this, place, then, made = std::move(made)] {
          if (made.ok()) linked(place, *made);
          s_.scans.whenScanned(place, [then, status = made.status()] { then(status); });
        });
      });
  if (!submitted.ok()) then(submitted);
}

// Known to be right without being hashed once more.
void Arrivals::linked(const RepoPlace& place, const std::vector<LinkedHere>& made) {
  for (const LinkedHere& blob : made) {
    s_.inventory.landed(place.first, place.second, blob.blob, blob.stamp, blob.sha256);
  }
  if (!made.empty()) s_.changed();
}

// One after the other. What fails is a problem of that folder, not of the order: the repo is here.
void Arrivals::showAlso(Stages stages, size_t next, const PublishRepo& order,
                        std::function<void()> then) {
  if (order.listing.repo.type() != RepoType::kModel || next == stages->size()) return then();
  const Stage& stage = (*stages)[next];
  const auto shown = [this, stages, next, order, then](const absl::Status& status) {
    shownAlso((*stages)[next], order.listing.repo, status);
    showAlso(stages, next + 1, order, then);
  };
  if (!stage.status.ok()) return shown(stage.status);
  verifyElsewhere(stage.root, order.listing,
                  [this, stage, order, shown] { showIn(stage, order, shown); });
}

void Arrivals::shownAlso(const Stage& stage, const RepoId& repo, const absl::Status& status) {
  const RepoPlace place{stage.root, repo};
  if (status.ok()) {
    notShown_.erase(place);
    // A hard link changes the ctime of the other names too.
    s_.scans.scanSoon({*target_, repo});
    return;
  }
  const RootConfig& config = s_.inventory.root(stage.root).config;
  const bool shares = absl::IsFailedPrecondition(status) && !stage.mayCopy;
  notShown_[place] = sentence(
      absl::StrCat(repo.toString(), " is not shown in ", config.path, " (", config.origin, ")"),
      status.message(),
      shares ? R"(Set show = "copy" for it in [[root]], or put both caches on one file system)"
             : "Mend that, and warm it again");
}

std::vector<std::string> Arrivals::problems() const {
  std::vector<std::string> all;
  for (const auto& [place, text] : notShown_) all.push_back(text);
  return all;
}

std::string Arrivals::snapshotPath(const RepoId& repo, const Commit& commit) const {
  // There is always a root: the agent's own comes last.
  const std::string& root = s_.inventory.root(target_.value_or(RootIndex{0})).config.path;
  return absl::StrCat(root, "/", repo.folder(), "/snapshots/", commit.hex());
}

}  // namespace roost
