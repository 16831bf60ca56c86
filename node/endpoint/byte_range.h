// The Range header of a request (RFC 9110, 14.2), for one file.
//
// Threads: any (pure).
#ifndef ROOST_NODE_ENDPOINT_BYTE_RANGE_H_
#define ROOST_NODE_ENDPOINT_BYTE_RANGE_H_

#include <cstdint>

#include "absl/strings/string_view.h"

namespace roost {

struct ByteRange {
  enum class Kind {
    kWhole,          // no range, or one that is to be ignored: other units, several, malformed
    kPart,           // [first, end)
    kUnsatisfiable,  // begins at or after the end: 416
  };
  Kind kind = Kind::kWhole;
  uint64_t first = 0;
  uint64_t end = 0;
};

// `header`: the value, "" without one. An empty file has no satisfiable range, but clients ask for
// bytes=0-0 of every file to learn its size, and break on 416: they get the whole of nothing.
ByteRange byteRange(absl::string_view header, uint64_t size);

}  // namespace roost

#endif  // ROOST_NODE_ENDPOINT_BYTE_RANGE_H_
