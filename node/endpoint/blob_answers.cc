#include "node/endpoint/blob_answers.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "node/await_callback.h"
#include "node/endpoint/file_head.h"
#include "protocol/limits.h"

namespace roost {

namespace asio = boost::asio;

namespace {

constexpr absl::Duration kLingering = absl::Seconds(30);
constexpr absl::Duration kSizeAsked = absl::Seconds(3);  // by the first byte; the file is next
constexpr absl::Duration kInnerRangePatience = absl::Seconds(5);
constexpr absl::Duration kAnswerPatience = absl::Seconds(8);  // the rest is for the way back

// Starts a download again from its first byte when it gets 200 instead of 206.
bool startsAgain(const HttpAsk& ask) {
  const std::string* agent = ask.find("user-agent");
  return agent != nullptr &&
         (absl::StrContains(*agent, "hf_hub/") || absl::StartsWith(*agent, "curl/") ||
          absl::StartsWith(*agent, "pip/") || absl::StrContains(*agent, "llama-cpp"));
}

}  // namespace

ByteRange BlobAnswers::rangeOf(const HttpAsk& ask, const BlobInfo& blob, absl::string_view etag,
                               HttpAnswer& answer) const {
  const uint64_t size = blob.size;
  ByteRange range = askedRange(ask, etag, size);
  // What this client has of it may be wrong: it must not go on from there.
  if (range.kind == ByteRange::Kind::kPart && range.first > 0 && s_.readings.poisoned(blob.id)) {
    range =
        startsAgain(ask) ? byteRange("", size) : ByteRange{ByteRange::Kind::kUnsatisfiable, 0, 0};
  }
  putRange(range, size, answer);
  if (size == 0 && ask.find("range") != nullptr && range.kind == ByteRange::Kind::kWhole) {
    // Clients read a file's size off this header, and take "/0" for none.
    answer.headers.emplace_back("Content-Range", "bytes */0");
  }
  return range;
}

// A copy on this node, if there is one.
asio::awaitable<std::shared_ptr<BodyStream>> BlobAnswers::fromHere(BlobPart part) {
  const auto copy = s_.folders.inventory().find(part.blob.id);
  if (!copy) co_return nullptr;
  const bool isVerified = copy->trust == Trust::kVerified || copy->trust == Trust::kRecheck;
  using Opened = std::shared_ptr<const LocalBlob>;
  const std::function<void(std::function<void(Opened)>)> open =
      [&](std::function<void(Opened)> done) { s_.folders.open(part.blob.id, std::move(done)); };
  const Opened none;
  const Opened file = co_await awaitCallback<Opened>(open, none);
  if (file == nullptr) co_return nullptr;
  co_return localBody(part, file, isVerified, s_.readings.local(part.blob), s_.pool);
}

bool BlobAnswers::isInner(const BlobPart& part) {
  const bool firstByte = part.first == 0 && part.end == 1;
  return part.end < part.blob.size && !firstByte;
}

asio::awaitable<BlobAnswers::Stream> BlobAnswers::arriving(BlobPart part, BlobSite site) {
  const BlobInfo blob = part.blob;
  // It may have come since the caller looked. Nothing happens between this look and the next line,
  // or a node would fetch what it has.
  if (auto stream = co_await fromHere(part)) co_return stream;
  const std::shared_ptr<BlobReading> reading = s_.readings.arriving(blob, site, part.first > 0);
  if (blob.size <= kInlineBlobBytesMax) {
    const absl::Status whole = co_await verified(reading, kAnswerPatience);
    if (!whole.ok()) {
      linger(reading, kLingering);
      co_return whole;
    }
    co_return co_await verifiedPart(part, reading);
  }
  if (isInner(part)) {
    linger(reading, kLingering);  // whoever reads a part reads more of them
    co_return co_await innerPart(part, reading);
  }
  // An answer that says why nothing comes is better than a body that ends early.
  const BlobReading::Piece began =
      co_await pieceWithin(reading, part.first / kPieceBytes, kAnswerPatience);
  // After the deadline the head goes out all the same: the client's patience begins anew with it.
  if (!began.ok() && !absl::IsDeadlineExceeded(began.status())) co_return began.status();
  const bool firstByte = part.first == 0 && part.end == 1;
  if (firstByte) linger(reading, kSizeAsked);
  co_await streaming(blob.id);
  co_return arrivingBody(part, reading, s_.pool);
}

// A part that does not reach the end can be told right from wrong by the hashes of a node that has
// the whole. Without them it has to wait for the whole to be here.
asio::awaitable<BlobAnswers::Stream> BlobAnswers::innerPart(BlobPart part,
                                                            std::shared_ptr<BlobReading> reading) {
  const absl::Time until = absl::Now() + kInnerRangePatience;
  const uint64_t first = part.first / kPieceBytes;
  const BlobReading::PieceList list = co_await pieceList(reading);
  if (list && list->size() == pieceCount(part.blob.size)) {
    const BlobReading::Piece began = co_await pieceWithin(reading, first, until - absl::Now());
    if (!began.ok()) co_return began.status();
    if (*began != nullptr && co_await hasRightPiece(*began, first, list, s_.pool)) {
      s_.metrics.innerPart(EndpointMetrics::InnerPart::kProved);
      co_return innerBody(part, reading, list, s_.pool);
    }
  }
  const absl::Status whole =
      co_await verified(reading, std::max(absl::ZeroDuration(), until - absl::Now()));
  if (!whole.ok()) co_return whole;
  s_.metrics.innerPart(EndpointMetrics::InnerPart::kWaited);
  co_return co_await verifiedPart(part, reading);
}

// Of a blob that is verified, whether it has its name yet or not.
asio::awaitable<std::shared_ptr<BodyStream>> BlobAnswers::verifiedPart(
    BlobPart part, std::shared_ptr<BlobReading> reading) {
  auto stream = co_await fromHere(part);
  if (!stream) stream = arrivingBody(part, reading, s_.pool);
  co_return stream;
}

asio::awaitable<BlobReading::PieceList> BlobAnswers::pieceList(
    std::shared_ptr<BlobReading> reading) {
  const std::function<void(std::function<void(BlobReading::PieceList)>)> start =
      [&](std::function<void(BlobReading::PieceList)> done) {
        reading->pieceList(std::move(done));
      };
  const BlobReading::PieceList none;
  co_return co_await awaitCallback<BlobReading::PieceList>(start, none);
}

// On the disk before the first byte that nobody has verified leaves.
asio::awaitable<void> BlobAnswers::streaming(BlobId blob) {
  const std::function<void(std::function<void(bool)>)> start = [&](std::function<void(bool)> done) {
    s_.readings.streaming(blob, [done] { done(true); });
  };
  co_await awaitCallback<bool>(start, false);
}

asio::awaitable<absl::Status> BlobAnswers::verified(std::shared_ptr<BlobReading> reading,
                                                    absl::Duration patience) {
  const std::function<void(std::function<void(absl::Status)>)> start =
      [&](std::function<void(absl::Status)> done) {
        after(patience, done);
        reading->verified([done](BlobReading::Piece whole) { done(whole.status()); });
      };
  const absl::Status dropped = absl::UnavailableError("the agent is stopping");
  co_return co_await awaitCallback<absl::Status>(start, dropped);
}

asio::awaitable<BlobReading::Piece> BlobAnswers::pieceWithin(std::shared_ptr<BlobReading> reading,
                                                             uint64_t piece,
                                                             absl::Duration patience) {
  const std::function<void(std::function<void(BlobReading::Piece)>)> start =
      [&](std::function<void(BlobReading::Piece)> done) {
        after(patience, [done](absl::Status late) { done(BlobReading::Piece(std::move(late))); });
        reading->piece(piece, std::move(done));
      };
  const BlobReading::Piece dropped = absl::UnavailableError("the agent is stopping");
  co_return co_await awaitCallback<BlobReading::Piece>(start, dropped);
}

void BlobAnswers::after(absl::Duration patience, std::function<void(absl::Status)> done) {
  s_.timers.after(patience, [patience, done = std::move(done)] {
    done(absl::DeadlineExceededError(
        absl::StrCat("it did not come within ", absl::FormatDuration(patience))));
  });
}

// Clients ask again: what was fetched until then is not thrown away.
void BlobAnswers::linger(std::shared_ptr<BlobReading> reading, absl::Duration time) {
  s_.timers.after(time, [reading = std::move(reading)] {});
}

}  // namespace roost
