// The locks that Python clients hold while they write, with flock(LOCK_EX). They are only ever
// tried, held for the moment of a publish, and never unlinked (filelock/_unix.py,
// huggingface_hub/utils/_fixes.py). Of a blob that is downloaded:
// <hub>/.locks/<repo folder>/<etag>.lock
//
// Threads: any; does not wait. Errors: errnoStatus().
#ifndef ROOST_CACHE_CLIENT_LOCK_H_
#define ROOST_CACHE_CLIENT_LOCK_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cache/safe_dir.h"
#include "cache/unique_fd.h"
#include "protocol/blob_id.h"
#include "protocol/names.h"

namespace roost {

class ClientLock {
 public:
  enum class State : uint8_t {
    kHeld,         // ours until this object goes
    kTaken,        // a client is at work on this blob: try again later
    kUnsupported,  // no flock on this file system; clients use the file's existence there, so none
                   // was left behind
  };

  // `hubRoot` is the hub cache folder. Makes .locks and the repo's folder in it if absent.
  static absl::StatusOr<ClientLock> tryAcquire(const SafeDir& hubRoot, const RepoId& repo,
                                               const BlobId& blob);

  // Of any lock file.
  static absl::StatusOr<ClientLock> tryAcquire(const SafeDir& folder, const std::string& name);

  // A client holds it now, or the lock that Rust clients take beside the blob
  // (blobs/<etag>.lock). Looks without making anything or waiting; another's try in the same
  // moment may fail, and is repeated by every client.
  static bool isTaken(const SafeDir& hubRoot, const RepoId& repo, const BlobId& blob);

  State state() const { return state_; }
  // Publishing is fine: held, or nobody could hold it.
  bool mayPublish() const { return state_ != State::kTaken; }

 private:
  ClientLock(State state, UniqueFd fd) : state_(state), fd_(std::move(fd)) {}
  State state_;
  UniqueFd fd_;
};

}  // namespace roost

#endif  // ROOST_CACHE_CLIENT_LOCK_H_
