// What this node tells others to dial: --advertise resolved against its interfaces.
//
// Threads: any; asks the kernel. Errors: kInvalidArgument naming the entry that matches no address.
#ifndef ROOST_NODE_LISTEN_ADDRESSES_H_
#define ROOST_NODE_LISTEN_ADDRESSES_H_

#include <vector>

#include "absl/status/statusor.h"
#include "node/addresses.h"
#include "protocol/names.h"

namespace roost {

// Nothing to advertise: the listen address itself (peers that see 0.0.0.0 take the address they
// talk to).
absl::StatusOr<std::vector<Address>> advertisedAddresses(const std::vector<AdvertiseEntry>& entries,
                                                         const Address& listen);

}  // namespace roost

#endif  // ROOST_NODE_LISTEN_ADDRESSES_H_
