// What the index remembers of the copies that a scan found.
//
// Threads: the index's owner (a worker); blocks.
#ifndef ROOST_CACHE_SCAN_TRUST_H_
#define ROOST_CACHE_SCAN_TRUST_H_

#include <vector>

#include "absl/status/statusor.h"
#include "cache/folder_scan.h"
#include "cache/index.h"
#include "cache/inventory.h"

namespace roost {

// One entry per copy of the scan, in its order: for Inventory::apply().
absl::StatusOr<std::vector<CopyTrust>> lookUpTrust(const RepoScan& scan, Index& index);

// The record to remember after hashing a copy. A copy without a name is remembered by what it is.
TrustRecord recordOf(const VerifyJob& job, const CheckedCopy& result, absl::Time now);

}  // namespace roost

#endif  // ROOST_CACHE_SCAN_TRUST_H_
