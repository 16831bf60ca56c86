// huggingface_hub refuses to download a file of more than 50 GB over plain HTTP if it knows the
// size before it asks for the bytes. Since version 1 it needs no size: it reads to the end of a
// chunked body, and a body that ends early is an error all the same. So for these files it is not
// told. Older versions need a size, and end with their own error; all other clients have no such
// limit.
//
// Threads: any, but the body's send(): the connection's lane.
#ifndef ROOST_NODE_ENDPOINT_LARGE_FILES_H_
#define ROOST_NODE_ENDPOINT_LARGE_FILES_H_

#include <cstdint>

#include "node/endpoint/http_values.h"

namespace roost {

// Whether this client would refuse a whole file of `size`, and does without the size. `most`:
// kHttpFileBytesMax.
bool refusesKnownSize(const HttpAsk& ask, uint64_t size, uint64_t most);

// The same answer with the whole body in one chunk, whose size comes after the head.
HttpAnswer withoutLength(HttpAnswer answer);

}  // namespace roost

#endif  // ROOST_NODE_ENDPOINT_LARGE_FILES_H_
