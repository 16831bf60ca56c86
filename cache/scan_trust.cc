#include "cache/scan_trust.h"

#include <utility>

#include "protocol/errors.h"

namespace roost {

absl::StatusOr<std::vector<CopyTrust>> lookUpTrust(const RepoScan& scan, Index& index) {
  std::vector<CopyTrust> result(scan.copies.size());
  // One transaction: a repo of 100,000 files would otherwise take a read lock for each.
  ROOST_RETURN_IF_ERROR(index.inTransaction([&]() -> absl::Status {
    for (size_t i = 0; i < scan.copies.size(); ++i) {
      const ScannedCopy& copy = scan.copies[i];
      ROOST_ASSIGN_OR_RETURN(const std::optional<TrustRecord> record,
                             index.trustRecord(copy.stamp));
      if (!record) continue;
      const BlobId& claimed = copy.name ? *copy.name : record->claimed;
      const Trust trust = trustOf(*record, copy.stamp, claimed);
      if (trust == Trust::kUnknown || (trust == Trust::kWrong && !copy.name)) continue;
      result[i] = {trust, trust == Trust::kWrong ? BlobId::sha256(record->sha256) : claimed,
                   record->sha256};
    }
    return absl::OkStatus();
  }));
  return result;
}

TrustRecord recordOf(const VerifyJob& job, const CheckedCopy& result, absl::Time now) {
  const BlobId claimed = job.named ? job.expected.id : result.content;
  return {result.stamp, claimed, result.sha256, claimed != result.content, now};
}

}  // namespace roost
