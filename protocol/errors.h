// Expected failures are absl::Status values. This header says what each code means here, how it
// becomes an exit code of the command line, and how a message is worded: what failed, why, what to
// do.
//
// Threads: any (values only).
#ifndef ROOST_PROTOCOL_ERRORS_H_
#define ROOST_PROTOCOL_ERRORS_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace roost {

// Exit codes of the command line. Stable: scripts rely on them.
enum class ExitCode : int {
  kOk = 0,
  kError = 1,
  kUsage = 2,
  kNotFound = 3,
  kNotAllowed = 4,
  kHubUnavailable = 5,
  kVerificationFailed = 6,
  kDiskFull = 7,
  kTimeout = 8,
  kNoAgent = 9,
  kPartial = 10,
};

// The one mapping:
//   kInvalidArgument → usage    kNotFound → not found        kPermissionDenied, kUnauthenticated →
//   not allowed kUnavailable → hub unavailable   kDataLoss → verification failed kResourceExhausted
//   → disk full kDeadlineExceeded → time-out     kFailedPrecondition → no agent    kOutOfRange →
//   partial   others → error
// kAborted is "busy, try again": it never leaves the cluster as a final answer.
ExitCode exitCodeOf(const absl::Status& status);

// "WHAT: WHY. TODO." with empty parts left out.
std::string sentence(absl::string_view what, absl::string_view why, absl::string_view todo);

// errno as "No space left on device (28)"; thread-safe.
std::string errnoText(int error);

// A Status for a failed system call on a path: ENOSPC and EDQUOT → kResourceExhausted, ENOENT →
// kNotFound, EACCES, EPERM and EROFS → kPermissionDenied, others → kInternal. `call` is what
// failed, such as "cannot rename".
absl::Status errnoStatus(int error, absl::string_view call, absl::string_view path);

}  // namespace roost

// ROOST_ASSIGN_OR_RETURN(auto x, f()): x = *f(), or returns its status. ROOST_RETURN_IF_ERROR(f()).
// In coroutines use the CO_ forms.
#define ROOST_CONCAT_INNER_(a, b) a##b
#define ROOST_CONCAT_(a, b) ROOST_CONCAT_INNER_(a, b)
#define ROOST_ASSIGN_OR_RETURN_(tmp, lhs, expr, ret) \
  auto tmp = (expr);                                 \
  if (!tmp.ok()) ret std::move(tmp).status();        \
  lhs = *std::move(tmp)
#define ROOST_ASSIGN_OR_RETURN(lhs, expr) \
  ROOST_ASSIGN_OR_RETURN_(ROOST_CONCAT_(status_or_, __LINE__), lhs, expr, return )
#define ROOST_CO_ASSIGN_OR_RETURN(lhs, expr) \
  ROOST_ASSIGN_OR_RETURN_(ROOST_CONCAT_(status_or_, __LINE__), lhs, expr, co_return )
#define ROOST_RETURN_IF_ERROR_(tmp, expr, ret) \
  if (auto tmp = (expr); !tmp.ok()) ret tmp
#define ROOST_RETURN_IF_ERROR(expr) \
  ROOST_RETURN_IF_ERROR_(ROOST_CONCAT_(status_, __LINE__), expr, return )
#define ROOST_CO_RETURN_IF_ERROR(expr) \
  ROOST_RETURN_IF_ERROR_(ROOST_CONCAT_(status_, __LINE__), expr, co_return )

#endif  // ROOST_PROTOCOL_ERRORS_H_
