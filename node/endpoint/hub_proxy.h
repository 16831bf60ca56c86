// Requests of clients passed on to the hub, and its answers passed back while they arrive. The
// client's own token goes to the hub's origin, and nowhere else.
//
// Threads: forward() and ask() from any; callbacks on the hub thread. Memory: at most 1 MiB of an
// answer waits for a slow client, and kUploadBytesMax of a request for a slow hub; the other side's
// connection stands still meanwhile.
#ifndef ROOST_NODE_ENDPOINT_HUB_PROXY_H_
#define ROOST_NODE_ENDPOINT_HUB_PROXY_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "cache/hub_token.h"
#include "cluster/http_client.h"
#include "node/endpoint/http_values.h"
#include "protocol/names.h"

namespace roost {

// The token of "Authorization: Bearer …"; none for anything else.
std::optional<Token> tokenOf(const HttpAsk& ask);

class HubProxy {
 public:
  // `http` must outlive this and the bodies that it gives out. `own`: goes with everything, instead
  // of what clients send.
  HubProxy(const HubOrigin& origin, HttpClient& http,
           std::optional<HttpCredential> own = std::nullopt);

  // The answer of the hub to the same request, as it is but for what only concerns the connection,
  // and Xet. Links and redirects to the hub lead to `agent` ("http://127.0.0.1:8377") instead, and
  // so do URLs in the JSON that answers a write: clients check that a commit is at their endpoint.
  // The request's body flows while the hub takes it; an answer that comes before its end ends it.
  // `follow`: redirects are followed here, to other hosts too (without the token), and what the
  // hub said of the file on its own answer stands on the last one.
  // Without a connection: 503 with the reason.
  void forward(HttpAsk ask, const std::string& agent, bool follow,
               std::function<void(HttpAnswer)> done);

  // The same of another URL, redirects followed: of a file that the hub names, wherever it is.
  void forwardFrom(std::string url, HttpAsk ask, std::function<void(HttpAnswer)> done);

  // A small question of our own on the client's behalf: the whole answer, redirects not followed.
  struct Question {
    HttpMethod method = HttpMethod::kGet;
    std::string verb = {};
    std::optional<std::string> upload = std::nullopt;
    std::string target;  // from "/" on
    HttpHeaders headers = {};
    std::optional<Token> token;
    absl::Duration timeout = kEndpointAnswerTimeout - absl::Milliseconds(500);
  };
  void ask(Question question, std::function<void(HttpResult)> done);

 private:
  struct Forward;
  void forwardTo(std::string url, HttpAsk ask, const std::string& agent, bool follow,
                 std::function<void(HttpAnswer)> done);
  static void send(const std::shared_ptr<Forward>& forward);
  static std::optional<std::string> nextHop(const Forward& forward, const HttpHead& said);
  static HttpAnswer answerOf(const Forward& forward, const HttpHead& said);
  std::string urlOf(const std::string& target) const;
  std::optional<HttpCredential> credential(std::optional<Token> token) const;

  const std::string base_;       // the hub's URL, with its path prefix
  const std::string webOrigin_;  // what a token is bound to
  HttpClient& http_;
  const std::optional<HttpCredential> own_;
};

// A header of the client's request that the hub may see.
bool goesToHub(absl::string_view lowerName);
// Of the hub's answer that the client may see: all but those of the connection, and Xet.
bool goesToClient(absl::string_view lowerName, absl::string_view value);

}  // namespace roost

#endif  // ROOST_NODE_ENDPOINT_HUB_PROXY_H_
