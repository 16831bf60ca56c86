// What a folder stands on: the kind of its file system, and a name of the physical folder that is
// equal for all agents that see the same files.
//
// Threads: any. All of it may block for as long as a dead mount does: a worker's job.
#ifndef ROOST_CACHE_FILE_SYSTEM_H_
#define ROOST_CACHE_FILE_SYSTEM_H_

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "protocol/node_id.h"

namespace roost {

enum class FileSystemKind : uint8_t {
  kLocal,      // disks and memory of this machine: inotify sees every change
  kShared,     // NFS, Lustre, SMB …: other machines change it unseen
  kUserSpace,  // FUSE, 9p: may be either; inotify cannot be relied on
};

// By statfs f_type (linux/magic.h and the file systems' own sources). Unknown ones are local.
FileSystemKind fileSystemKindOf(uint64_t type);

struct RealFolder {
  std::string path;  // without symlinks
  FileSystemKind kind = FileSystemKind::kLocal;
  dev_t device = 0;
  ino_t inode = 0;
  uint64_t fileSystemId = 0;  // statfs f_fsid; 0 on some network file systems
};

// kNotFound, kPermissionDenied, or kFailedPrecondition if it is not a folder.
absl::StatusOr<RealFolder> realFolder(absl::string_view path);

// Equal names mean the same folder, so that one agent hashes and publishes for all. On this
// machine's own file systems: the kernel's boot id, device and inode, hence equal in all containers
// of the machine and nowhere else. On a shared one: what is mounted ("server:/export"),
// file-system id and inode; agents that mount it by different names don't know each other there and
// do the work twice, which `store = NAME` cures. FUSE counts as local: its mounts often call
// themselves all the same.
std::optional<StoreId> storeIdOf(const RealFolder& folder);

// Equal for all agents that see the same file system, with the same exceptions; empty: none.
std::string fileSystemNameOf(const RealFolder& folder);

}  // namespace roost

#endif  // ROOST_CACHE_FILE_SYSTEM_H_
