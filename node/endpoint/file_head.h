// What the conditions and the range of a request for one file make of the head of its answer (RFC
// 9110, 13 and 14).
//
// Threads: any (pure).
#ifndef ROOST_NODE_ENDPOINT_FILE_HEAD_H_
#define ROOST_NODE_ENDPOINT_FILE_HEAD_H_

#include <cstdint>

#include "absl/strings/string_view.h"
#include "node/endpoint/byte_range.h"
#include "node/endpoint/http_values.h"

namespace roost {

// If-None-Match: the client has it already, and the answer becomes a 304.
bool hasAlready(const HttpAsk& ask, absl::string_view etag, HttpAnswer& answer);

// What Range asks for; all of it if the client has a part of something else (If-Range).
ByteRange askedRange(const HttpAsk& ask, absl::string_view etag, uint64_t size);

// The status, length and Content-Range of an answer to that.
void putRange(const ByteRange& range, uint64_t size, HttpAnswer& answer);

}  // namespace roost

#endif  // ROOST_NODE_ENDPOINT_FILE_HEAD_H_
