// Which of several failures to tell: the one that somebody has to act on first.
//
// Threads: any (pure).
#ifndef ROOST_CLUSTER_SEVERITY_H_
#define ROOST_CLUSTER_SEVERITY_H_

#include "absl/status/status.h"

namespace roost {

inline int severity(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kOk:
      return 0;
    case absl::StatusCode::kOutOfRange:
      return 1;
    case absl::StatusCode::kCancelled:
      return 2;
    case absl::StatusCode::kNotFound:
      return 4;
    case absl::StatusCode::kDeadlineExceeded:
      return 5;
    case absl::StatusCode::kUnavailable:
      return 6;
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kUnauthenticated:
      return 7;
    case absl::StatusCode::kResourceExhausted:
      return 8;
    case absl::StatusCode::kDataLoss:
      return 9;
    default:
      return 3;
  }
}

// The first one of two equally bad ones.
inline const absl::Status& worse(const absl::Status& a, const absl::Status& b) {
  return severity(b.code()) > severity(a.code()) ? b : a;
}

}  // namespace roost

#endif  // ROOST_CLUSTER_SEVERITY_H_
