// Finding files that must lie inside a folder, whatever links say.
//
// Threads: any; blocks as long as the file system does.
#ifndef ROOST_CACHE_BENEATH_H_
#define ROOST_CACHE_BENEATH_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cache/unique_fd.h"

namespace roost {

struct FoundBeneath {
  UniqueFd handle;   // O_PATH: nothing was opened for reading, a FIFO or device does no harm
  std::string path;  // below the folder, without links
};

// Follows the links of folder/path. `realFolder` must be free of links itself. kNotFound if a link
// is broken or turns in circles, kPermissionDenied if the end lies outside.
absl::StatusOr<FoundBeneath> findBeneath(const std::string& realFolder, absl::string_view path);

}  // namespace roost

#endif  // ROOST_CACHE_BENEATH_H_
