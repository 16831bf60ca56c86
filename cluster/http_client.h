// HTTP requests as values, answers by callback: libcurl's multi interface on one thread of its own.
//
// Redirects are never followed here: the caller sees each answer's headers, and decides where a
// token may go. A credential is bound to an origin; a request to any other origin goes without it,
// whatever the caller did. Nothing of a credential reaches a status, a header or a body that is
// handed out, even if the server repeats it.
//
// Threads: one (`hub`), owned by the client. All public functions may be called from any thread;
// every callback runs on the hub thread, and must not block it. Proxies come from the usual
// environment variables (libcurl's rules), with their users and passwords, which no text repeats.
// Errors: kUnavailable (no connection, broken off), kDeadlineExceeded (time-outs), kCancelled,
// kAborted (queue full), kInternal (answer over its limit), kInvalidArgument (URL not
// usable). An HTTP status such as 404 is not an error here.
#ifndef ROOST_CLUSTER_HTTP_CLIENT_H_
#define ROOST_CLUSTER_HTTP_CLIENT_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "cache/hub_token.h"
#include "protocol/limits.h"

namespace roost {

enum class HttpRequestId : uint64_t {};
enum class HttpMethod { kGet, kHead };

// Status line and headers of one response.
struct HttpHead {
  int status = 0;                                            // 0: none came
  std::vector<std::pair<std::string, std::string>> headers;  // names in lower case
  const std::string* find(absl::string_view lowerName) const;
};

// First and last byte, both included.
struct HttpRange {
  uint64_t first = 0;
  uint64_t last = 0;
};

// A token, and the only origin (scheme://host:port of webOrigin) it may be sent to. Of the scheme
// "Basic" it is "user:password" in base64.
struct HttpCredential {
  Token token;
  std::string origin;
  std::string scheme = "Bearer";
};

enum class BodyAction {
  kTaken,
  kPause,  // nothing was taken; the same bytes come again after resume()
  kStop,   // the request ends with kCancelled
};

// A request's body that is larger than memory. Its source is asked on the hub thread; after kWait
// it is asked again once resume() was called.
struct HttpUpload {
  enum class Has { kBytes, kWait, kEnd, kStop };  // kStop: the request ends with kCancelled
  struct Read {
    Has has = Has::kWait;
    size_t size = 0;  // of kBytes, at least 1
  };
  std::function<Read(char* to, size_t room)> read;
  std::optional<uint64_t> length;  // none: sent in chunks
  bool asksFirst = false;          // Expect: 100-continue; nothing is read before the server agrees
};

struct HttpRequest {
  HttpMethod method = HttpMethod::kGet;
  std::string verb;                   // another method, such as POST, instead of `method`
  std::optional<std::string> upload;  // its body, or
  std::optional<HttpUpload> stream;
  std::string url;
  std::vector<std::pair<std::string, std::string>> headers;  // no secrets
  std::optional<HttpCredential> credential;
  std::optional<HttpRange> range;

  // Gets the body as it comes. Absent: the body is kept, up to bodyBytesMax after decompression.
  std::function<BodyAction(const HttpHead& head, absl::string_view bytes)> onBody;
  size_t bodyBytesMax = 1 << 20;
  bool mayCompress = false;

  // HTTP/1.1 only: with HTTP/2 parallel ranges would share one TCP connection and its rate.
  bool ownConnection = false;

  absl::Duration connectTimeout = kHttpConnectTimeout;
  absl::Duration stallTimeout = kHubStallTimeout;  // whole seconds, at least 1
  absl::Duration totalTimeout = absl::InfiniteDuration();
};

struct HttpResult {
  absl::Status status;  // of the transport: ok if a whole response came
  HttpHead head;
  std::string body;
};
using HttpDone = std::function<void(HttpResult)>;

class HttpClient {
 public:
  struct Options {
    std::string caFile;  // PEM, trusted besides the system's; empty: none
    std::string userAgent = "roost/" ROOST_VERSION;
    size_t transfersMax = kHttpTransfersMax;
    size_t queueMax = kHttpQueueMax;
  };
  explicit HttpClient(Options options);
  ~HttpClient();  // ends every request with kCancelled, drops timers and posts; not on the hub
                  // thread

  // `done` is called exactly once, never from inside start().
  HttpRequestId start(HttpRequest request, HttpDone done);
  void cancel(HttpRequestId id);
  void resume(HttpRequestId id);

  // Runs `job` on the hub thread, in order, never from inside the call. False (and `job` dropped)
  // once the client is being destroyed.
  bool post(std::function<void()> job);
  void after(absl::Duration delay, std::function<void()> job);
  bool onThread() const;

 private:
  class Loop;
  std::unique_ptr<Loop> loop_;
};

}  // namespace roost

#endif  // ROOST_CLUSTER_HTTP_CLIENT_H_
