// Reads pip's HTTP cache (pip >= 23.3, pip/_internal/network/cache.py):
//   <root>/http-v2/0/9/b/a/8/09ba82d1….body   what was downloaded, as it came
//                            09ba82d1…        its headers; an entry counts when both are there
// The URL of an entry is not kept, and a body is a wheel if it is a zip with a *.dist-info/WHEEL,
// and a wheel's metadata (PEP 658) if it begins like one: such a file is what its sha256 says,
// whoever asks for it. Anything else (index pages, source archives) is left alone, and so are http/
// of older versions, whose bodies lie inside of other files, and wheels/, which were built on this
// machine.
//
// Shown as one repo folder without names: RepoScan::copies with places below the root. Threads:
// any, one scan of a root at a time; blocks.
#ifndef ROOST_CACHE_PIP_CACHE_H_
#define ROOST_CACHE_PIP_CACHE_H_

#include <cstdint>
#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cache/folder_scan.h"
#include "protocol/names.h"

namespace roost {

inline constexpr char kPipHttpFolder[] = "http-v2";
inline constexpr absl::string_view kPipBodySuffix = ".body";
inline constexpr size_t kPipFolderLevels = 5;         // of folders with one hexadecimal digit
inline constexpr uint64_t kPipTailBytes = 256 << 10;  // of a zip; its directory ends there

// One repo if the cache has entries, under a name of no meaning. `origin`: the index.
absl::StatusOr<RootScan> scanPipRoot(const std::string& root, const HubOrigin& origin);

// True for an open file of that size that is a wheel, by its directory, or a wheel's metadata: at
// most kPipTailBytes are read.
bool isWheelOrMetadata(int fd, uint64_t size);

class PipCacheReader {
 public:
  // Every wheel, and metadata of wheels; those that were looked at before are not opened again.
  absl::StatusOr<RepoScan> scan(const std::string& root, const RepoId& repo);

 private:
  struct Looked {
    FileStamp stamp;
    bool shown = false;
  };
  std::map<std::string, Looked> looked_;  // by place
};

}  // namespace roost

#endif  // ROOST_CACHE_PIP_CACHE_H_
