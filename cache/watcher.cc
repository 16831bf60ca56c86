#include "cache/watcher.h"

#include <sys/inotify.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "cache/datasets_layout.h"
#include "cache/flat_layout.h"
#include "cache/pip_cache.h"
#include "cache/tree_layout.h"
#include "protocol/blob_id.h"
#include "protocol/errors.h"

namespace roost {
namespace {

constexpr uint32_t kMask = IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_CLOSE_WRITE |
                           IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR | IN_DONT_FOLLOW;

constexpr absl::Duration kPollPeriod = absl::Seconds(3);
// A cache that its first client makes is to be known within a second; looking for it is one stat.
constexpr absl::Duration kMissingRootPeriod = absl::Milliseconds(250);
constexpr int kPollShare = 20;  // a poll takes at most this part of the time
constexpr size_t kReadBytes = 64 << 10;
constexpr int kReadsPerCall = 16;  // about 20,000 events; then others have their turn

bool isRepoFolder(absl::string_view name) {
  return name == kPipHttpFolder || absl::StartsWith(name, "models--") ||
         absl::StartsWith(name, "datasets--") || absl::StartsWith(name, "spaces--");
}

void addOnce(std::vector<Dirty>& list, Dirty dirty) {
  if (std::find(list.begin(), list.end(), dirty) == list.end()) list.push_back(std::move(dirty));
}

}  // namespace

Watcher::Watcher(std::unique_ptr<Inotify> inotify) : inotify_(std::move(inotify)) {}

void Watcher::addRoot(const Root& root) {
  const auto index = static_cast<RootIndex>(roots_.size());
  roots_.push_back({root.realPath, root.polled || fd() < 0, kindOf(root.config.layout)});
  if (!root.exists) forgetRoot(index);
}

std::string Watcher::absolute(RootIndex root, const std::string& path) const {
  const std::string& base = roots_[static_cast<size_t>(root)].path;
  return path.empty() ? base : absl::StrCat(base, "/", path);
}

Watcher::Kind Watcher::kindOf(Layout layout) {
  if (layout == Layout::kFlat) return Kind::kFlat;
  if (layout == Layout::kDatasets) return Kind::kDatasets;
  return layout == Layout::kTree ? Kind::kTree : Kind::kRoot;
}

Watcher::Kind Watcher::kindOf(const std::string& path, const std::string& folder) {
  absl::string_view below = path;
  if (absl::StartsWith(below, kPipHttpFolder)) return Kind::kPip;
  if (!absl::ConsumePrefix(&below, folder)) return Kind::kBlobs;  // the clients' shared store
  if (below.empty()) return Kind::kRepo;
  if (below == "/blobs") return Kind::kBlobs;
  if (below == "/trees") return Kind::kTrees;
  if (below == "/snapshots") return Kind::kSnapshots;
  return absl::StartsWith(below, "/refs") ? Kind::kRefs : Kind::kFiles;
}

// ---- What to watch

bool Watcher::watchRoot(RootIndex root, const RootScan& scan) {
  RootState& state = roots_[static_cast<size_t>(root)];
  state.path = scan.realPath;
  state.polled = scan.kind != FileSystemKind::kLocal || fd() < 0;
  std::vector<ScannedDirectory> directories = {scan.directory};
  directories.insert(directories.end(), scan.below.begin(), scan.below.end());
  return watchAll({root, std::nullopt}, directories);
}

bool Watcher::watchRepo(RootIndex root, const RepoScan& scan) {
  return watchAll({root, scan.repo}, scan.directories);
}

bool Watcher::watchAll(const Owner& owner, const std::vector<ScannedDirectory>& directories) {
  Places& places = places_[owner];
  bool again = false;
  std::set<absl::string_view> wanted;
  for (const ScannedDirectory& directory : directories) {
    wanted.insert(directory.path);
    again |= watchOne(owner, directory, places);
  }
  for (auto place = places.begin(); place != places.end();) {
    const auto current = place++;
    if (wanted.contains(current->first)) continue;
    drop(owner, current->first, current->second);
    places.erase(current);
  }
  return again;
}

bool Watcher::watchOne(const Owner& owner, const ScannedDirectory& directory, Places& places) {
  const auto& [root, repo] = owner;
  const std::string path = absolute(root, directory.path);
  Place place{-1, directory.scope, directory.mark};
  if (!roots_[static_cast<size_t>(root)].polled) {
    place.watch = inotify_->add(path, kMask);
    const int error = place.watch < 0 ? errno : 0;
    if (error == ENOENT || error == ENOTDIR) return true;  // it is gone already
    if (error != 0) outOfWatches_ = true;
  }
  const auto known = places.find(directory.path);
  if (known != places.end() && known->second.watch != place.watch) {
    drop(owner, known->first, known->second);
  }
  places.insert_or_assign(directory.path, place);
  if (place.watch < 0) return false;  // the next poll compares

  const Interest interest{
      root, repo, directory.path,
      repo ? kindOf(directory.path, repo->folder()) : roots_[static_cast<size_t>(root)].kind};
  std::vector<Interest>& interests = interests_[place.watch];
  if (std::find(interests.begin(), interests.end(), interest) != interests.end()) return false;
  interests.push_back(interest);
  // From here on events tell. Was there a change between the scan's look and now?
  const auto now = markOf(path, directory.scope);
  return !now.ok() || !directory.mark.settled || now->value != directory.mark.value;
}

void Watcher::drop(const Owner& owner, const std::string& path, const Place& place) {
  const auto found = interests_.find(place.watch);
  if (place.watch < 0 || found == interests_.end()) return;
  std::erase_if(found->second, [&](const Interest& interest) {
    return interest.root == owner.first && interest.repo == owner.second && interest.path == path;
  });
  if (!found->second.empty()) return;
  interests_.erase(found);
  inotify_->remove(place.watch);
}

void Watcher::forgetRepo(RootIndex root, const RepoId& repo) {
  const auto found = places_.find({root, repo});
  if (found == places_.end()) return;
  for (const auto& [path, place] : found->second) drop(found->first, path, place);
  places_.erase(found);
}

void Watcher::forgetRoot(RootIndex root) {
  for (auto owner = places_.begin(); owner != places_.end();) {
    const auto current = owner++;
    if (current->first.first != root) continue;
    for (const auto& [path, place] : current->second) drop(current->first, path, place);
    places_.erase(current);
  }
  places_[{root, std::nullopt}][""] = Place{-1, MarkScope::kNames, std::nullopt};
}

// ---- Events

std::vector<Dirty> Watcher::read() {
  std::vector<Dirty> dirty;
  if (fd() < 0) return dirty;
  alignas(inotify_event) std::array<char, kReadBytes> buffer;
  for (int i = 0; i < kReadsPerCall; ++i) {
    const ssize_t got = inotify_->read(absl::MakeSpan(buffer));
    if (got <= 0) break;
    for (size_t at = 0; at + sizeof(inotify_event) <= static_cast<size_t>(got);) {
      const auto* event = reinterpret_cast<const inotify_event*>(buffer.data() + at);
      at += sizeof(inotify_event) + event->len;
      if (at > static_cast<size_t>(got)) break;  // the kernel gives whole events only
      handle(*event, dirty);
    }
  }
  return dirty;
}

void Watcher::handle(const inotify_event& event, std::vector<Dirty>& dirty) {
  if ((event.mask & IN_Q_OVERFLOW) != 0) {
    for (size_t root = 0; root < roots_.size(); ++root) {
      addOnce(dirty, {static_cast<RootIndex>(root), std::nullopt, true});
    }
    return;
  }
  if ((event.mask & (IN_IGNORED | IN_UNMOUNT | IN_DELETE_SELF | IN_MOVE_SELF)) != 0) {
    return lostWatch(event.wd, dirty);
  }
  const auto found = interests_.find(event.wd);
  if (found == interests_.end()) return;
  for (const Interest& interest : found->second) {
    if (matters(interest, event)) addOnce(dirty, {interest.root, interest.repo, false});
  }
}

// The directory itself went. Whoever wanted it is told, and watches what is there after the scan.
void Watcher::lostWatch(int watch, std::vector<Dirty>& dirty) {
  const auto found = interests_.find(watch);
  if (found == interests_.end()) return;
  for (const Interest& interest : found->second) {
    const bool isRoot = !interest.repo && interest.path.empty();
    const auto places = places_.find({interest.root, interest.repo});
    if (places != places_.end()) {
      // Until then a root is polled for: it may be mounted again.
      if (isRoot) {
        places->second[""] = Place{-1, MarkScope::kNames, std::nullopt};
      } else {
        places->second.erase(interest.path);
      }
    }
    addOnce(dirty, {interest.root, interest.repo, isRoot});
  }
  interests_.erase(found);
  inotify_->remove(watch);
}

bool Watcher::matters(const Interest& interest, const inotify_event& event) const {
  const absl::string_view name = event.len > 0 ? absl::string_view(event.name) : "";
  const bool isFolder = (event.mask & IN_ISDIR) != 0;
  switch (interest.kind) {
    case Kind::kRoot:
      return isRepoFolder(name);
    case Kind::kFlat:
      if (!isFlatName(name)) return false;
      break;
    case Kind::kDatasets:
      if (!mattersInDatasets(name)) return false;
      break;
    case Kind::kTree:
      if (!isTreeName(name)) return false;
      break;
    case Kind::kRepo:
      return name == "blobs" || name == "snapshots" || name == "refs" || name == "trees";
    case Kind::kBlobs:
      if (!BlobId::parseHex(name).ok()) return false;
      break;
    case Kind::kSnapshots:
      return Commit::parse(name).ok();
    case Kind::kFiles:
      if (absl::EndsWith(name, ".incomplete")) return false;
      break;
    case Kind::kRefs:
      if (absl::EndsWith(name, ".tmp") || absl::EndsWith(name, ".lock")) return false;
      break;
    case Kind::kTrees:
      if (!absl::EndsWith(name, ".json")) return false;
      break;
    case Kind::kPip:
      // pip writes the headers first, and a large body much later. Temporaries end on other names.
      if (!isFolder &&
          absl::StripSuffix(name, kPipBodySuffix).find_first_not_of("0123456789abcdef") !=
              absl::string_view::npos) {
        return false;
      }
      break;
  }
  if (isFolder || (event.mask & IN_CREATE) == 0) return true;
  return mattersWhenCreated(interest, name);
}

// A link counts when it is created, be it symbolic or hard. A file that somebody begins to write
// does not: it will be closed.
bool Watcher::mattersWhenCreated(const Interest& interest, absl::string_view name) const {
  struct stat info {};
  const std::string path = absl::StrCat(absolute(interest.root, interest.path), "/", name);
  if (lstat(path.c_str(), &info) != 0) return false;  // its deletion is an event of its own
  return !S_ISREG(info.st_mode) || info.st_nlink > 1 || info.st_size > 0;
}

// ---- Polling

bool Watcher::isMissingRoot(const Owner& owner, const Place& place) {
  return !owner.second && !place.seen && place.watch < 0;
}

std::vector<PollTarget> Watcher::pollTargets(absl::Time now) const {
  std::vector<PollTarget> targets;
  for (const auto& [owner, places] : places_) {
    for (const auto& [path, place] : places) {
      if (place.watch >= 0) continue;
      if (now < nextPoll_ && !isMissingRoot(owner, place)) continue;
      PollTarget target;
      target.dirty.root = owner.first;
      target.dirty.repo = owner.second;
      target.path = absolute(owner.first, path);
      target.scope = place.scope;
      target.seen = place.seen;
      targets.push_back(std::move(target));
    }
  }
  return targets;
}

absl::Time Watcher::nextPoll() const {
  absl::Time next = absl::InfiniteFuture();
  for (const auto& [owner, places] : places_) {
    for (const auto& [path, place] : places) {
      if (place.watch >= 0) continue;
      next = std::min(next, isMissingRoot(owner, place) ? nextRootPoll_ : nextPoll_);
    }
  }
  return next;
}

std::vector<Dirty> Watcher::polled(const PollResult& result, absl::Time began, absl::Time now) {
  const absl::Duration pause = kPollShare * result.took;
  nextRootPoll_ = now + std::max(kMissingRootPeriod, pause);
  if (began >= nextPoll_) nextPoll_ = now + std::max(kPollPeriod, pause);
  return result.dirty;
}

std::vector<std::string> Watcher::problems() const {
  std::vector<std::string> problems;
  if (fd() < 0) {
    problems.push_back(sentence("folders are polled every few seconds",
                                "this user has no inotify instances left",
                                "Raise fs.inotify.max_user_instances"));
  } else if (outOfWatches_) {
    problems.push_back(sentence("some folders are polled every few seconds",
                                "this user has no inotify watches left",
                                "Raise fs.inotify.max_user_watches"));
  }
  return problems;
}

}  // namespace roost
