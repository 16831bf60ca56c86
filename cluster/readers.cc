#include "cluster/readers.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "protocol/limits.h"

namespace roost {

ObtainKey Readers::ownerOf(ReaderId reader) const {
  return {members_.self().id, kFirstReaderJob | static_cast<uint64_t>(reader)};
}

void Readers::on(Turn& turn, const ReaderBegan& event) {
  Reader reader{event.blob.id};
  if (readers_.size() >= kReadersMax) {
    reader.ended = true;
    reader.result = absl::AbortedError(
        absl::StrCat("this node reads ", kReadersMax, " files for its clients already"));
  } else if (absl::Status status = fetches_.want(turn, event.blob, event.site, SourceRule::kAny,
                                                 ownerOf(event.reader));
             !status.ok()) {
    reader.ended = true;
    reader.result = std::move(status);
  }
  readers_.emplace(event.reader, std::move(reader));
}

void Readers::on(Turn& turn, const PieceWanted& event) {
  const auto it = readers_.find(event.reader);
  if (it == readers_.end()) {
    turn.emit(AnswerReader{event.ask, absl::CancelledError("the reader is gone"), std::nullopt});
    return;
  }
  if (it->second.ended) {
    turn.emit(AnswerReader{event.ask, it->second.result, std::nullopt});
    return;
  }
  fetches_.pieceWanted(turn, it->second.blob, event.ask, event.piece);
}

void Readers::on(Turn& turn, const ReaderGone& event) {
  const auto it = readers_.find(event.reader);
  if (it == readers_.end()) return;
  if (!it->second.ended) fetches_.release(turn, it->second.blob, ownerOf(event.reader));
  readers_.erase(it);
}

void Readers::fetchEnded(const Fetches::Ended& ended) {
  for (const ObtainKey& owner : ended.owners) {
    if (owner.coordinator != members_.self().id || owner.job < kFirstReaderJob) continue;
    const auto it = readers_.find(ReaderId{owner.job & ~kFirstReaderJob});
    if (it == readers_.end()) continue;
    it->second.ended = true;
    it->second.result = ended.status;
  }
}

}  // namespace roost
