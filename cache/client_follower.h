// Looks, beside the writer of a blob, whether a client of this node downloads the same blob into
// the same cache, and lets the writer share the work with it while it does.
//
// A client is at work while it holds its lock on the blob, or, for clients without one, while its
// file was written to in the last 10 s. One that gives up leaves what it has to us: the open
// descriptor keeps it until the writer has gathered it.
//
// Threads: those of the writer, one at a time; blocking.
#ifndef ROOST_CACHE_CLIENT_FOLLOWER_H_
#define ROOST_CACHE_CLIENT_FOLLOWER_H_

#include <cstdint>

#include "absl/time/time.h"
#include "cache/blob_slot.h"
#include "cache/blob_writer.h"
#include "cache/safe_dir.h"
#include "protocol/names.h"

namespace roost {

class ClientFollower {
 public:
  ClientFollower(SafeDir hubRoot, RepoId repo, BlobSlot slot);

  // Before there is a writer.
  bool clientAtWork(absl::Time now) const;

  struct Seen {
    bool shared = false;   // with a client that is at work
    uint64_t settled = 0;  // pieces from 0 on that are in its file
    bool lost = false;     // pieces are gone: the writer must begin again
  };
  // `waiting`: all that is left to do is to wait for the client; one that neither goes on nor ends
  // for 5 s is waited for no longer.
  Seen look(BlobWriter& writer, bool waiting, absl::Time now);

 private:
  void follow(BlobWriter& writer, absl::Time now);
  bool isGone(const BlobWriter& writer, bool waiting, absl::Time now);

  const SafeDir root_;
  const RepoId repo_;
  const BlobSlot slot_;
  uint64_t sizeSeen_ = 0;
  absl::Time grew_ = absl::InfinitePast();
};

}  // namespace roost

#endif  // ROOST_CACHE_CLIENT_FOLLOWER_H_
