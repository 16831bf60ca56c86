// A request of a client and the answer to it, as values that go between the lane that owns the
// connection and `loop`, which decides.
//
// Threads: any (values), but BodyStream: the connection's lane.
#ifndef ROOST_NODE_ENDPOINT_HTTP_VALUES_H_
#define ROOST_NODE_ENDPOINT_HTTP_VALUES_H_

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace roost {

class UploadSource;

using HttpHeaders = std::vector<std::pair<std::string, std::string>>;

struct HttpAsk {
  std::string method;   // "GET"
  std::string target;   // as it came: "/org/name/resolve/main/a%20b?download=true"
  HttpHeaders headers;  // names in lower case
  std::string body;     // of what is answered here, up to kEndpointBodyBytesMax; otherwise:
  std::shared_ptr<UploadSource> upload = nullptr;  // upload_pipe.h; null: the request has no body

  const std::string* find(absl::string_view lowerName) const {
    for (const auto& [name, value] : headers) {
      if (name == lowerName) return &value;
    }
    return nullptr;
  }
};

// Takes a copy of a body that is sent, in order. Dropped before its end(): the body was cut.
//
// Threads: one at a time.
class BodyCopy {
 public:
  virtual ~BodyCopy() = default;
  // False: no more until whenRoom(), which may call on any thread.
  virtual bool put(absl::string_view bytes) = 0;
  virtual void whenRoom(std::function<void(bool)> call) = 0;
  virtual void end() = 0;
};

// The body of an answer that is larger than memory. Sends exactly the length that was promised, or
// fails: then the connection is cut, so that no client takes a part for the whole.
class BodyStream {
 public:
  virtual ~BodyStream() = default;
  virtual boost::asio::awaitable<absl::Status> send(boost::asio::ip::tcp::socket& socket) = 0;
  // Before send(): what it sends is given to `copy` too. False: not here, or an end of it could not
  // be told from a cut.
  virtual bool copyTo(std::shared_ptr<BodyCopy>) { return false; }
};

struct HttpAnswer {
  int status = 200;
  HttpHeaders headers = {};  // without Content-Length and Connection
  std::string body = {};
  std::shared_ptr<BodyStream> stream = nullptr;  // instead of `body`
  // Of the stream, or what HEAD says the body would have; absent: that of `body`, or for a stream
  // not known (then it is sent in chunks).
  std::optional<uint64_t> length = std::nullopt;
  bool hidesLength = false;  // the answer to a HEAD says nothing of it
};

// Answers a request; may be called on any lane, calls back on any thread, exactly once or never.
using HttpHandler = std::function<void(HttpAsk, std::function<void(HttpAnswer)>)>;

}  // namespace roost

#endif  // ROOST_NODE_ENDPOINT_HTTP_VALUES_H_
