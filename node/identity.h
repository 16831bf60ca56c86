// Who this agent is: the node id, made once in the state folder, and its epoch, one more at each
// start.
//
// The id file is locked while the agent lives, so that a second agent on the same state folder says
// so and exits. Ownership: the Identity holds the lock. Threads: made at start, then immutable.
// Errors: kFailedPrecondition if another agent has the folder, kPermissionDenied and
// kResourceExhausted from the file system.
#ifndef ROOST_NODE_IDENTITY_H_
#define ROOST_NODE_IDENTITY_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "protocol/node_id.h"

namespace roost {

class Identity {
 public:
  // Makes the folder (mode 0700) and the id if they are not there, and raises the epoch, durably.
  static absl::StatusOr<Identity> claim(const std::string& stateDir);
  Identity(Identity&& other) noexcept;
  Identity& operator=(Identity&&) = delete;
  ~Identity();

  const NodeId& id() const { return id_; }
  uint64_t epoch() const { return epoch_; }

 private:
  Identity(NodeId id, uint64_t epoch, int lock) : id_(id), epoch_(epoch), lock_(lock) {}
  NodeId id_;
  uint64_t epoch_;
  int lock_;  // descriptor of the locked file
};

}  // namespace roost

#endif  // ROOST_NODE_IDENTITY_H_
