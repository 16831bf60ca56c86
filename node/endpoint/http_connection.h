// One connection of a client, from its first byte to its last: reads requests with limits and
// deadlines, has them answered, writes the answers, keeps the connection open between them.
//
// A body that is parsed here is read whole before it is answered, up to a limit. One that is passed
// on, or kept, flows through an UploadSource while the answer may already be on its way. What
// a client still sends after it was refused is read and thrown away for a while: closing at once
// would reset the connection, and the client would lose the answer.
//
// A request that is being answered is finished also when the endpoint stops; a new one on an open
// connection then gets 503. A connection is never closed in the middle of a request without an
// answer, but for bodies that cannot be completed (docs/internals/endpoint.md).
//
// Threads: a lane. Errors end the connection.
#ifndef ROOST_NODE_ENDPOINT_HTTP_CONNECTION_H_
#define ROOST_NODE_ENDPOINT_HTTP_CONNECTION_H_

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <memory>

#include "node/endpoint/http_values.h"
#include "protocol/limits.h"

namespace roost {

// How the body of a request is read: as it flows, for who takes it, or whole, up to a limit.
struct BodyPlan {
  bool flows = false;
  size_t bytesMax = kEndpointBodyBytesMax;
};
// Of a request with a body. Called on lanes.
using BodyChoice = std::function<BodyPlan(const std::string& method, const std::string& target)>;

// What the connections of an endpoint share.
struct HttpServing {
  HttpHandler handler;
  BodyChoice bodyPlan;
  std::atomic<int> open{0};       // connections
  std::atomic<int> refusing{0};   // beyond those, that are told so
  std::atomic<int> answering{0};  // requests whose answer is not written yet
  std::atomic<bool> stopping{false};
};

boost::asio::awaitable<void> serveHttp(boost::asio::ip::tcp::socket socket,
                                       std::shared_ptr<HttpServing> serving);

}  // namespace roost

#endif  // ROOST_NODE_ENDPOINT_HTTP_CONNECTION_H_
