// A body that passes through from the hub, written to this node's own folder on the way, under the
// sha256 that it turns out to have: for files that the hub names by no hash.
//
// Threads: put(), whenRoom() and end() from one at a time (the lane that sends); the disk's work is
// done on work threads, where `open` and `done` are called. Memory: kKeptWaitingBytesMax wait for
// the disk. Dropped before end(): the body was cut, and nothing of it stays.
#ifndef ROOST_NODE_ENDPOINT_KEPT_BODY_H_
#define ROOST_NODE_ENDPOINT_KEPT_BODY_H_

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cache/unnamed_writer.h"
#include "cache/work_pool.h"
#include "node/endpoint/http_values.h"

namespace roost {

class KeptBody final : public BodyCopy, public std::enable_shared_from_this<KeptBody> {
 public:
  using Open = std::function<absl::StatusOr<std::unique_ptr<UnnamedWriter>>()>;
  using Done = std::function<void(absl::StatusOr<UnnamedWriter::Written>)>;  // at most once

  // `share`: what the disk's work may get stuck on (WorkSpec). The pool must outlive this.
  KeptBody(WorkPool& pool, std::string share, Open open, Done done);
  ~KeptBody() override;

  bool put(absl::string_view bytes) override;
  void whenRoom(std::function<void(bool)> call) override;
  void end() override;

 private:
  void workLocked();
  void work();
  absl::Status write(const std::vector<std::string>& chunks);
  void fail(const absl::Status& why);

  WorkPool& pool_;
  const std::string share_;
  const Open open_;
  const Done done_;

  std::mutex mutex_;
  std::vector<std::string> waiting_;
  size_t waitingBytes_ = 0;  // with those that are being written
  bool working_ = false;     // a job is queued or runs
  bool ended_ = false;
  bool over_ = false;  // done, or failed
  std::function<void(bool)> whenRoom_;

  std::unique_ptr<UnnamedWriter> writer_;  // of the job
};

}  // namespace roost

#endif  // ROOST_NODE_ENDPOINT_KEPT_BODY_H_
