#include "cache/pip_cache.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cache/directory_reader.h"
#include "cache/file_io.h"
#include "cache/file_system.h"
#include "cache/unique_fd.h"
#include "protocol/errors.h"
#include "protocol/limits.h"

namespace roost {
namespace {

constexpr absl::string_view kFileMagic("PK\x03\x04", 4);
constexpr absl::string_view kMetadataStart = "Metadata-Version: ";
constexpr absl::string_view kEndMagic("PK\x05\x06", 4);

bool isDigit(absl::string_view name) {
  return name.size() == 1 && absl::StrContains("0123456789abcdef", name[0]);
}

class Scan {
 public:
  Scan(std::string root, RepoScan& scan) : root_(std::move(root)), scan_(scan) {}

  // Walks the folders, and calls `body` with (directory, name, place) of each.
  template <typename Body>
  absl::Status walk(int parent, const std::string& name, const std::string& place, size_t level,
                    const Body& body) {
    ROOST_ASSIGN_OR_RETURN(DirectoryReader directory, DirectoryReader::open(parent, name));
    const std::string path = absl::StrCat(root_, "/", place);
    ROOST_ASSIGN_OR_RETURN(const DirectoryMark mark,
                           markOf(directory.fd(), MarkScope::kNames, path));
    scan_.directories.push_back({place, mark, MarkScope::kNames});
    std::vector<std::string> names;
    while (const auto entry = directory.next()) {
      if (++entries_ > kScanFilesMax) return tooMany();
      names.emplace_back(*entry);
    }
    for (const std::string& entry : names) {
      const std::string below = absl::StrCat(place, "/", entry);
      if (level < kPipFolderLevels) {
        if (!isDigit(entry)) continue;
        // A folder that went meanwhile is none; one that cannot be read hides nothing else.
        (void)walk(directory.fd(), entry, below, level + 1, body);
      } else if (absl::EndsWith(entry, kPipBodySuffix)) {
        body(directory, entry, below);
      }
    }
    return absl::OkStatus();
  }

 private:
  absl::Status tooMany() {
    if (scan_.problems.empty()) {
      scan_.problems.push_back(sentence(absl::StrCat(root_, " is read only in part"),
                                        absl::StrCat("it has more than ", kScanFilesMax, " files"),
                                        "`pip cache purge` empties it"));
    }
    return absl::OkStatus();
  }

  const std::string root_;
  RepoScan& scan_;
  size_t entries_ = 0;
};

}  // namespace

bool isWheelOrMetadata(int fd, uint64_t size) {
  if (size <= kInlineBlobBytesMax && readUpTo(fd, 0, kMetadataStart.size()) == kMetadataStart) {
    return true;
  }
  if (size < 22 || readUpTo(fd, 0, kFileMagic.size()) != kFileMagic) return false;
  const uint64_t count = std::min<uint64_t>(size, kPipTailBytes);
  const std::string tail = readUpTo(fd, size - count, count);
  const size_t end = absl::string_view(tail).rfind(kEndMagic);
  if (end == absl::string_view::npos) return false;
  // The archive's directory ends here; what describes the package stands last in it.
  return absl::StrContains(absl::string_view(tail).substr(0, end), ".dist-info/WHEEL");
}

absl::StatusOr<RootScan> scanPipRoot(const std::string& root, const HubOrigin& origin) {
  ROOST_ASSIGN_OR_RETURN(const RealFolder real, realFolder(root));
  ROOST_ASSIGN_OR_RETURN(const DirectoryReader directory,
                         DirectoryReader::open(AT_FDCWD, real.path));
  RootScan scan;
  scan.realPath = real.path;
  scan.kind = real.kind;
  ROOST_ASSIGN_OR_RETURN(scan.directory.mark, markOf(directory.fd(), MarkScope::kNames, root));
  if (directory.look(kPipHttpFolder)) {
    ROOST_ASSIGN_OR_RETURN(RepoId repo, RepoId::make(origin, RepoType::kModel, kPipHttpFolder));
    scan.repos.push_back(std::move(repo));
  }
  return scan;
}

absl::StatusOr<RepoScan> PipCacheReader::scan(const std::string& root, const RepoId& repo) {
  ROOST_ASSIGN_OR_RETURN(const RealFolder real, realFolder(root));
  ROOST_ASSIGN_OR_RETURN(const DirectoryReader top, DirectoryReader::open(AT_FDCWD, real.path));
  RepoScan scan{.repo = repo};
  std::map<std::string, Looked> looked;
  const auto body = [&](const DirectoryReader& directory, const std::string& name,
                        const std::string& place) {
    const std::string head = name.substr(0, name.size() - kPipBodySuffix.size());
    const auto info = directory.look(name);
    if (!info || !S_ISREG(info->st_mode) || !directory.look(head)) return;
    const FileStamp stamp = FileStamp::of(*info);
    const auto known = looked_.find(place);
    bool shown = known != looked_.end() && known->second.shown;
    if (known == looked_.end() || known->second.stamp != stamp) {
      const UniqueFd fd(openat(directory.fd(), name.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
      shown = fd && isWheelOrMetadata(fd.get(), static_cast<uint64_t>(info->st_size));
    }
    looked.emplace(place, Looked{stamp, shown});
    if (shown) scan.copies.push_back({place, std::nullopt, stamp});
  };
  ROOST_RETURN_IF_ERROR(
      Scan(real.path, scan).walk(top.fd(), kPipHttpFolder, kPipHttpFolder, 0, body));
  looked_ = std::move(looked);
  return scan;
}

}  // namespace roost
