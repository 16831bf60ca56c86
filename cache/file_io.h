// Whole reads and writes at an offset: short counts and interrupted calls are handled once, here.
//
// Threads: any; blocking. Errors: errnoStatus(); kDataLoss if the file ends early or the disk
// reports an I/O error on reading.
#ifndef ROOST_CACHE_FILE_IO_H_
#define ROOST_CACHE_FILE_IO_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace roost {

// Fills the buffer, or fails. `name` is for error texts.
absl::Status readFully(int fd, const std::string& name, uint64_t offset,
                       absl::Span<uint8_t> buffer);
absl::Status writeFully(int fd, const std::string& name, uint64_t offset,
                        absl::Span<const uint8_t> bytes);

// Copies a range to the same offset of another file, by the kernel where it can: with shared blocks
// if the file system can. kDataLoss if `from` ends early.
absl::Status copyFully(int from, const std::string& fromName, int to, const std::string& toName,
                       uint64_t offset, uint64_t count);

// As many bytes as there are, at most `count`; none if it cannot be read.
std::string readUpTo(int fd, uint64_t offset, uint64_t count);

// The whole of a small file; kOutOfRange if it is longer than `bytesMax`.
absl::StatusOr<std::string> readSmallFile(int fd, const std::string& name, size_t bytesMax);

// Lets the pages leave the page cache, those that are on the disk. A hint: nothing fails.
void dropCached(int fd, uint64_t offset, uint64_t bytes);

// fsync of a file or folder. File systems that cannot sync a folder (EINVAL) count as synced.
absl::Status syncFd(int fd, const std::string& name);

}  // namespace roost

#endif  // ROOST_CACHE_FILE_IO_H_
