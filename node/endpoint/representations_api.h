// Representations over HTTP (docs/reference/representations.md): one, many, and who computes. For
// programs of this node; nothing is listed, a key is asked for or it is not.
//
// Threads: `loop`; bodies are parsed and written on work threads. Everything given must outlive
// this.
#ifndef ROOST_NODE_ENDPOINT_REPRESENTATIONS_API_H_
#define ROOST_NODE_ENDPOINT_REPRESENTATIONS_API_H_

#include <boost/asio/awaitable.hpp>
#include <list>
#include <memory>
#include <string>

#include "node/endpoint/http_connection.h"
#include "node/endpoint/http_values.h"
#include "node/loop_work.h"
#include "node/representations.h"

namespace roost {

class RepresentationsApi {
 public:
  RepresentationsApi(Representations& representations, WorkPool& pool,
                     std::shared_ptr<LoopWork> work)
      : all_(representations), pool_(pool), work_(std::move(work)) {}

  // Whether that path is answered here: "roost/v1/representations/…".
  static bool answers(absl::string_view path);
  // How the body of a request to such a path is read.
  static BodyPlan bodyPlan(absl::string_view method, absl::string_view path);

  boost::asio::awaitable<HttpAnswer> answer(HttpAsk ask, std::string path);
  void stop();

 private:
  struct Saving;
  boost::asio::awaitable<HttpAnswer> get(HttpAsk ask, RepresentationKey key);
  boost::asio::awaitable<HttpAnswer> put(HttpAsk ask, RepresentationKey key);
  boost::asio::awaitable<HttpAnswer> getMany(HttpAsk ask);
  boost::asio::awaitable<HttpAnswer> putMany(HttpAsk ask);
  boost::asio::awaitable<HttpAnswer> lease(HttpAsk ask);
  boost::asio::awaitable<absl::Status> save(std::shared_ptr<UploadSource> source,
                                            Representations::Writer writer);

  Representations& all_;
  WorkPool& pool_;
  const std::shared_ptr<LoopWork> work_;
  std::list<std::weak_ptr<UploadSource>> uploads_;
};

}  // namespace roost

#endif  // ROOST_NODE_ENDPOINT_REPRESENTATIONS_API_H_
