#include "cluster/piece_lists.h"

#include <utility>

#include "protocol/limits.h"

namespace roost {
namespace {

constexpr size_t kHoldersAsked = 3;

}  // namespace

void PieceLists::get(const BlobInfo& blob, std::function<void(List)> done) {
  if (const auto it = known_.find(blob.id); it != known_.end()) return done(it->second);
  auto& waiting = waiting_[blob.id];
  waiting.push_back(std::move(done));
  if (waiting.size() > 1) return;
  std::vector<NodeId> holders = s_.holders(blob.id);
  while (holders.size() > kHoldersAsked) holders.pop_back();
  askNext(blob, std::move(holders));
}

void PieceLists::askNext(const BlobInfo& blob, std::vector<NodeId> holders) {
  if (holders.empty()) return told(blob.id, nullptr);
  const NodeId next = holders.back();
  holders.pop_back();
  s_.ask(next, blob,
         [this, alive = std::weak_ptr<bool>(alive_), blob,
          holders = std::move(holders)](absl::StatusOr<std::vector<PieceHash>> answer) mutable {
           if (alive.expired()) return;
           if (!answer.ok() || answer->size() != pieceCount(blob.size)) {
             return askNext(blob, std::move(holders));
           }
           told(blob.id, std::make_shared<const std::vector<PieceHash>>(*std::move(answer)));
         });
}

void PieceLists::told(const BlobId& blob, List list) {
  const auto waiting = waiting_.extract(blob);
  if (list) keep(blob, list);
  for (const auto& done : waiting.mapped()) done(list);
}

void PieceLists::keep(const BlobId& blob, List list) {
  bytes_ += list->size() * sizeof(PieceHash);
  known_.emplace(blob, std::move(list));
  order_.push_back(blob);
  while (order_.size() > kPieceListsMax || bytes_ > kPieceListsBytesMax) {
    const auto oldest = known_.extract(order_.front());
    bytes_ -= oldest.mapped()->size() * sizeof(PieceHash);
    order_.pop_front();
  }
}

}  // namespace roost
