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
#include "absl/time/clock.h"
#include "cache/client_lock.h"
#include "cache/finished_directory.h"
#include "cache/hasher.h"
#include "cache/leftovers.h"
#include "protocol/errors.h"
#include "protocol/limits.h"

namespace roost {
namespace {

// The directory that is being put together. In the staging folder: there it is no repo's.
constexpr absl::string_view kReady = "ready";

// Blobs of a job that an agent before its restart had begun are not fetched again; but not kept for
// ever either.
constexpr absl::Duration kStagedAge = absl::Hours(24);

absl::Status removeFilesIn(const SafeDir& folder) {
  ROOST_ASSIGN_OR_RETURN(const std::vector<std::string> names, folder.names());
  for (const std::string& name : names) ROOST_RETURN_IF_ERROR(folder.remove(name));
  return absl::OkStatus();
}

void removeEmpty(const SafeDir& parent, const std::string& name) {
  (void)::unlinkat(parent.fd(), name.c_str(), AT_REMOVEDIR);
}

// Of blobs: here nobody but this node ever took one.
void removeLocks(const SafeDir& locks) {
  const auto repos = locks.names();
  if (!repos.ok()) return;
  for (const std::string& name : *repos) {
    const auto repo = locks.open(name);
    if (repo.ok() && removeFilesIn(*repo).ok()) removeEmpty(locks, name);
  }
}

// builder.py: str(cache_dir) with "_" for "/". The library gives longer names a random end, which
// locks nobody out.
std::string cacheLockName(const std::string& directory) {
  const std::string name = absl::StrCat(absl::StrReplaceAll(directory, {{"/", "_"}}), ".lock");
  return name.size() > kPathSegmentBytesMax ? "" : name;
}

absl::StatusOr<bool> isSame(const SafeDir& there, const std::string& name, const FileEntry& file,
                            const DatasetsPublisher::Known& known) {
  ROOST_ASSIGN_OR_RETURN(const UniqueFd fd, there.openFile(name, O_RDONLY));
  ROOST_ASSIGN_OR_RETURN(const FileStamp stamp, FileStamp::ofFd(fd.get(), there.pathOf(name)));
  if (stamp.size != file.blob.size) return false;
  const auto right = known.right.find(file.path.text());
  if (right != known.right.end() && right->second == stamp) return true;
  ROOST_ASSIGN_OR_RETURN(const FileHashes hashed,
                         hashFile(fd.get(), there.pathOf(name), file.blob, {}));
  return hashed.hashes.id == file.blob.id;
}

absl::Status busy(const std::string& directory) {
  return absl::AbortedError(sentence(absl::StrCat("cannot publish ", directory),
                                     "a client is at work on it", "Try again later"));
}

}  // namespace

struct DatasetsPublisher::Directory {
  struct File {
    const FileEntry* entry;
    std::string name;
    bool last;  // nothing behind it in the listing has the same content
  };
  DatasetsPlace place;
  std::vector<File> files;
  std::optional<absl::Time> written;
};

absl::StatusOr<DatasetsPublisher> DatasetsPublisher::open(
    const std::string& root, const NodeId& node, std::shared_ptr<Reservations> reservations) {
  ROOST_ASSIGN_OR_RETURN(SafeDir folder, SafeDir::openRoot(root));
  ROOST_ASSIGN_OR_RETURN(
      SafeDir stage, folder.openOrMakePath(absl::StrCat(kDatasetsStaging, "/", node.shortHex())));
  ROOST_ASSIGN_OR_RETURN(HubPublisher staging,
                         HubPublisher::open(stage.path(), node, reservations));
  return DatasetsPublisher(std::move(folder), std::move(stage), std::move(staging), node,
                           std::move(reservations));
}

bool DatasetsPublisher::isStaged(const RepoId& cache, const BlobInfo& blob) const {
  const auto blobs = stage_.openPath(absl::StrCat(cache.folder(), "/blobs"));
  if (!blobs.ok()) return false;
  const auto there = blobs->look(blob.id.hex());
  return there.ok() && *there && S_ISREG((*there)->st_mode) &&
         static_cast<uint64_t>((*there)->st_size) == blob.size;
}

absl::StatusOr<ShownDatasets> DatasetsPublisher::show(const Listing& listing,
                                                      const std::vector<RefState>& refs,
                                                      const Known& known) const {
  std::map<std::string, Directory> directories;
  std::set<BlobId> later;
  for (auto file = listing.files.rbegin(); file != listing.files.rend(); ++file) {
    const auto place = datasetsPlace(listing.repo, file->path);
    if (!place) {
      return absl::InvalidArgumentError(
          sentence(absl::StrCat("cannot publish ", quoted(file->path.text())),
                   "the datasets library keeps no such file", ""));
    }
    Directory& directory =
        directories.try_emplace(place->directory(), Directory{*place, {}, {}}).first->second;
    directory.files.push_back({&*file, place->file, later.insert(file->blob.id).second});
  }
  for (const RefState& state : refs) {
    const auto named =
        directories.find(absl::StrCat(datasetsFolder(listing.repo), "/", state.ref.text()));
    if (named != directories.end()) named->second.written = state.hubTime;
  }
  ShownDatasets shown;
  for (auto& [path, directory] : directories) {
    // In the order of the listing again, so that the last user of a blob is the last here.
    std::reverse(directory.files.begin(), directory.files.end());
    ROOST_RETURN_IF_ERROR(showOne(listing.repo, directory, known, shown));
  }
  removeStaged(listing);
  return shown;
}

absl::Status DatasetsPublisher::showOne(const RepoId& cache, const Directory& directory,
                                        const Known& known, ShownDatasets& shown) const {
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

  removeEmpty(parent, hash);  // as the library does
  ROOST_ASSIGN_OR_RETURN(const auto there, parent.look(hash));
  if (!there) return publishWhole(cache, directory, parent, known, shown);
  ROOST_ASSIGN_OR_RETURN(const SafeDir folder, parent.open(hash));
  return addMissing(cache, directory, folder, known, shown);
}

absl::Status DatasetsPublisher::publishWhole(const RepoId& cache, const Directory& directory,
                                             const SafeDir& parent, const Known& known,
                                             ShownDatasets& shown) const {
  const std::string ready(kReady);
  ROOST_ASSIGN_OR_RETURN(const SafeDir made, stage_.openOrMake(ready));
  ROOST_RETURN_IF_ERROR(removeFilesIn(made));  // of a try that a kill ended
  std::vector<PlacedFile> placed;
  for (const Directory::File& file : directory.files) {
    ROOST_ASSIGN_OR_RETURN(const FileStamp before,
                           stage(cache, *file.entry, file.last, known, made, file.name));
    placed.push_back({file.entry->blob.id, before, {}});
  }
  ROOST_RETURN_IF_ERROR(made.sync());
  ROOST_RETURN_IF_ERROR(moveIntoPlace(stage_, ready, parent, directory.place.hash));
  if (directory.written) {
    const timespec time = absl::ToTimespec(*directory.written);
    const timespec times[2] = {time, time};
    (void)::futimens(made.fd(), times);  // wrong only for who has several versions
  }
  for (size_t i = 0; i < placed.size(); ++i) {
    const std::string& name = directory.files[i].name;
    ROOST_ASSIGN_OR_RETURN(const UniqueFd fd, made.openFile(name, O_RDONLY));
    ROOST_ASSIGN_OR_RETURN(placed[i].after, FileStamp::ofFd(fd.get(), name));
  }
  shown.placed.insert(shown.placed.end(), placed.begin(), placed.end());
  return absl::OkStatus();
}

absl::Status DatasetsPublisher::addMissing(const RepoId& cache, const Directory& directory,
                                           const SafeDir& there, const Known& known,
                                           ShownDatasets& shown) const {
  ROOST_ASSIGN_OR_RETURN(const std::vector<std::string> names, there.names());
  const std::set<std::string> present(names.begin(), names.end());
  std::set<std::string> base;
  for (const std::string& name : names) {
    if (isDatasetsFile(name) && !isDerivedFile(name)) base.insert(name);
  }
  bool same = true;
  for (const Directory::File& file : directory.files) {
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
  for (const Directory::File& file : directory.files) {
    if (present.contains(file.name)) continue;
    const std::string staged = absl::StrCat("added.", file.entry->blob.id.hex());
    ROOST_RETURN_IF_ERROR(stage_.remove(staged));
    ROOST_ASSIGN_OR_RETURN(const FileStamp before,
                           stage(cache, *file.entry, file.last, known, stage_, staged));
    const absl::Status moved = moveIntoPlace(stage_, staged, there, file.name);
    if (absl::IsAlreadyExists(moved)) {  // a map of this node was quicker
      ROOST_RETURN_IF_ERROR(stage_.remove(staged));
      continue;
    }
    ROOST_RETURN_IF_ERROR(moved);
    ROOST_ASSIGN_OR_RETURN(const UniqueFd fd, there.openFile(file.name, O_RDONLY));
    ROOST_ASSIGN_OR_RETURN(const FileStamp after, FileStamp::ofFd(fd.get(), file.name));
    shown.placed.push_back({file.entry->blob.id, before, after});
  }
  return absl::OkStatus();
}

// Puts a file's content under `name` into `to`, a directory of the staging folder: moved if it is
// the last that needs it, else copied.
absl::StatusOr<FileStamp> DatasetsPublisher::stage(const RepoId& cache, const FileEntry& file,
                                                   bool last, const Known& known, const SafeDir& to,
                                                   const std::string& name) const {
  const std::string hex = file.blob.id.hex();
  const auto elsewhere = known.elsewhere.find(file.blob.id);
  if (!isStaged(cache, file.blob) && elsewhere != known.elsewhere.end()) {
    ROOST_RETURN_IF_ERROR(staging_.linkFrom(cache, file.blob, elsewhere->second).status());
  }
  ROOST_ASSIGN_OR_RETURN(const BlobSlot slot, staging_.blobSlot(cache, file.blob));
  ROOST_ASSIGN_OR_RETURN(const UniqueFd fd, slot.folder.openFile(hex, O_RDONLY));
  ROOST_ASSIGN_OR_RETURN(FileStamp stamp, FileStamp::ofFd(fd.get(), slot.path()));
  if (last) {
    if (::renameat(slot.folder.fd(), hex.c_str(), to.fd(), name.c_str()) != 0) {
      return errnoStatus(errno, "cannot move", slot.path());
    }
    return stamp;
  }
  const BlobSlot copy{to, file.blob};
  ROOST_RETURN_IF_ERROR(
      linkBlob(copy, {slot.path(), stamp, false, true}, node_, reservations_).status());
  if (::renameat(to.fd(), hex.c_str(), to.fd(), name.c_str()) != 0) {
    return errnoStatus(errno, "cannot move", copy.path());
  }
  return stamp;
}

void DatasetsPublisher::removeStaged(const Listing& listing) const {
  const auto blobs = stage_.openPath(absl::StrCat(listing.repo.folder(), "/blobs"));
  if (!blobs.ok()) return;
  for (const FileEntry& file : listing.files) (void)blobs->remove(file.blob.id.hex());
}

void removeStaleStaging(const std::string& root, const NodeId& node,
                        const std::string& journalFolder, absl::Duration age) {
  const auto folder = SafeDir::openRoot(root);
  if (!folder.ok()) return;
  const auto all = folder->open(kDatasetsStaging);
  if (!all.ok()) return;
  const auto stage = all->open(node.shortHex());
  if (!stage.ok()) return;
  removeLeftovers(stage->path(), node, journalFolder, age);
  const auto names = stage->names();
  if (!names.ok()) return;
  for (const std::string& name : *names) {
    const auto repo = stage->open(name);
    if (!repo.ok()) continue;
    for (const std::string& part : {std::string("blobs"), std::string()}) {
      const auto files = repo->openPath(part);
      const auto entries = files.ok() ? files->names() : std::vector<std::string>();
      if (!entries.ok()) continue;
      for (const std::string& entry : *entries) {
        const auto info = files->look(entry);
        const bool old = info.ok() && *info && S_ISREG((*info)->st_mode) &&
                         absl::TimeFromTimespec((*info)->st_ctim) < absl::Now() - kStagedAge;
        // Temporaries are the business of who knows their journals.
        if (old && !absl::EndsWith(entry, kTemporarySuffix)) (void)files->remove(entry);
      }
    }
    for (const char* part : {"blobs", "refs", "snapshots"}) removeEmpty(*repo, part);
    if (name == ".locks") removeLocks(*repo);
    removeEmpty(*stage, name);
  }
  removeEmpty(*all, node.shortHex());
  removeEmpty(*folder, std::string(kDatasetsStaging));
}

}  // namespace roost
