#include "cache/snapshot_files.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cerrno>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cache/blob_link.h"
#include "cache/blob_slot.h"
#include "protocol/errors.h"

namespace roost {
namespace {

// Whether clients of this repo keep files in snapshots/ themselves: what the first entry shows.
// nullopt: nothing is there yet.
absl::StatusOr<std::optional<bool>> keepsFilesInSnapshots(const SafeDir& folder, int depth) {
  ROOST_ASSIGN_OR_RETURN(const std::vector<std::string> names, folder.names());
  for (const std::string& name : names) {
    ROOST_ASSIGN_OR_RETURN(const std::optional<struct stat> st, folder.look(name));
    if (!st) continue;
    if (depth > 0 && S_ISREG(st->st_mode)) return true;
    if (S_ISLNK(st->st_mode)) return false;
    if (!S_ISDIR(st->st_mode) || depth > 1) continue;
    ROOST_ASSIGN_OR_RETURN(const SafeDir below, folder.open(name));
    ROOST_ASSIGN_OR_RETURN(const std::optional<bool> found,
                           keepsFilesInSnapshots(below, depth + 1));
    if (found) return found;
  }
  return std::nullopt;
}

class SnapshotWriter {
 public:
  SnapshotWriter(SafeDir blobs, SafeDir snapshot, const NodeId& node,
                 std::shared_ptr<Reservations> reservations, bool moves)
      : blobs_(std::move(blobs)),
        snapshot_(std::move(snapshot)),
        node_(node),
        reservations_(std::move(reservations)),
        moves_(moves) {}

  absl::Status show(const FileEntry& file) {
    const std::string& path = file.path.text();
    const size_t slash = path.rfind('/');
    const std::string parent = slash == std::string::npos ? "" : path.substr(0, slash);
    const std::string name = path.substr(slash + 1);  // npos + 1 is 0
    ROOST_ASSIGN_OR_RETURN(SafeDir * folder, folderOf(parent));
    ROOST_ASSIGN_OR_RETURN(const std::optional<struct stat> there, folder->look(name));
    if (there) return meet(file, *folder, name, *there);
    return make(file, *folder, name);
  }

  absl::StatusOr<PublishedFiles> finish() {
    if (linkedEtags_) ROOST_RETURN_IF_ERROR(blobs_.sync());
    for (const auto& [path, folder] : folders_) ROOST_RETURN_IF_ERROR(folder.sync());
    return std::move(result_);
  }

 private:
  absl::StatusOr<SafeDir*> folderOf(const std::string& parent) {
    const auto it = folders_.find(parent);
    if (it != folders_.end()) return &it->second;
    ROOST_ASSIGN_OR_RETURN(SafeDir folder, snapshot_.openOrMakePath(parent));
    return &folders_.emplace(parent, std::move(folder)).first->second;
  }

  static std::string linkTarget(const FileEntry& file) {
    std::string target;
    for (size_t i = 0; i <= file.path.depth(); ++i) target += "../";
    return absl::StrCat(target, "blobs/",
                        file.observedAs ? file.observedAs->hex() : file.blob.id.hex());
  }

  absl::Status make(const FileEntry& file, const SafeDir& folder, const std::string& name) {
    if (file.observedAs && moves_) return needsLinks(file);
    return moves_ ? move(file, folder, name) : link(file, folder, name);
  }

  absl::Status needsLinks(const FileEntry& file) const {
    return absl::UnimplementedError(
        sentence(absl::StrCat("cannot publish ", quoted(file.path.text())),
                 absl::StrCat("the hub names it by no hash, and ", snapshot_.path(),
                              " has no symlinks that could tell so"),
                 ""));
  }

  // blobs/<made etag>, if it is our link: what it leads to. A client's own file is none.
  absl::StatusOr<std::optional<std::string>> observedBehind(const std::string& name) const {
    if (!MadeEtag::parseHex(name).ok()) return std::nullopt;
    ROOST_ASSIGN_OR_RETURN(const std::optional<struct stat> there, blobs_.look(name));
    if (!there || !S_ISLNK(there->st_mode)) return std::nullopt;
    ROOST_ASSIGN_OR_RETURN(std::string target, blobs_.readSymlink(name));
    if (!BlobId::parseHex(target).ok()) return std::nullopt;
    return target;
  }

  // Makes blobs/<made etag> lead to the content. A client's own file of that name stays. An ETag
  // that names two contents names nothing: what it led to first may be shown under other paths,
  // too.
  absl::Status linkEtag(const FileEntry& file) {
    const std::string etag = file.observedAs->hex(), blob = file.blob.id.hex();
    linkedEtags_ = true;
    const absl::Status linked = blobs_.createSymlink(blob, etag);
    if (!absl::IsAlreadyExists(linked)) return linked;
    ROOST_ASSIGN_OR_RETURN(const std::optional<std::string> before, observedBehind(etag));
    if (!before || *before == blob) return absl::OkStatus();
    ROOST_ASSIGN_OR_RETURN(const std::optional<struct stat> used, blobs_.look(*before));
    if (!used) {  // somebody removed it
      ROOST_RETURN_IF_ERROR(blobs_.remove(etag));
      return blobs_.createSymlink(blob, etag);
    }
    return absl::FailedPreconditionError(sentence(
        absl::StrCat("cannot publish ", quoted(file.path.text())),
        absl::StrCat("the hub's ETag names other content, too: ", blobs_.pathOf(etag)), ""));
  }

  // Something has the name. It stays, unless it is a symlink that leads nowhere.
  absl::Status meet(const FileEntry& file, const SafeDir& folder, const std::string& name,
                    const struct stat& there) {
    if (S_ISREG(there.st_mode) && static_cast<uint64_t>(there.st_size) == file.blob.size) {
      ++result_.alreadyThere;
      return absl::OkStatus();
    }
    if (!S_ISLNK(there.st_mode)) {
      result_.conflicts.push_back(file.path);
      return absl::OkStatus();
    }
    ROOST_ASSIGN_OR_RETURN(const std::string target, folder.readSymlink(name));
    if (target == linkTarget(file)) {
      ROOST_RETURN_IF_ERROR(mustHaveBlob(file));
      if (file.observedAs) ROOST_RETURN_IF_ERROR(linkEtag(file));
      ++result_.alreadyThere;
      return absl::OkStatus();
    }
    struct stat behind;
    if (::fstatat(folder.fd(), name.c_str(), &behind, 0) == 0) {
      ROOST_ASSIGN_OR_RETURN(const std::optional<std::string> observed,
                             observedBehind(target.substr(target.rfind('/') + 1)));
      if (!observed) {
        // What somebody else named is not shown otherwise because of what was observed.
        if (file.observedAs) {
          ++result_.alreadyThere;
        } else {
          result_.conflicts.push_back(file.path);
        }
        return absl::OkStatus();
      }
    }
    ROOST_RETURN_IF_ERROR(folder.remove(name));
    return make(file, folder, name);
  }

  absl::StatusOr<bool> hasBlob(const FileEntry& file) const {
    struct stat st;
    // Follows the symlink that the clients' shared store puts here.
    if (::fstatat(blobs_.fd(), file.blob.id.hex().c_str(), &st, 0) != 0) {
      if (errno == ENOENT || errno == ELOOP) return false;
      return errnoStatus(errno, "cannot look at", blobs_.pathOf(file.blob.id.hex()));
    }
    return S_ISREG(st.st_mode) && static_cast<uint64_t>(st.st_size) == file.blob.size;
  }

  absl::Status mustHaveBlob(const FileEntry& file) const {
    ROOST_ASSIGN_OR_RETURN(const bool has, hasBlob(file));
    if (has) return absl::OkStatus();
    return absl::NotFoundError(
        sentence(absl::StrCat("cannot publish ", quoted(file.path.text())),
                 absl::StrCat(blobs_.pathOf(file.blob.id.hex()), " is missing or incomplete"), ""));
  }

  absl::Status link(const FileEntry& file, const SafeDir& folder, const std::string& name) {
    ROOST_RETURN_IF_ERROR(mustHaveBlob(file));
    absl::Status linked = file.observedAs ? linkEtag(file) : absl::OkStatus();
    if (linked.ok()) linked = folder.createSymlink(linkTarget(file), name);
    if (absl::IsUnimplemented(linked)) {
      if (file.observedAs) return needsLinks(file);
      moves_ = true;
      return move(file, folder, name);
    }
    if (absl::IsAlreadyExists(linked)) {  // a client was quicker
      ++result_.alreadyThere;
      return absl::OkStatus();
    }
    ROOST_RETURN_IF_ERROR(linked);
    ++result_.made;
    return absl::OkStatus();
  }

  // Moves the blob out of blobs/. A second path with the same content gets a copy of the first.
  absl::Status move(const FileEntry& file, const SafeDir& folder, const std::string& name) {
    ROOST_ASSIGN_OR_RETURN(const bool has, hasBlob(file));
    if (!has) ROOST_RETURN_IF_ERROR(copyBack(file));
    const std::string blob = file.blob.id.hex();
    if (::renameat2(blobs_.fd(), blob.c_str(), folder.fd(), name.c_str(), RENAME_NOREPLACE) != 0 &&
        (errno != EINVAL ||
         ::renameat(blobs_.fd(), blob.c_str(), folder.fd(), name.c_str()) != 0)) {
      return errnoStatus(errno, "cannot move to", folder.pathOf(name));
    }
    moved_.insert_or_assign(file.blob.id, std::pair(folder, name));
    ++result_.made;
    return absl::OkStatus();
  }

  absl::Status copyBack(const FileEntry& file) {
    const auto it = moved_.find(file.blob.id);
    if (it == moved_.end()) return mustHaveBlob(file);
    const auto& [folder, name] = it->second;
    ROOST_ASSIGN_OR_RETURN(const UniqueFd source, folder.openFile(name, O_RDONLY));
    return copyBlob({blobs_, file.blob}, source.get(), folder.pathOf(name), node_, reservations_)
        .status();
  }

  const SafeDir blobs_;
  const SafeDir snapshot_;
  const NodeId node_;
  const std::shared_ptr<Reservations> reservations_;
  bool moves_;  // no symlinks: files go into snapshots/
  bool linkedEtags_ = false;
  std::map<std::string, SafeDir> folders_;                   // by path in the snapshot
  std::map<BlobId, std::pair<SafeDir, std::string>> moved_;  // where a blob went
  PublishedFiles result_;
};

}  // namespace

absl::StatusOr<PublishedFiles> showFiles(const SafeDir& repo, const Commit& commit,
                                         absl::Span<const FileEntry> files, const NodeId& node,
                                         const std::shared_ptr<Reservations>& reservations) {
  ROOST_ASSIGN_OR_RETURN(const SafeDir blobs, repo.open("blobs"));
  ROOST_ASSIGN_OR_RETURN(const SafeDir snapshots, repo.openOrMake("snapshots"));
  ROOST_ASSIGN_OR_RETURN(const std::optional<bool> moves, keepsFilesInSnapshots(snapshots, 0));
  ROOST_ASSIGN_OR_RETURN(const SafeDir snapshot, snapshots.openOrMake(commit.hex()));
  SnapshotWriter writer(blobs, snapshot, node, reservations, moves.value_or(false));
  for (const FileEntry& file : files) ROOST_RETURN_IF_ERROR(writer.show(file));
  return writer.finish();
}

}  // namespace roost
