#include "cache/tree_publisher.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cache/finished_directory.h"
#include "cache/tree_layout.h"
#include "cache/unique_fd.h"
#include "protocol/errors.h"

namespace roost {
namespace {

// Whoever may read it may run it.
absl::Status makeExecutable(const SafeDir& folder, const std::string& name) {
  ROOST_ASSIGN_OR_RETURN(const UniqueFd fd, folder.openFile(name, O_RDONLY));
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0 ||
      ::fchmod(fd.get(), (info.st_mode & 07777) | ((info.st_mode & 0444) >> 2)) != 0) {
    return errnoStatus(errno, "cannot make executable", folder.pathOf(name));
  }
  return absl::OkStatus();
}

// Programs look for a description first and believe that what it names is there (Triton's
// __grp__….json), so it comes last.
bool isDescription(const std::string& name) {
  return absl::EndsWith(name, ".json");
}

// Says that a file came to its place, unless a program has replaced it or written into it already.
void notePlaced(const SafeDir& there, const std::string& name, PlacedFile placed,
                ShownFinished& shown) {
  const auto now = stampOf(there, name);
  if (!now.ok() || !now->sameContent(placed.after)) return;
  placed.after = *now;
  shown.placed.push_back(placed);
}

}  // namespace

struct TreePublisher::Directory {
  std::string path;  // below the root; "": the root itself
  std::vector<FinishedFile> files;
};

absl::StatusOr<TreePublisher> TreePublisher::open(const std::string& root, const NodeId& node,
                                                  std::shared_ptr<Reservations> reservations) {
  ROOST_ASSIGN_OR_RETURN(SafeDir folder, SafeDir::openRoot(root));
  ROOST_ASSIGN_OR_RETURN(Staging staging, Staging::open(folder, node, std::move(reservations)));
  return TreePublisher(std::move(folder), std::move(staging));
}

absl::StatusOr<ShownFinished> TreePublisher::show(const Listing& listing,
                                                  const std::vector<RefState>&,
                                                  const KnownFiles& known) const {
  std::map<std::string, Directory> directories;
  for (const FileEntry& file : listing.files) {
    if (!isTreePath(file.path)) {
      return absl::InvalidArgumentError(
          sentence(absl::StrCat("cannot publish ", quoted(file.path.text())),
                   "a tree has no such file", ""));
    }
    const std::string& path = file.path.text();
    const size_t slash = path.rfind('/');
    const std::string parent = slash == std::string::npos ? "" : path.substr(0, slash);
    Directory& directory = directories.try_emplace(parent, Directory{parent, {}}).first->second;
    directory.files.push_back({&file, path.substr(parent.empty() ? 0 : slash + 1), false});
  }
  ShownFinished shown;
  // First what is missing, then which of it is the last of its content: that one is moved.
  std::vector<Directory*> wanted;
  for (auto& [path, directory] : directories) {
    auto agrees = leaveOutWhatIsThere(directory, known);
    if (absl::IsPermissionDenied(agrees.status())) agrees = false;  // a link or a file in the way
    ROOST_RETURN_IF_ERROR(agrees.status());
    if (!*agrees) {
      shown.leftAlone.push_back(sentence(absl::StrCat(root_.pathOf(path), " was left as it is"),
                                         "this node has another content under one of its names",
                                         "Delete it to have the other node's instead"));
    } else if (!directory.files.empty()) {
      wanted.push_back(&directory);
    }
  }
  std::vector<std::vector<FinishedFile>*> files;
  for (Directory* directory : wanted) files.push_back(&directory->files);
  markLast(files);
  for (const Directory* directory : wanted) {
    ROOST_RETURN_IF_ERROR(showOne(listing.repo, *directory, known, shown));
  }
  staging_.remove(listing);
  return shown;
}

absl::StatusOr<bool> TreePublisher::leaveOutWhatIsThere(Directory& directory,
                                                        const KnownFiles& known) const {
  const auto there = root_.openPath(directory.path);
  if (absl::IsNotFound(there.status())) return true;
  ROOST_RETURN_IF_ERROR(there.status());
  std::vector<FinishedFile> missing;
  for (const FinishedFile& file : directory.files) {
    ROOST_ASSIGN_OR_RETURN(const auto info, there->look(file.name));
    if (!info) {
      missing.push_back(file);
      continue;
    }
    if (!S_ISREG(info->st_mode)) return false;
    const auto same = isSame(*there, file.name, *file.entry, known);
    // It cannot be read, or is being written: it is the program's own.
    if (!same.ok() || !*same) return false;
  }
  std::stable_partition(missing.begin(), missing.end(),
                        [](const FinishedFile& file) { return !isDescription(file.name); });
  directory.files = std::move(missing);
  return true;
}

absl::Status TreePublisher::showOne(const RepoId& tree, const Directory& directory,
                                    const KnownFiles& known, ShownFinished& shown) const {
  ROOST_ASSIGN_OR_RETURN(const SafeDir ready, staging_.emptyReady());
  std::vector<PlacedFile> placed;
  for (const FinishedFile& file : directory.files) {
    ROOST_ASSIGN_OR_RETURN(
        const FileStamp before,
        staging_.take(tree, *file.entry, file.last, known.elsewhere, ready, file.name));
    if (file.entry->executable) ROOST_RETURN_IF_ERROR(makeExecutable(ready, file.name));
    ROOST_ASSIGN_OR_RETURN(const FileStamp made, stampOf(ready, file.name));
    placed.push_back({file.entry->blob.id, before, made});
  }
  ROOST_RETURN_IF_ERROR(ready.sync());
  return place(directory, ready, placed, shown);
}

absl::Status TreePublisher::place(const Directory& directory, const SafeDir& ready,
                                  const std::vector<PlacedFile>& placed,
                                  ShownFinished& shown) const {
  if (!directory.path.empty()) {
    const size_t slash = directory.path.rfind('/');
    const std::string parentPath =
        slash == std::string::npos ? "" : directory.path.substr(0, slash);
    ROOST_ASSIGN_OR_RETURN(const SafeDir parent, root_.openOrMakePath(parentPath));
    const std::string name = directory.path.substr(parentPath.empty() ? 0 : slash + 1);
    const absl::Status moved = moveIntoPlace(staging_.folder(), Staging::kReady, parent, name);
    if (moved.ok()) {
      for (size_t i = 0; i < placed.size(); ++i) {
        notePlaced(ready, directory.files[i].name, placed[i], shown);
      }
      return absl::OkStatus();
    }
    if (!absl::IsAlreadyExists(moved)) return moved;
  }
  ROOST_ASSIGN_OR_RETURN(const SafeDir there, root_.openPath(directory.path));
  for (size_t i = 0; i < directory.files.size(); ++i) {
    const std::string& name = directory.files[i].name;
    const absl::Status moved = renameIntoPlace(ready, name, there, name);
    if (absl::IsAlreadyExists(moved)) continue;  // a program of this node was quicker
    ROOST_RETURN_IF_ERROR(moved);
    notePlaced(there, name, placed[i], shown);
  }
  return there.sync();
}

}  // namespace roost
