// kj::Exception ↔ absl::Status: where KJ's errors become ours, and back.
//
// DISCONNECTED ↔ kUnavailable, OVERLOADED ↔ kAborted, UNIMPLEMENTED ↔ kUnimplemented; FAILED
// becomes kInternal, and every other code becomes FAILED. Texts come from peers: control bytes are
// removed and the length is limited.
//
// Threads: any (values only).
#ifndef ROOST_PROTOCOL_KJ_STATUS_H_
#define ROOST_PROTOCOL_KJ_STATUS_H_

#include <kj/exception.h>

#include "absl/status/status.h"

namespace roost {

absl::Status statusOf(const kj::Exception& exception);
kj::Exception kjExceptionOf(const absl::Status& status);  // status is not ok

}  // namespace roost

#endif  // ROOST_PROTOCOL_KJ_STATUS_H_
