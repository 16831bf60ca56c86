// The file into which a client of this node downloads a blob itself, beside the place where it will
// be: "<etag>.<8 hex>.incomplete", "<etag>.incomplete", "<etag>.part", "<etag>.downloadInProgress"
// (docs/internals/clients.md). What is in it is anybody's guess until it was compared.
//
// The open descriptor keeps the content while we need it, also when the client renames or deletes
// the file.
//
// Threads: any; blocking. Ownership: of the descriptor.
#ifndef ROOST_CACHE_CLIENT_COPY_H_
#define ROOST_CACHE_CLIENT_COPY_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/time/time.h"
#include "cache/safe_dir.h"
#include "cache/unique_fd.h"
#include "protocol/blob_id.h"

namespace roost {

class ClientCopy {
 public:
  struct State {
    uint64_t size = 0;  // bytes
    absl::Time changed;
    bool named = true;  // the file has a name still
  };

  // The one that was written last, if that was after `since`: older ones were left by clients that
  // are gone.
  static std::optional<ClientCopy> find(const SafeDir& blobs, const BlobId& blob, absl::Time since);

  std::optional<State> look() const;
  bool isSameFile(const ClientCopy& other) const;

  int fd() const { return fd_.get(); }
  const std::string& path() const { return path_; }  // it had; for error texts

 private:
  ClientCopy(UniqueFd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}
  UniqueFd fd_;
  std::string path_;
};

}  // namespace roost

#endif  // ROOST_CACHE_CLIENT_COPY_H_
