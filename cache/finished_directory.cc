#include "cache/finished_directory.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "absl/strings/str_cat.h"
#include "protocol/digest.h"
#include "protocol/errors.h"

namespace roost {
Commit finishedCommit(absl::Span<const FileEntry> files) {
  std::string text;
  for (const FileEntry& file : files) {
    absl::StrAppend(&text, file.path.text(), absl::string_view("\0", 1), file.blob.size,
                    absl::string_view("\0", 1), file.blob.id.toString(),
                    file.executable ? absl::string_view("\0x", 2) : "", "\n");
  }
  return *Commit::parse(sha256Hex(text).substr(0, 40));
}

bool isFinishedListing(const Listing& listing) {
  const bool named =
      std::all_of(listing.files.begin(), listing.files.end(), [](const FileEntry& file) {
        return file.blob.id.algorithm() == HashAlgorithm::kSha256 && !file.pointer &&
               !file.observedAs;
      });
  return named && listing.complete && !listing.files.empty() &&
         finishedCommit(listing.files) == listing.commit;
}

absl::Status renameIntoPlace(const SafeDir& from, const std::string& name, const SafeDir& to,
                             const std::string& finalName) {
  const int moved =
      ::renameat2(from.fd(), name.c_str(), to.fd(), finalName.c_str(), RENAME_NOREPLACE);
  int error = moved == 0 ? 0 : errno;
  if (error == EINVAL || error == ENOSYS || error == EOPNOTSUPP) {
    // NFS. rename() never replaces a directory that has something in it.
    ROOST_ASSIGN_OR_RETURN(const auto there, to.look(finalName));
    if (there) return absl::AlreadyExistsError(to.pathOf(finalName) + " exists");
    const int renamed = ::renameat(from.fd(), name.c_str(), to.fd(), finalName.c_str());
    error = renamed == 0 ? 0 : errno;
  }
  if (error == EEXIST || error == ENOTEMPTY) {
    return absl::AlreadyExistsError(to.pathOf(finalName) + " exists");
  }
  if (error != 0) return errnoStatus(error, "cannot publish", to.pathOf(finalName));
  return absl::OkStatus();
}

absl::Status moveIntoPlace(const SafeDir& from, const std::string& name, const SafeDir& to,
                           const std::string& finalName) {
  ROOST_RETURN_IF_ERROR(renameIntoPlace(from, name, to, finalName));
  ROOST_RETURN_IF_ERROR(to.sync());
  return from.sync();
}

}  // namespace roost
