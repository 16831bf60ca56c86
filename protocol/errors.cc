#include "protocol/errors.h"

#include <cerrno>
#include <system_error>

#include "absl/strings/str_cat.h"

namespace roost {

ExitCode exitCodeOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return ExitCode::kOk;
    case absl::StatusCode::kInvalidArgument:
      return ExitCode::kUsage;
    case absl::StatusCode::kNotFound:
      return ExitCode::kNotFound;
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kUnauthenticated:
      return ExitCode::kNotAllowed;
    case absl::StatusCode::kUnavailable:
      return ExitCode::kHubUnavailable;
    case absl::StatusCode::kDataLoss:
      return ExitCode::kVerificationFailed;
    case absl::StatusCode::kResourceExhausted:
      return ExitCode::kDiskFull;
    case absl::StatusCode::kDeadlineExceeded:
      return ExitCode::kTimeout;
    case absl::StatusCode::kFailedPrecondition:
      return ExitCode::kNoAgent;
    case absl::StatusCode::kOutOfRange:
      return ExitCode::kPartial;
    default:
      return ExitCode::kError;
  }
}

std::string sentence(absl::string_view what, absl::string_view why, absl::string_view todo) {
  std::string text(what);
  if (!why.empty()) absl::StrAppend(&text, ": ", why);
  if (!todo.empty()) absl::StrAppend(&text, ". ", todo);
  return text;
}

std::string errnoText(int error) {
  return absl::StrCat(std::generic_category().message(error), " (", error, ")");
}

absl::Status errnoStatus(int error, absl::string_view call, absl::string_view path) {
  const std::string text = sentence(absl::StrCat(call, " ", path), errnoText(error), "");
  switch (error) {
    case ENOSPC:
    case EDQUOT:
      return absl::ResourceExhaustedError(text);
    case ENOENT:
    case ENOTDIR:
      return absl::NotFoundError(text);
    case EACCES:
    case EPERM:
    case EROFS:
      return absl::PermissionDeniedError(text);
    default:
      return absl::InternalError(text);
  }
}

}  // namespace roost
