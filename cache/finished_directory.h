// A directory that somebody finished, told of as one thing: the list of its files, whose commit is
// made of their content. So the same content at the same place has the same name on every node, and
// whoever gets a list can check that it is the one that was named. What kind of directory it is
// knows its layout (datasets_layout.h).
//
// Threads: any; moveIntoPlace() blocks. Errors: errnoStatus(); kAlreadyExists.
#ifndef ROOST_CACHE_FINISHED_DIRECTORY_H_
#define ROOST_CACHE_FINISHED_DIRECTORY_H_

#include <string>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "cache/safe_dir.h"
#include "protocol/manifest.h"
#include "protocol/names.h"

namespace roost {

// The first 40 hex digits of the sha256 over "<path>\0<size>\0<blob>\n" of each file, in the given
// order (by path); blob as in BlobId::toString(), and "\0x" after it if the file is executable.
Commit finishedCommit(absl::Span<const FileEntry> files);

// Complete, named by what it says, and by sha256 alone: what a holder of one may send of it.
bool isFinishedListing(const Listing& listing);

// Gives a synced file, or a directory with all its synced files, its final name in one step, and
// syncs both parents. kAlreadyExists if something has that name. To be called with the clients'
// locks held: on file systems without RENAME_NOREPLACE it looks first.
absl::Status moveIntoPlace(const SafeDir& from, const std::string& name, const SafeDir& to,
                           const std::string& finalName);
// The same without a sync.
absl::Status renameIntoPlace(const SafeDir& from, const std::string& name, const SafeDir& to,
                             const std::string& finalName);

}  // namespace roost

#endif  // ROOST_CACHE_FINISHED_DIRECTORY_H_
