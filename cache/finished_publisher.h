// What all share that make finished directories and trees visible (datasets_publisher.h,
// tree_publisher.h): what they are given, what they did, and where blobs are written until then.
//
// Threads: any, one call of show() at a time; blocking. Errors: errnoStatus(); kAborted a client is
// at work there, and nothing is lost: try again; kNotFound content is not in the staging folder;
// kPermissionDenied for symlinks where folders belong.
#ifndef ROOST_CACHE_FINISHED_PUBLISHER_H_
#define ROOST_CACHE_FINISHED_PUBLISHER_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "cache/blob_link.h"
#include "cache/safe_dir.h"
#include "cache/staging.h"
#include "protocol/manifest.h"

namespace roost {

// A file that came to its place with all that was known of it.
struct PlacedFile {
  BlobId blob;
  FileStamp before;  // in the staging folder
  FileStamp after;
};

struct ShownFinished {
  std::vector<PlacedFile> placed;
  std::vector<std::string> leftAlone;  // sentences: directories of other content
};

// What this node knows of its own files.
struct KnownFiles {
  std::map<BlobId, LinkSource> elsewhere;  // verified, and to be copied if not staged
  std::map<std::string, FileStamp> right;  // by path: verified to be what the listing says
};

// One file of a directory that is put together.
struct FinishedFile {
  const FileEntry* entry = nullptr;
  std::string name;
  bool last = false;  // nobody behind it needs the same content: it is moved, not copied
};
// Of directories, in the order in which they are put together.
void markLast(absl::Span<std::vector<FinishedFile>* const> directories);

absl::StatusOr<FileStamp> stampOf(const SafeDir& folder, const std::string& name);

class FinishedPublisher {
 public:
  virtual ~FinishedPublisher() = default;
  virtual const Staging& staging() const = 0;
  // All of the listing. `refs` tell when directories were written. What is left over in the staging
  // folder goes.
  virtual absl::StatusOr<ShownFinished> show(const Listing& listing,
                                             const std::vector<RefState>& refs,
                                             const KnownFiles& known) const = 0;
};

// Whether the file of that name has the content of `file`. An error if it is no regular file, or is
// gone.
absl::StatusOr<bool> isSame(const SafeDir& there, const std::string& name, const FileEntry& file,
                            const KnownFiles& known);

}  // namespace roost

#endif  // ROOST_CACHE_FINISHED_PUBLISHER_H_
