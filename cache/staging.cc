#include "cache/staging.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "cache/leftovers.h"
#include "cache/unique_fd.h"
#include "protocol/errors.h"
#include "protocol/limits.h"

namespace roost {
namespace {

// Blobs of a job that an agent before its restart had begun are not fetched again; but not kept for
// ever either.
constexpr absl::Duration kStagedAge = absl::Hours(24);

absl::Status removeFilesIn(const SafeDir& folder) {
  ROOST_ASSIGN_OR_RETURN(const std::vector<std::string> names, folder.names());
  for (const std::string& name : names) ROOST_RETURN_IF_ERROR(folder.remove(name));
  return absl::OkStatus();
}

// Of blobs: here nobody but this node ever took one.
void removeLocks(const SafeDir& locks) {
  const auto repos = locks.names();
  if (!repos.ok()) return;
  for (const std::string& name : *repos) {
    const auto repo = locks.open(name);
    if (repo.ok() && removeFilesIn(*repo).ok()) locks.removeEmpty(name);
  }
}

}  // namespace

absl::StatusOr<Staging> Staging::open(const SafeDir& root, const NodeId& node,
                                      std::shared_ptr<Reservations> reservations) {
  ROOST_ASSIGN_OR_RETURN(SafeDir folder,
                         root.openOrMakePath(absl::StrCat(kStagingFolder, "/", node.shortHex())));
  ROOST_ASSIGN_OR_RETURN(HubPublisher blobs, HubPublisher::open(folder.path(), node, reservations));
  return Staging(std::move(folder), std::move(blobs), node, std::move(reservations));
}

bool Staging::has(const RepoId& repo, const BlobInfo& blob) const {
  const auto blobs = folder_.openPath(absl::StrCat(repo.folder(), "/blobs"));
  if (!blobs.ok()) return false;
  const auto there = blobs->look(blob.id.hex());
  return there.ok() && *there && S_ISREG((*there)->st_mode) &&
         static_cast<uint64_t>((*there)->st_size) == blob.size;
}

absl::StatusOr<SafeDir> Staging::emptyReady() const {
  ROOST_ASSIGN_OR_RETURN(SafeDir ready, folder_.openOrMake(kReady));
  ROOST_RETURN_IF_ERROR(removeFilesIn(ready));
  return ready;
}

absl::StatusOr<FileStamp> Staging::take(const RepoId& repo, const FileEntry& file, bool last,
                                        const std::map<BlobId, LinkSource>& elsewhere,
                                        const SafeDir& to, const std::string& name) const {
  const std::string hex = file.blob.id.hex();
  const auto source = elsewhere.find(file.blob.id);
  if (!has(repo, file.blob) && source != elsewhere.end()) {
    ROOST_RETURN_IF_ERROR(blobs_.linkFrom(repo, file.blob, source->second).status());
  }
  ROOST_ASSIGN_OR_RETURN(const BlobSlot slot, blobs_.blobSlot(repo, file.blob));
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

void Staging::remove(const Listing& listing) const {
  const auto blobs = folder_.openPath(absl::StrCat(listing.repo.folder(), "/blobs"));
  if (!blobs.ok()) return;
  for (const FileEntry& file : listing.files) (void)blobs->remove(file.blob.id.hex());
}

void removeStaleStaging(const std::string& root, const NodeId& node,
                        const std::string& journalFolder, absl::Duration age) {
  const auto folder = SafeDir::openRoot(root);
  if (!folder.ok()) return;
  const auto all = folder->open(kStagingFolder);
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
    for (const char* part : {"blobs", "refs", "snapshots"}) repo->removeEmpty(part);
    if (name == ".locks") removeLocks(*repo);
    stage->removeEmpty(name);
  }
  all->removeEmpty(node.shortHex());
  folder->removeEmpty(kStagingFolder);
}

}  // namespace roost
