// The files of representations: the agent's own folder, to which it alone writes, and files of
// other programs in watched roots.
//
// Own: <root>/<first 2 hex>/<key>.safetensors. Large values are written under another name and
// renamed; small ones under their own, because a rename costs more than all else (0.5 ms on ext4):
// they count once their row is in the index, and half a file without a row is removed at the next
// start. Nothing is synced: this is a cache. What a power cut leaves is found by its size or, when
// it is read, by its hash.
//
// Threads: any; blocking. Errors: errnoStatus(); kResourceExhausted no room; kDataLoss the content
// is not what it was; kInvalidArgument no safetensors file, or one without provenance.
#ifndef ROOST_CACHE_REPRESENTATION_FILES_H_
#define ROOST_CACHE_REPRESENTATION_FILES_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "cache/disk_space.h"
#include "cache/file_stamp.h"
#include "cache/hasher.h"
#include "cache/representation_keys.h"
#include "cache/safe_dir.h"
#include "cache/safetensors.h"

namespace roost {

// A value on its way into the agent's folder. Destroyed before publish() it leaves nothing.
class RepresentationWriter {
 public:
  // `size` of the whole, where it is known: then there is room for it.
  static absl::StatusOr<std::unique_ptr<RepresentationWriter>> open(
      const SafeDir& root, const RepresentationKey& key, std::optional<uint64_t> size,
      std::shared_ptr<Reservations> reservations);
  ~RepresentationWriter();

  absl::Status write(absl::Span<const uint8_t> bytes);  // what comes next
  uint64_t bytes() const { return bytes_; }
  // Once, after the last byte. kInvalidArgument if they are more or fewer than was said.
  absl::StatusOr<BlobHashes> finish();
  absl::StatusOr<Safetensors> check() const;
  // Gives it its name; another file of that name is replaced.
  absl::StatusOr<FileStamp> publish();

 private:
  RepresentationWriter(SafeDir folder, const RepresentationKey& key, std::string temporary,
                       UniqueFd file, std::optional<uint64_t> size,
                       std::shared_ptr<Reservations> reservations);
  absl::Status makeRoom(uint64_t more);

  SafeDir folder_;
  const RepresentationKey key_;
  std::string temporary_;
  UniqueFd file_;
  const std::optional<uint64_t> size_;
  BlobHasher hasher_;
  const std::shared_ptr<Reservations> reservations_;
  Reservation room_;
  uint64_t bytes_ = 0;
};

// A small value, in one call; another file of that name is removed first.
absl::StatusOr<FileStamp> writeRepresentation(const SafeDir& root, const RepresentationKey& key,
                                              absl::string_view value,
                                              std::shared_ptr<Reservations> reservations);
void removeRepresentation(const SafeDir& root, const RepresentationKey& key);
std::string ownRepresentationPath(const std::string& root, const RepresentationKey& key);

// What lies in the agent's own folder. What was not finished, and what does not belong there, is
// removed.
struct OwnRepresentationFile {
  RepresentationKey key;
  FileStamp stamp;
};
std::vector<OwnRepresentationFile> listOwnRepresentations(const SafeDir& root);

// The whole of a file that was hashed before, hashed again: kAborted if its stamp is another,
// kDataLoss if its content is. At most kRepresentationBundleBytesMax.
absl::StatusOr<std::string> readRepresentation(const std::string& path, const BlobInfo& blob,
                                               const FileStamp& stamp);

// A file that carries its own provenance.
struct FoundRepresentation {
  Provenance provenance;
  FileHashes file;
  uint64_t size = 0;
};
absl::StatusOr<FoundRepresentation> examineRepresentation(const std::string& path,
                                                          const std::atomic<bool>* cancelled);

// Files that may be shared below a watched folder, and the folders that were read: links are not
// followed; names that begin with a dot, and those of unfinished files, are passed over.
struct RepresentationListing {
  struct File {
    std::string path;
    FileStamp stamp;
  };
  struct Folder {
    std::string path;
    int64_t mtimeNs = 0;  // before it was read
  };
  std::vector<File> files;
  std::vector<Folder> folders;
  std::vector<std::string> problems;
};
// With all folders below, but for those that are known: path → time when they were read.
using KnownFolders = std::map<std::string, int64_t>;
void listRepresentations(const std::string& folder, const KnownFolders& known,
                         RepresentationListing& listing);
// 0 if it is gone.
int64_t folderTime(const std::string& path);

}  // namespace roost

#endif  // ROOST_CACHE_REPRESENTATION_FILES_H_
