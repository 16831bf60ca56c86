// The clients of the endpoint that read blobs: between the bodies on their lanes and the core, the
// folders and the index on `loop`. And which blobs are poisoned: of which a client may have wrong
// bytes, so that it must not be given the rest of them (docs/internals/endpoint.md).
//
// Threads: `loop`; the readings that it gives out are for lanes. Must outlive the core's effects.
#ifndef ROOST_NODE_ENDPOINT_BLOB_READINGS_H_
#define ROOST_NODE_ENDPOINT_BLOB_READINGS_H_

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "cluster/core.h"
#include "node/endpoint/blob_body.h"
#include "node/folders.h"
#include "node/index_queue.h"

namespace roost {

class BlobReadings {
 public:
  struct Seams {
    std::function<void(std::function<void()>)> onLoop;  // from any thread
    std::function<void(Event)> apply;                   // to the core
    std::function<std::shared_ptr<const BlobWriter>(FetchId)> writer;
    std::function<void(const BlobInfo&, std::function<void(BlobReading::PieceList)>)> pieceList;
    Folders& folders;
    IndexQueue& index;
  };
  // `poisoned`: as saved by earlier runs.
  BlobReadings(Seams seams, std::set<BlobId> poisoned);

  // A reading of a blob that is fetched for it, or of one that lies here.
  // `resumed`: the client has a beginning of it already.
  std::shared_ptr<BlobReading> arriving(const BlobInfo& blob, const BlobSite& site, bool resumed);
  std::shared_ptr<BlobReading> local(const BlobInfo& blob);

  void perform(const AnswerReader& effect);

  bool poisoned(const BlobId& blob) const { return poisoned_.contains(blob); }
  size_t poisonedBlobs() const { return poisoned_.size(); }
  void poison(const BlobId& blob, std::function<void()> done);
  // Bytes of it go out before it is verified. That is remembered on the disk until it is: if this
  // process is killed before, the blob counts as poisoned at the next start. Then calls back.
  void streaming(const BlobId& blob, std::function<void()> done);
  // All that was read of it has been forgotten: whatever is verified later, it may not be what went
  // out until now.
  void begunAgain(const BlobId& blob);
  // Its hash did not match: what went out may have been wrong.
  void wasWrong(const BlobId& blob);
  // Its hash matched.
  void landed(const BlobId& blob);

  void stop();

  static std::string poisonKey(const BlobId& blob);  // in the index's values
  static constexpr char kPoisonPrefix[] = "poisoned ";

 private:
  class Reading;
  // The attempt at a blob of which a reading was given pieces. `isOver` is looked at on any thread.
  struct Attempt {
    explicit Attempt(const BlobId& of) : blob(of) {}
    const BlobId blob;
    bool given = false;
    std::atomic<bool> isOver = false;
  };
  void askPiece(ReaderId reader, uint64_t piece, std::function<void(BlobReading::Piece)> done);
  void mark(const BlobId& blob, std::function<void()> done);
  void unmark(const BlobId& blob);

  Seams s_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  uint64_t lastReader_ = 0;
  uint64_t lastAsk_ = uint64_t{1} << 62;  // apart from the agent's own
  std::map<AskId, std::function<void(BlobReading::Piece)>> asks_;
  std::set<BlobId> poisoned_;
  std::set<BlobId> streamed_;                    // by this process, and not verified yet
  std::set<std::shared_ptr<Attempt>> attempts_;  // of all readings that wait for pieces
};

}  // namespace roost

#endif  // ROOST_NODE_ENDPOINT_BLOB_READINGS_H_
