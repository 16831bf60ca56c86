#include "node/representation_watch.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "node/on_worker.h"
#include "protocol/errors.h"

namespace roost {

namespace asio = boost::asio;

namespace {

constexpr absl::Duration kPeriod = absl::Milliseconds(500);
constexpr absl::Duration kFullPeriod = absl::Minutes(1);
constexpr absl::Duration kRest = absl::Seconds(10);
constexpr size_t kProblemsShown = 5;

std::string folderOf(const std::string& path) {
  return path.substr(0, path.rfind('/'));
}

// What one look at the folders found.
struct Look {
  RepresentationListing listing;
  std::vector<std::string> gone;  // folders
};

}  // namespace

void RepresentationWatch::stop() {
  *cancelled_ = true;
}

void RepresentationWatch::restore(const std::vector<RepresentationRow>& rows) {
  std::vector<RepresentationPlace> lost;
  for (const RepresentationRow& row : rows) {
    const std::string& path = row.place.path;
    const bool watched = std::any_of(s_.roots.begin(), s_.roots.end(), [&](const Root& root) {
      return path.starts_with(root.config.path + "/");
    });
    if (watched && row.stamp.mtimeNs != 0 && s_.store.found(row)) {
      files_[path] = {row.stamp, row.place.key, ""};
    } else {
      lost.push_back(row.place);
    }
  }
  s_.store.lost(lost);
}

asio::awaitable<void> RepresentationWatch::run() {
  absl::Time full = absl::InfinitePast();
  while (!*cancelled_ && !s_.roots.empty()) {
    const bool all = absl::Now() >= full;
    if (all) full = absl::Now() + kFullPeriod;
    co_await look(all);
    if (!*cancelled_) co_await s_.timers.sleep(kPeriod);
  }
}

asio::awaitable<void> RepresentationWatch::look(bool all) {
  const auto known = std::make_shared<const KnownFolders>(folders_);
  std::vector<std::string> roots;
  for (const Root& root : s_.roots) roots.push_back(root.config.path);
  const std::function<Look()> job = [known, roots, all] {
    Look look;
    if (all) {
      for (const std::string& root : roots) listRepresentations(root, {}, look.listing);
      return look;
    }
    for (const std::string& root : roots) {
      if (!known->contains(root) && folderTime(root) != 0) {
        listRepresentations(root, *known, look.listing);
      }
    }
    for (const auto& [path, time] : *known) {
      const int64_t now = folderTime(path);
      if (now == 0) {
        look.gone.push_back(path);
      } else if (now != time) {
        listRepresentations(path, *known, look.listing);
      }
    }
    return look;
  };
  const WorkSpec spec{"representations", WorkPriority::kNormal, roots.front()};
  const auto found = co_await onWorker<Look>(s_.work, spec, job);
  if (!found || *cancelled_) co_return;
  if (all) {
    folderProblems_ = found->listing.problems;
    folders_.clear();
  }
  std::set<std::string> read;
  for (const auto& folder : found->listing.folders) {
    folders_[folder.path] = folder.mtimeNs;
    read.insert(folder.path);
  }
  for (const std::string& path : found->gone) {
    folders_.erase(path);
    read.insert(path);
  }
  std::set<std::string> there;
  std::vector<RepresentationListing::File> changed;
  for (auto& file : found->listing.files) {
    there.insert(file.path);
    const auto before = files_.find(file.path);
    if (before == files_.end() || !before->second.stamp.sameContent(file.stamp)) {
      changed.push_back(std::move(file));
    }
  }
  std::vector<std::string> missing;
  for (const auto& [path, file] : files_) {
    if (there.contains(path)) continue;
    if (all || read.contains(folderOf(path))) missing.push_back(path);
  }
  gone(missing);
  // Those that were written a moment ago: their folder does not change when they do.
  const std::function<std::vector<RepresentationListing::File>()> lookAgain = [paths = restless_] {
    std::vector<RepresentationListing::File> files;
    for (const std::string& path : paths) {
      if (const auto stamp = FileStamp::ofPath(path); stamp.ok()) {
        files.push_back({path, *stamp});
      }
    }
    return files;
  };
  if (!restless_.empty()) {
    const auto again =
        co_await onWorker<std::vector<RepresentationListing::File>>(s_.work, spec, lookAgain);
    restless_.clear();
    for (size_t i = 0; again && i < again->size(); ++i) {
      const auto& file = (*again)[i];
      const auto before = files_.find(file.path);
      if (before == files_.end()) continue;
      if (!before->second.stamp.sameContent(file.stamp)) {
        changed.push_back(file);
      } else if (!file.stamp.settled(absl::Now() - kRest)) {
        restless_.insert(file.path);
      }
    }
  }
  co_await examine(std::move(changed));
}

asio::awaitable<void> RepresentationWatch::examine(std::vector<RepresentationListing::File> files) {
  using Examined = absl::StatusOr<FoundRepresentation>;
  for (const auto& file : files) {
    if (*cancelled_) co_return;
    const std::function<Examined()> job = [path = file.path, cancelled = cancelled_] {
      return examineRepresentation(path, cancelled.get());
    };
    const WorkSpec spec{"representations", WorkPriority::kNormal, folderOf(file.path)};
    const auto found = co_await onWorker<Examined>(s_.work, spec, job);
    if (!found || *cancelled_) co_return;
    gone(std::vector<std::string>(1, file.path));
    File now{file.stamp, std::nullopt, ""};
    if (found->ok()) {
      now.stamp = (*found)->file.stamp;
      if (s_.store.found(file.path, **found)) {
        now.key = (*found)->provenance.key();
      } else {
        now.problem = absl::StrCat(file.path, " is not shared: this node holds ",
                                   kRepresentationsMax, " representations already");
      }
    } else {
      now.problem = absl::StrCat(file.path, " is not shared: ", found->status().message());
    }
    if (!now.stamp.settled(absl::Now() - kRest)) restless_.insert(file.path);
    files_[file.path] = std::move(now);
  }
}

void RepresentationWatch::gone(const std::vector<std::string>& paths) {
  std::vector<RepresentationPlace> lost;
  for (const std::string& path : paths) {
    const auto it = files_.find(path);
    if (it == files_.end()) continue;
    if (it->second.key) lost.push_back({*it->second.key, path});
    files_.erase(it);
  }
  s_.store.lost(lost);
}

std::vector<std::string> RepresentationWatch::problems() const {
  std::vector<std::string> all = folderProblems_;
  size_t more = 0;
  for (const auto& [path, file] : files_) {
    // What is being written is no problem yet.
    if (file.problem.empty() || restless_.contains(path)) continue;
    if (all.size() < kProblemsShown) {
      all.push_back(file.problem);
    } else {
      ++more;
    }
  }
  if (more > 0) all.push_back(absl::StrCat(more, " more files are not shared"));
  return all;
}

}  // namespace roost
