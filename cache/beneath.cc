#include "cache/beneath.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <climits>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "protocol/errors.h"

namespace roost {

absl::StatusOr<FoundBeneath> findBeneath(const std::string& realFolder, absl::string_view path) {
  const std::string full = absl::StrCat(realFolder, "/", path);
  FoundBeneath found;
  found.handle = UniqueFd(open(full.c_str(), O_PATH | O_CLOEXEC));
  if (!found.handle) {
    const int error = errno == ELOOP || errno == ENOTDIR ? ENOENT : errno;
    return errnoStatus(error, "cannot find", full);
  }
  // The kernel's own word on where the links led, for the very file that is now held open.
  const std::string self = absl::StrCat("/proc/self/fd/", found.handle.get());
  char real[PATH_MAX];
  const ssize_t length = readlink(self.c_str(), real, sizeof(real));
  if (length < 0) return errnoStatus(errno, "cannot find", full);
  absl::string_view where(real, static_cast<size_t>(length));
  const std::string inside = absl::EndsWith(realFolder, "/") ? realFolder : realFolder + "/";
  if (!absl::StartsWith(where, inside)) {
    return absl::PermissionDeniedError(
        sentence(absl::StrCat(full, " is not used"),
                 absl::StrCat("it leads to ", where, ", outside ", realFolder),
                 "Copy the file, or make its folder a root of its own"));
  }
  found.path = std::string(where.substr(inside.size()));
  return found;
}

}  // namespace roost
