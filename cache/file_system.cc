#include "cache/file_system.h"

#include <openssl/sha.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>

#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "protocol/blob_id.h"
#include "protocol/errors.h"

namespace roost {
namespace {

std::string firstLine(const char* path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// What is mounted under a device number: "server:/export" (proc(5), mountinfo).
std::string mountSource(dev_t device) {
  const std::string wanted = absl::StrCat(major(device), ":", minor(device));
  std::ifstream file("/proc/self/mountinfo");
  for (std::string line; std::getline(file, line);) {
    const std::vector<absl::string_view> fields = absl::StrSplit(line, ' ');
    if (fields.size() < 10 || fields[2] != wanted) continue;
    for (size_t i = 6; i + 2 < fields.size(); ++i) {
      if (fields[i] == "-") return absl::StrCat(fields[i + 1], " ", fields[i + 2]);
    }
  }
  return "";
}

// `kind:` and a hash, which tells nobody where things are mounted.
std::string nameFromText(absl::string_view kind, absl::string_view identity) {
  uint8_t digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const uint8_t*>(identity.data()), identity.size(), digest);
  return absl::StrCat(kind, ":", hexOf(absl::MakeConstSpan(digest, 16)));
}

// The file system's kind and what tells it from others; nothing if that cannot be known.
std::pair<absl::string_view, std::string> identityOf(const RealFolder& folder) {
  if (folder.kind == FileSystemKind::kShared) {
    const std::string source = mountSource(folder.device);
    if (source.empty() && folder.fileSystemId == 0) return {};
    return {"shared", absl::StrCat(source, " ", folder.fileSystemId)};
  }
  std::string machine = firstLine("/proc/sys/kernel/random/boot_id");
  if (machine.empty()) machine = firstLine("/etc/machine-id");
  if (machine.empty()) return {};
  return {"local", absl::StrCat(machine, " ", folder.device)};
}

}  // namespace

FileSystemKind fileSystemKindOf(uint64_t type) {
  switch (type) {
    case 0x6969:      // NFS
    case 0xff534d42:  // CIFS
    case 0xfe534d42:  // SMB 2
    case 0x517b:      // SMB
    case 0x0bd00bd0:  // Lustre
    case 0x00c36400:  // Ceph
    case 0x47504653:  // GPFS (Spectrum Scale)
    case 0x19830326:  // BeeGFS
    case 0x5346414f:  // AFS
    case 0x6b414653:  // kAFS
    case 0x73757245:  // Coda
    case 0x7461636f:  // OCFS2
    case 0x01161970:  // GFS2
    case 0xaad7aaea:  // PanFS
      return FileSystemKind::kShared;
    case 0x65735546:  // FUSE, also virtiofs
    case 0x01021997:  // 9p
      return FileSystemKind::kUserSpace;
    default:
      return FileSystemKind::kLocal;
  }
}

absl::StatusOr<RealFolder> realFolder(absl::string_view path) {
  const std::string named(path);
  char real[PATH_MAX];
  if (realpath(named.c_str(), real) == nullptr) return errnoStatus(errno, "cannot find", path);
  struct stat info {};
  struct statfs system {};
  if (stat(real, &info) != 0) return errnoStatus(errno, "cannot look at", path);
  if (!S_ISDIR(info.st_mode)) {
    return absl::FailedPreconditionError(absl::StrCat(path, " is not a folder"));
  }
  if (statfs(real, &system) != 0) return errnoStatus(errno, "cannot look at", path);
  RealFolder folder;
  folder.path = real;
  // f_type is signed on some machines: SMB's numbers would be extended.
  folder.kind = fileSystemKindOf(static_cast<uint32_t>(system.f_type));
  folder.device = info.st_dev;
  folder.inode = info.st_ino;
  static_assert(sizeof(system.f_fsid) == sizeof(folder.fileSystemId));
  std::memcpy(&folder.fileSystemId, &system.f_fsid, sizeof(folder.fileSystemId));
  return folder;
}

std::optional<StoreId> storeIdOf(const RealFolder& folder) {
  const auto [kind, identity] = identityOf(folder);
  if (identity.empty()) return std::nullopt;
  const auto id = StoreId::parse(nameFromText(kind, absl::StrCat(identity, " ", folder.inode)));
  if (!id.ok()) return std::nullopt;
  return *id;
}

std::string fileSystemNameOf(const RealFolder& folder) {
  const auto [kind, identity] = identityOf(folder);
  return identity.empty() ? "" : nameFromText(kind, identity);
}

}  // namespace roost
