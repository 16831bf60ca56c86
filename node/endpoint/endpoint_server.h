// The endpoint's door: accepts clients' connections on `loop` and hands each to a lane, which owns
// it from then on.
//
// Stopping has an order: the listening socket is closed first, so that clients see a refused port
// and go to the hub or their cache; what is being answered is finished; then connections are ended.
//
// Threads: `loop`.
#ifndef ROOST_NODE_ENDPOINT_ENDPOINT_SERVER_H_
#define ROOST_NODE_ENDPOINT_ENDPOINT_SERVER_H_

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "cluster/lane_thread.h"
#include "node/endpoint/http_connection.h"
#include "protocol/names.h"

namespace roost {

class EndpointServer {
 public:
  EndpointServer(boost::asio::io_context& io, std::vector<LaneThread*> lanes, HttpHandler handler,
                 BodyChoice bodyPlan);

  // `orAnyPort`: if the port is taken, a free one is picked. kInvalidArgument with the reason.
  absl::Status listen(const Address& address, bool orAnyPort);
  void start();
  Address address() const { return address_; }  // with the port that it listens on

  // Closes the door. New requests on open connections get 503.
  void stopAccepting();
  // Requests that are being answered still.
  int answering() const { return serving_->answering; }
  int connections() const { return serving_->open; }

 private:
  static boost::asio::awaitable<void> refuse(boost::asio::ip::tcp::socket socket,
                                             std::shared_ptr<HttpServing> serving);
  static boost::asio::awaitable<void> accept(EndpointServer& self,
                                             std::shared_ptr<HttpServing> serving);

  boost::asio::io_context& io_;
  std::vector<LaneThread*> lanes_;
  std::shared_ptr<HttpServing> serving_;
  boost::asio::ip::tcp::acceptor acceptor_;
  Address address_;
  size_t next_ = 0;
};

}  // namespace roost

#endif  // ROOST_NODE_ENDPOINT_ENDPOINT_SERVER_H_
