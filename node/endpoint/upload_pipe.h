// The body of a client's request on its way to the hub: the lane that owns the connection puts
// bytes in as they come, the hub thread takes them out as its connection has room. What is between
// them is bounded (kUploadBytesMax), so a slow hub slows the client down.
//
// Each end may go first. When nobody takes the bytes any more (the hub has answered, or was never
// asked), what still comes is thrown away; when the client is gone, the reader is told to stop.
//
// Threads: UploadFeed on the connection's lane, UploadSource on any one thread.
#ifndef ROOST_NODE_ENDPOINT_UPLOAD_PIPE_H_
#define ROOST_NODE_ENDPOINT_UPLOAD_PIPE_H_

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "cluster/http_client.h"

namespace roost {

class UploadPipe;

// Where the bytes come out. Whoever lets go of it, or calls abandon(), wants no more of them.
class UploadSource {
 public:
  UploadSource(std::shared_ptr<UploadPipe> pipe, std::optional<uint64_t> bodyLength,
               bool clientAsksFirst)
      : length(bodyLength), asksFirst(clientAsksFirst), pipe_(std::move(pipe)) {}
  ~UploadSource() { abandon(); }
  UploadSource(const UploadSource&) = delete;
  UploadSource& operator=(const UploadSource&) = delete;

  const std::optional<uint64_t> length;  // none: it comes in chunks
  const bool asksFirst;                  // the client waits for "100 Continue"

  HttpUpload::Read read(char* to, size_t room);
  // Called, under a lock, when there is something again after a read() that said kWait.
  void onMore(std::function<void()> wake);
  void abandon();

 private:
  const std::shared_ptr<UploadPipe> pipe_;
};

// Where they go in. Letting go of it before end() is what a client does that goes away.
class UploadFeed {
 public:
  explicit UploadFeed(std::shared_ptr<UploadPipe> pipe) : pipe_(std::move(pipe)) {}
  ~UploadFeed();
  UploadFeed(const UploadFeed&) = delete;
  UploadFeed& operator=(const UploadFeed&) = delete;

  // Waits for the first read(); false if there will be none.
  boost::asio::awaitable<bool> wanted();
  // Waits for room. Thrown away if nobody wants it.
  boost::asio::awaitable<void> put(std::string bytes);
  void end();

 private:
  const std::shared_ptr<UploadPipe> pipe_;
};

struct Upload {
  std::shared_ptr<UploadSource> source;
  std::unique_ptr<UploadFeed> feed;
};
Upload makeUpload(std::optional<uint64_t> length, bool asksFirst);

}  // namespace roost

#endif  // ROOST_NODE_ENDPOINT_UPLOAD_PIPE_H_
