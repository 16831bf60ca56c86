// Replaces the hub's URLs by the agent's in JSON that passes by in parts: strings that begin with
// the hub's base URL, followed by "/" or their end. All else stays, byte by byte.
//
// Threads: any, one at a time. Memory: less than the base URL of what has passed.
#ifndef ROOST_NODE_ENDPOINT_URL_REWRITER_H_
#define ROOST_NODE_ENDPOINT_URL_REWRITER_H_

#include <string>

#include "absl/strings/string_view.h"

namespace roost {

class UrlRewriter {
 public:
  // Both without "/" at the end.
  UrlRewriter(absl::string_view from, absl::string_view to);

  // What can be told by now of what came.
  std::string next(absl::string_view bytes);
  // At the end: what was held back.
  std::string rest();

 private:
  std::string from_;  // with the quotation mark before it
  std::string to_;
  std::string held_;
};

}  // namespace roost

#endif  // ROOST_NODE_ENDPOINT_URL_REWRITER_H_
