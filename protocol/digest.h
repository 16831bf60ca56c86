// The SHA-256 of bytes that are in memory. Of files and of what comes in parts: cache/hasher.h.
//
// Threads: any (pure).
#ifndef ROOST_PROTOCOL_DIGEST_H_
#define ROOST_PROTOCOL_DIGEST_H_

#include <string>

#include "absl/strings/string_view.h"
#include "protocol/blob_id.h"

namespace roost {

Sha256 digestOf(absl::string_view bytes);
std::string sha256Hex(absl::string_view bytes);

}  // namespace roost

#endif  // ROOST_PROTOCOL_DIGEST_H_
