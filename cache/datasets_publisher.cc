#include "cache/datasets_publisher.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "cache/client_lock.h"
#include "cache/finished_directory.h"
#include "protocol/errors.h"
#include "protocol/limits.h"

namespace roost {
namespace {

// builder.py: str(cache_dir) with "_" for "/". The library gives longer names a random end, which
// locks nobody out.
std::string cacheLockName(const std::string& directory) {
  const std::string name = absl::StrCat(absl::StrReplaceAll(directory, {{"/", "_"}}), ".lock");
  return name.size() > kPathSegmentBytesMax ? "" : name;
}

absl::Status busy(const std::string& directory) {
  return absl::AbortedError(sentence(absl::StrCat("cannot publish ", directory),
                                     "a client is at work on it", "Try again later"));
}

}  // namespace

struct DatasetsPublisher::Directory {
  DatasetsPlace place;
  std::vector<FinishedFile> files;
  std::optional<absl::Time> written;
};

absl::StatusOr<DatasetsPublisher> DatasetsPublisher::open(
    const std::string& root, const NodeId& node, std::shared_ptr<Reservations> reservations) {
  ROOST_ASSIGN_OR_RETURN(SafeDir folder, SafeDir::openRoot(root));
  ROOST_ASSIGN_OR_RETURN(Staging staging, Staging::open(folder, node, std::move(reservations)));
  return DatasetsPublisher(std::move(folder), std::move(staging));
}

absl::StatusOr<ShownFinished> DatasetsPublisher::show(const Listing& listing,
                                                      const std::vector<RefState>& refs,
                                                      const KnownFiles& known) const {
  std::map<std::string, Directory> directories;
  for (const FileEntry& file : listing.files) {
    const auto place = datasetsPlace(listing.repo, file.path);
    if (!place) {
      return absl::InvalidArgumentError(
          sentence(absl::StrCat("cannot publish ", quoted(file.path.text())),
                   "the datasets library keeps no such file", ""));
    }
    Directory& directory =
        directories.try_emplace(place->directory(), Directory{*place, {}, {}}).first->second;
    directory.files.push_back({&file, place->file});
  }
  std::vector<std::vector<FinishedFile>*> files;
  for (auto& [path, directory] : directories) files.push_back(&directory.files);
  markLast(files);
  for (const RefState& state : refs) {
    const auto named =
        directories.find(absl::StrCat(datasetsFolder(listing.repo), "/", state.ref.text()));
    if (named != directories.end()) named->second.written = state.hubTime;
  }
  ShownFinished shown;
  for (const auto& [path, directory] : directories) {
    ROOST_RETURN_IF_ERROR(showOne(listing.repo, directory, known, shown));
  }
  staging_.remove(listing);
  return shown;
}

absl::Status DatasetsPublisher::showOne(const RepoId& cache, const Directory& directory,
                                        const KnownFiles& known, ShownFinished& shown) const {
  const std::string& hash = directory.place.hash;
  ROOST_ASSIGN_OR_RETURN(const SafeDir parent, root_.openOrMakePath(directory.place.parent));
  // In the order in which the library takes them.
  std::optional<ClientLock> lookLock;
  if (const std::string name = cacheLockName(parent.pathOf(hash)); !name.empty()) {
    ROOST_ASSIGN_OR_RETURN(lookLock, ClientLock::tryAcquire(root_, name));
    if (!lookLock->mayPublish()) return busy(parent.pathOf(hash));
  }
  ROOST_ASSIGN_OR_RETURN(const ClientLock builderLock,
                         ClientLock::tryAcquire(parent, absl::StrCat(hash, "_builder.lock")));
  if (!builderLock.mayPublish()) return busy(parent.pathOf(hash));

  parent.removeEmpty(hash);  // as the library does
  ROOST_ASSIGN_OR_RETURN(const auto there, parent.look(hash));
  if (!there) return publishWhole(cache, directory, parent, known, shown);
  ROOST_ASSIGN_OR_RETURN(const SafeDir folder, parent.open(hash));
  return addMissing(cache, directory, folder, known, shown);
}

absl::Status DatasetsPublisher::publishWhole(const RepoId& cache, const Directory& directory,
                                             const SafeDir& parent, const KnownFiles& known,
                                             ShownFinished& shown) const {
  ROOST_ASSIGN_OR_RETURN(const SafeDir made, staging_.emptyReady());
  std::vector<PlacedFile> placed;
  for (const FinishedFile& file : directory.files) {
    ROOST_ASSIGN_OR_RETURN(const FileStamp before, staging_.take(cache, *file.entry, file.last,
                                                                 known.elsewhere, made, file.name));
    placed.push_back({file.entry->blob.id, before, {}});
  }
  ROOST_RETURN_IF_ERROR(made.sync());
  ROOST_RETURN_IF_ERROR(
      moveIntoPlace(staging_.folder(), Staging::kReady, parent, directory.place.hash));
  if (directory.written) {
    const timespec time = absl::ToTimespec(*directory.written);
    const timespec times[2] = {time, time};
    (void)::futimens(made.fd(), times);  // wrong only for who has several versions
  }
  for (size_t i = 0; i < placed.size(); ++i) {
    ROOST_ASSIGN_OR_RETURN(placed[i].after, stampOf(made, directory.files[i].name));
  }
  shown.placed.insert(shown.placed.end(), placed.begin(), placed.end());
  return absl::OkStatus();
}

absl::Status DatasetsPublisher::addMissing(const RepoId& cache, const Directory& directory,
                                           const SafeDir& there, const KnownFiles& known,
                                           ShownFinished& shown) const {
  ROOST_ASSIGN_OR_RETURN(const std::vector<std::string> names, there.names());
  const std::set<std::string> present(names.begin(), names.end());
  std::set<std::string> base;
  for (const std::string& name : names) {
    if (isDatasetsFile(name) && !isDerivedFile(name)) base.insert(name);
  }
  bool same = true;
  for (const FinishedFile& file : directory.files) {
    if (isDerivedFile(file.name)) continue;
    same = same && base.erase(file.name) > 0;
    if (!same) break;
    ROOST_ASSIGN_OR_RETURN(same, isSame(there, file.name, *file.entry, known));
  }
  if (!same || !base.empty()) {
    shown.leftAlone.push_back(sentence(absl::StrCat(there.path(), " was left as it is"),
                                       "it was prepared here, and its content is another",
                                       "Delete it to have the other node's instead"));
    return absl::OkStatus();
  }
  ROOST_ASSIGN_OR_RETURN(const SafeDir ready, staging_.emptyReady());
  std::vector<std::pair<std::string, PlacedFile>> made;
  for (const FinishedFile& file : directory.files) {
    if (present.contains(file.name)) continue;
    ROOST_ASSIGN_OR_RETURN(
        const FileStamp before,
        staging_.take(cache, *file.entry, file.last, known.elsewhere, ready, file.name));
    made.push_back({file.name, {file.entry->blob.id, before, {}}});
  }
  for (auto& [name, placed] : made) {
    const absl::Status moved = renameIntoPlace(ready, name, there, name);
    if (absl::IsAlreadyExists(moved)) {  // a map of this node was quicker
      ROOST_RETURN_IF_ERROR(ready.remove(name));
      continue;
    }
    ROOST_RETURN_IF_ERROR(moved);
    ROOST_ASSIGN_OR_RETURN(placed.after, stampOf(there, name));
    shown.placed.push_back(placed);
  }
  return there.sync();
}

}  // namespace roost
